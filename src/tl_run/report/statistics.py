"""Intervals and tests over seeds and examples, for pairs of ways to train. What scipy has is scipy's.

Scores of runs are float64 (seeds,); differences are of pairs with the same seed. Sides are always (first, second), and
a difference is first minus second.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np

FEWEST = 3  # seeds of which an interval is told
FEWEST_PAIRS = 6  # of which an exact test can say anything: 2 of 2^5 sign flips are 6.25 %
LEVEL = 0.05
DRAWS = 2000


def interval(scores: Sequence[float]) -> float | None:
    """Half of the 95 % interval of the mean by Student's t; None for fewer than three scores."""
    if len(scores) < FEWEST:
        return None
    return _t(len(scores) - 1) * stdev(scores) / math.sqrt(len(scores))


def told(scores: Sequence[float]) -> str:
    """`0.823 ± 0.012`, or without an interval where there are too few."""
    half = interval(scores)
    return f"{mean(scores):.4f}" + (f" ± {half:.4f}" if half is not None else "")


def sign_flip(differences: Sequence[float]) -> float | None:
    """p of the exact permutation test over pairs of seeds, two-sided; None with fewer than six pairs.

    Were both ways the same, each difference could as well have had the other sign: of all 2^n choices of signs (up to
    13 pairs; then 9,999 drawn) p is the share with a mean as far from 0, both directions together.
    """
    if len(differences) < FEWEST_PAIRS:
        return None
    from scipy.stats import permutation_test

    found = permutation_test(
        (np.asarray(differences, float),),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=9999,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


@dataclass(frozen=True)
class Disagreement:
    """Of the examples on which two ways do not do equally well: how many are better by each, and the exact p."""

    first: int
    second: int
    p: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> Disagreement:
    """McNemar's exact test over examples; `first` and `second` are right or wrong, bool (seeds, examples).

    With several seeds an example goes to the side that had it right in more of them. Examples are independent, seeds of
    one example are not: it speaks of these runs, and of other examples, not of other seeds.
    """
    from scipy.stats import binomtest

    lead = first.sum(0, dtype=int) - second.sum(0, dtype=int)
    wins, losses = int((lead > 0).sum()), int((lead < 0).sum())
    return Disagreement(wins, losses, float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0)


@dataclass(frozen=True)
class Difference:
    """A mean difference with its 95 % interval, where there are seeds enough for one."""

    value: float
    low: float | None
    high: float | None
    seeds: int
    p: float | None
    """Of `sign_flip`."""
    over_examples: bool
    """Whether the interval is over examples too, or over seeds alone."""

    @property
    def claimed(self) -> bool:
        """Whether a difference may be claimed: the test over seeds says so, and the interval leaves out 0."""
        if self.p is None or self.low is None or self.high is None:
            return False
        return self.p <= LEVEL and not self.low <= 0 <= self.high


Score = Callable[[np.ndarray], np.ndarray]
"""From weights (draws, examples) to scores (draws, seeds)."""


def over_seeds(differences: Sequence[float]) -> Difference:
    """Of what is known for each seed and no more: Student's t."""
    value, half = mean(differences), interval(differences)
    low, high = (None, None) if half is None else (value - half, value + half)
    return Difference(value, low, high, len(differences), sign_flip(differences), over_examples=False)


def over_seeds_and_examples(first: Score, second: Score, examples: int) -> Difference:
    """The same with a bootstrap over seeds and over test examples, which all runs share.

    Each of `DRAWS` draws takes examples with replacement, and n - 1 of the n seeds, so that the variance over seeds is
    s^2/n and not (n - 1)/n of it (Rao and Wu 1988, doi:10.1080/01621459.1988.10478591). Rows and columns are drawn
    independently (Owen 2007, the pigeonhole bootstrap, arXiv:0712.1111), which counts what is particular to one run on
    one example three times, and drawing either alone counts it once: V = 2 (V_seeds + V_examples) - V_both counts it
    once too. Percentiles of six seeds would cover less than they say: the interval is sqrt(V) times Student's t, with
    Satterthwaite's degrees of freedom: n - 1 where seeds make the variance, many where examples do.
    """
    every = np.ones((1, examples))
    paired = (first(every) - second(every))[0]
    plain, seeds = over_seeds(paired.tolist()), len(paired)
    if seeds < FEWEST:
        return plain
    random = np.random.default_rng(0)
    taken = random.multinomial(examples, np.full(examples, 1 / examples), DRAWS)
    drawn = random.multinomial(seeds - 1, np.full(seeds, 1 / seeds), DRAWS)
    each = first(taken) - second(taken)
    both = float(((each * drawn).sum(1) / (seeds - 1)).var(ddof=1))
    of_examples, of_seeds = float(each.mean(1).var(ddof=1)), float(paired.var(ddof=1)) / seeds
    variance = max(2 * (of_seeds + of_examples) - both, of_seeds, of_examples)
    rest = variance - of_seeds
    freedom = variance**2 / (of_seeds**2 / (seeds - 1) + rest**2 / (examples - 1)) if variance else 1.0
    half = _t(freedom) * math.sqrt(variance)
    return Difference(plain.value, plain.value - half, plain.value + half, seeds, plain.p, over_examples=True)


def _t(freedom: float) -> float:
    from scipy.special import stdtrit  # half a second to import, and only for this

    return float(stdtrit(freedom, 0.975))
