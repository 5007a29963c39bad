"""Where the right answer stands among all candidates, and the scores that are counted from such ranks."""

from collections.abc import Callable, Collection, Mapping

import numpy as np

SCORES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "mrr": lambda ranks: 1 / ranks,
    "hits_at_1": lambda ranks: (ranks <= 1).astype(float),
    "hits_at_3": lambda ranks: (ranks <= 3).astype(float),
    "hits_at_10": lambda ranks: (ranks <= 10).astype(float),
    "mean_rank": lambda ranks: ranks,
}
"""What a rank counts; a score is the mean over all ranks, those of heads and those of tails together."""


def without(distances: np.ndarray, others: Collection[int]) -> np.ndarray:
    """Distances (candidates,) in which those that are right too stand at the end: filtered, as Bordes et al. (2013,
    section 4.2) have it."""
    found = distances.copy()
    found[[*others]] = np.inf
    return found


def rank(distances: np.ndarray, gold: int) -> float:
    """From 1; among equals the mean of the best place and the worst, so that a model that tells nothing apart is not
    credited for it (arXiv:2002.06914, section 3.2)."""
    own = distances[gold]
    return 1 + float((distances < own).sum()) + (float((distances == own).sum()) - 1) / 2


def nearest(distances: np.ndarray, count: int) -> list[int]:
    """The candidates at the smallest distances, of equals the first; none that `without` has put at the end."""
    some = np.argpartition(distances, count)[:count] if count < len(distances) else np.arange(len(distances))
    ordered = some[np.lexsort((some, distances[some]))]
    return ordered[np.isfinite(distances[ordered])].tolist()
