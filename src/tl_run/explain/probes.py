"""How much of the label a linear probe reads from states (arXiv:1610.01644): one half teaches, the other scores."""

from collections.abc import Callable

import numpy as np

from tl_run.task.regression import correlations

SEEDS = 3
STRENGTH = 0.01
"""C of the probe: the weight of its loss against the squared norm of its coefficients, of standardized states."""

Score = Callable[[np.ndarray, np.ndarray], float]
"""From gold and found (examples,)."""


def probe(states: np.ndarray, labels: np.ndarray, metric: str) -> list[float]:
    """A score for each seed, the mean over both halves, of states (examples, dims); `metric` is a key of METRICS."""
    return [
        float(np.mean([_score(states, labels, *halves, metric) for halves in _halves(labels, seed, metric)]))
        for seed in range(SEEDS)
    ]


def floor(labels: np.ndarray, metric: str) -> float:
    """What is reached by always saying the largest class; of numbers 0."""
    if metric == "spearman":
        return 0.0
    names, counts = np.unique(labels, return_counts=True)
    return METRICS[metric](labels, np.full_like(labels, names[counts.argmax()]))


def lacking(labels: np.ndarray, metric: str) -> str:
    """Why labels (examples,) are too few to teach a probe, or nothing."""
    if len(labels) < 20:
        return f"{len(labels)} examples with labels, a probe needs 20"
    counts = np.unique(labels, return_counts=True)[1]
    if metric != "spearman" and (counts > 1).sum() < 2:
        return "fewer than two labels have two examples, and each half needs two labels"
    return "" if len(counts) > 1 else "all labels are the same"


def _halves(labels: np.ndarray, seed: int, metric: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two halves, each in turn first, with the same share of each class."""
    order = np.random.default_rng(seed).permutation(len(labels))
    if metric != "spearman":
        order = order[np.argsort(labels[order], kind="stable")]
    return [(order[::2], order[1::2]), (order[1::2], order[::2])]


def _score(states: np.ndarray, labels: np.ndarray, taught: np.ndarray, scored: np.ndarray, metric: str) -> float:
    from sklearn.linear_model import LogisticRegression, Ridge

    middle, spread = states[taught].mean(0, dtype=np.float64), states[taught].std(0, dtype=np.float64)
    features = (states - middle) / np.where(spread > 0, spread, 1)
    # Ridge counts C from the other side, and without the half.
    made = Ridge(0.5 / STRENGTH) if metric == "spearman" else LogisticRegression(C=STRENGTH, max_iter=10_000)
    return METRICS[metric](labels[scored], made.fit(features[taught], labels[taught]).predict(features[scored]))


def _f1(gold: np.ndarray, found: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(gold, found, average="macro"))


METRICS: dict[str, Score] = {
    "accuracy": lambda gold, found: float((gold == found).mean()),
    "f1_macro": _f1,
    "spearman": lambda gold, found: correlations(gold, found)["spearman"],
}
