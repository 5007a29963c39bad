"""Each statistic against a case worked by hand, and all of them on simulated runs."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.special import stdtrit

from tl_run.report.statistics import (
    Difference,
    interval,
    mcnemar,
    over_seeds,
    over_seeds_and_examples,
    sign_flip,
    told,
)


def test_the_interval_of_a_mean_is_students():
    """Of 1, 2, 3, 4: s = 1.2910, t with 3 degrees of freedom 3.1824, divided by 2."""
    assert interval([1, 2, 3, 4]) == pytest.approx(3.182446 * 1.290994 / 2, rel=1e-5)
    assert interval([1, 2, 3]) == pytest.approx(4.302653 * 1 / 3**0.5, rel=1e-5)
    assert interval([1, 2]) is None
    assert told([0.5, 0.7]) == "0.6000"
    assert told([0.5, 0.6, 0.7]) == "0.6000 ± 0.2484"


def test_sign_flips_are_counted_exactly():
    """All of one sign: 2 of 2^6. With -1 before 2..6 the sum is 19: flipping nothing or the 1 gives 19 or more."""
    assert sign_flip([1, 2, 3, 4, 5, 6]) == 2 / 64
    assert sign_flip([-1, 2, 3, 4, 5, 6]) == 4 / 64
    assert sign_flip([0.0] * 6) == 1
    assert sign_flip([1, 2, 3, 4, 5]) is None, "of 2^5 nothing is below 5 %"


def test_sign_flips_agree_with_a_plain_loop():
    given = np.random.default_rng(0).normal(0.3, 1, 8)
    sums = np.array([(given * signs).sum() for signs in itertools.product((1, -1), repeat=8)])
    assert sign_flip(given.tolist()) == pytest.approx((np.abs(sums) >= abs(given.sum()) - 1e-12).mean())


def test_mcnemar_of_one_run_each():
    """The first is right alone 8 times, the second twice: 2 (1 + 10 + 45) / 2^10."""
    first = np.array([[True] * 8 + [False] * 2 + [True] * 30])
    second = np.array([[False] * 8 + [True] * 2 + [True] * 30])
    found = mcnemar(first, second)
    assert (found.first, found.second) == (8, 2)
    assert found.p == pytest.approx(2 * 56 / 1024)
    assert mcnemar(first, first).p == 1


def test_mcnemar_gives_an_example_to_the_side_that_has_it_right_in_more_seeds():
    first = np.array([[1, 1, 0, 0], [1, 0, 0, 1]], bool)
    second = np.array([[0, 0, 1, 1], [0, 1, 1, 0]], bool)
    found = mcnemar(first, second)
    assert (found.first, found.second) == (1, 1), "the second and the fourth are even"


def of(right: np.ndarray):
    return lambda weights: weights @ right.T / weights.sum(1, keepdims=True)


def test_where_examples_do_not_differ_the_interval_is_that_of_the_seeds():
    gains = np.array([0.1, 0.2, 0.3, 0.4])
    found = over_seeds_and_examples(of(np.repeat(gains[:, None], 50, 1)), of(np.zeros((4, 50))), 50)
    plain = over_seeds(gains.tolist())
    assert (found.value, found.low, found.high) == pytest.approx((plain.value, plain.low, plain.high))
    assert found.over_examples
    assert not plain.over_examples


def test_where_seeds_do_not_differ_the_interval_is_that_of_the_examples():
    """Mean 0.3; the variance of a mean of 400 is 0.3 * 0.7 / 400."""
    gains = np.tile(np.arange(400) % 10 < 3, (3, 1)).astype(float)
    found = over_seeds_and_examples(of(gains), of(np.zeros((3, 400))), 400)
    half = 1.966 * (0.21 / 400) ** 0.5
    assert found.value == pytest.approx(0.3)
    assert found.low == pytest.approx(0.3 - half, abs=0.15 * half)
    assert found.high == pytest.approx(0.3 + half, abs=0.15 * half)


def test_variances_of_seeds_and_examples_add_up():
    """Gains of +-0.1 by seed and +-0.2 by example, one on top of the other: s^2 / 8 and 0.04 / 12."""
    of_seeds, of_examples = np.tile([0.1, -0.1], 4), np.tile([0.2, -0.2], 6)
    found = over_seeds_and_examples(of(0.5 + of_seeds[:, None] + of_examples), of(np.zeros((8, 12))), 12)
    seeds, examples = of_seeds.var(ddof=1) / 8, 0.04 / 12
    freedom = (seeds + examples) ** 2 / (seeds**2 / 7 + examples**2 / 11)
    half = stdtrit(freedom, 0.975) * (seeds + examples) ** 0.5
    assert found.high == pytest.approx(0.5 + half, abs=0.04 * half)
    assert found.low == pytest.approx(0.5 - half, abs=0.04 * half)


def test_with_two_seeds_there_is_no_interval_and_nothing_is_claimed():
    found = over_seeds_and_examples(of(np.ones((2, 9))), of(np.zeros((2, 9))), 9)
    assert (found.value, found.low, found.high, found.p, found.claimed) == (1, None, None, None, False)


@pytest.mark.parametrize(
    ("low", "high", "p", "claimed"),
    [(0.1, 0.3, 0.03, True), (-0.1, 0.5, 0.03, False), (0.1, 0.3, 0.06, False), (0.1, 0.3, None, False)],
)
def test_a_difference_is_claimed_only_if_test_and_interval_agree(low, high, p, claimed):
    assert Difference(0.2, low, high, 6, p, over_examples=True).claimed is claimed


@pytest.fixture
def honest(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts" / "statistics"))
    import honest

    return honest


def test_on_simulated_runs_they_say_what_is_so(honest):
    """With 120 comparisons 95 % are within 0.04 of it in 19 of 20 cases; the script's own table has more of them."""
    equal = honest.World("equal", 6, 80, 0.4)
    claimed, held, means, _ = honest.measure(equal, 120)
    assert equal.truth == 0
    assert claimed <= 0.08
    assert 0.9 <= held < 1
    assert means >= 0.88
    better = honest.World("better", 6, 80, 0.1, better=1.2)
    claimed, held, _, _ = honest.measure(better, 60)
    assert better.truth > 0.1
    assert claimed > 0.5
    assert held >= 0.9
