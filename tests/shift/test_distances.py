"""Distances between samples, against what their formulas give in float64."""

import itertools
import math

import numpy as np
import pytest

from tl_run.shift import distances


def by_formula(x: np.ndarray, y: np.ndarray, width: float) -> float:
    """MMD^2 of Gretton et al. 2012, equation 3, term by term."""

    def k(a, b):
        return sum(math.exp(-((a - b) @ (a - b)) / (b_ * width)) for b_ in (0.25, 0.5, 1, 2, 4)) / 5

    n, m = len(x), len(y)
    within = sum(k(a, b) for a, b in itertools.permutations(x, 2)) / (n * (n - 1))
    other = sum(k(a, b) for a, b in itertools.permutations(y, 2)) / (m * (m - 1))
    return within + other - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


def test_mmd_and_its_p_are_those_of_the_formula():
    x, y = np.array([[0.0, 0], [1, 0], [0, 1]]), np.array([[3.0, 1], [2, 2], [2, 0.5], [0.5, 0]])
    found, p = distances.mmd(x, y, 2.5, seed=0)
    assert found == pytest.approx(by_formula(x, y, 2.5), abs=1e-12)
    both = np.concatenate([x, y])
    dealt = [
        by_formula(both[list(chosen)], np.delete(both, chosen, 0), 2.5)
        for chosen in itertools.combinations(range(7), 3)
    ]
    assert len(dealt) == 35, "few enough for all of them to be tried"
    assert p == pytest.approx(sum(value >= found - 1e-12 for value in dealt) / 35)


def test_mmd_of_one_distribution_is_about_0_and_of_two_it_is_not():
    draw = np.random.default_rng(0)
    x, y, far = draw.normal(size=(60, 8)), draw.normal(size=(60, 8)), draw.normal(1, 1, size=(60, 8))
    width = distances.width_of(np.concatenate([x, y, far]))
    same, p_same = distances.mmd(x, y, width, seed=0)
    other, p_other = distances.mmd(x, far, width, seed=0)
    assert abs(same) < 0.01 < 0.1 < other
    assert p_other == 0.001 < 0.05 < p_same, "999 draws and the sample itself"
    assert distances.mmd(x, far, width, seed=0) == (other, p_other)


def test_the_width_is_the_median_squared_distance():
    assert distances.width_of(np.array([[0.0], [1], [3]])) == 4, "of 1, 4 and 9"
    assert distances.width_of(np.zeros((4, 2))) == 1


def test_the_a_distance_is_0_of_one_distribution_and_2_where_they_can_be_separated():
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(200, 5)), draw.normal(size=(200, 5))
    assert distances.domain_error(x, y, seed=0) == pytest.approx(0.5, abs=0.07)
    assert distances.a_distance(distances.domain_error(x, y, seed=0)) < 0.3
    assert distances.domain_error(x, y + 9 * np.eye(5)[0], seed=0) == 0
    error = distances.domain_error(x, y + np.eye(5)[0], seed=0)
    assert error == pytest.approx(0.309, abs=0.04), "one standard deviation apart: Phi(-1/2) is the least"


def test_the_a_distance_by_hand():
    assert [distances.a_distance(error) for error in (0.0, 0.25, 0.5, 0.6)] == [2, 1, 0, 0]


def test_who_may_say_that_they_differ():
    assert distances.differ(0.5, 400, 0.05)
    assert not distances.differ(0.5, 400, 0.06)
    assert not distances.differ(0.45, 400, 0.06), "p is 0.02, but errors of folds are not independent"
    assert distances.differ(0.4, 400, 0.06)


def test_label_shift_by_hand():
    p, q = {"a": 0.5, "b": 0.5}, {"b": 0.75, "c": 0.25}
    variation, jensen = distances.label_shift(p, q)
    assert variation == 0.5
    middle = {"a": 0.25, "b": 0.625, "c": 0.125}
    divergence = sum(s * math.log2(s / middle[name]) for shares in (p, q) for name, s in shares.items()) / 2
    assert jensen == pytest.approx(math.sqrt(divergence), abs=1e-12)
    assert distances.label_shift(p, {"c": 1.0}) == (1, pytest.approx(1))
    thirds = dict.fromkeys("abc", 1 / 3)
    assert distances.label_shift(thirds, thirds) == (0, 0)


def test_label_shares_are_of_what_has_a_label():
    assert distances.label_shares(["a", None, "b", "a", "a"]) == {"a": 0.75, "b": 0.25}
