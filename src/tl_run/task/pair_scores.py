"""How well vectors tell what belongs together: the best threshold, the rank of each text's partner, clusters."""

import warnings
from collections import defaultdict

import numpy as np

CHUNK = 1024  # first texts that are compared with all others at once


def best_threshold(cosines: np.ndarray, gold: np.ndarray) -> float:
    """The threshold t for which (cosine >= t) == gold most often: the middle between two cosines, the lowest such."""
    order = np.argsort(cosines, kind="stable")
    found, is_one = cosines[order], gold[order] == 1
    right = is_one.sum() + np.concatenate([[0], np.cumsum(~is_one) - np.cumsum(is_one)])  # with the first i called 0
    between = np.concatenate([[True], found[1:] > found[:-1], [True]])  # no threshold parts equal cosines
    edges = np.concatenate([[found[0] - 0.01], (found[1:] + found[:-1]) / 2, [found[-1] + 0.01]])
    return float(edges[np.argmax(np.where(between, right, -1))])


def partner_ranks(vectors: np.ndarray, members: np.ndarray) -> np.ndarray:
    """For each example the place of its second text among all second (and third) texts, by cosine to its first one.

    `vectors` (examples, sides, hidden) and `members` (examples, sides), the numbers of the texts. 1 is the best; what
    is just as near counts as nearer. The first text itself and its other partners, where it has several, do not count.
    """
    numbers, places = np.unique(members[:, 1:].T.ravel(), return_index=True)
    others = vectors[:, 1:].swapaxes(0, 1).reshape(-1, vectors.shape[-1])[places]
    others = others / np.maximum(np.linalg.norm(others, axis=1, keepdims=True), 1e-12)
    own = np.searchsorted(numbers, members[:, 1])  # the column of each example's partner
    partners: dict[int, list[int]] = defaultdict(list)
    for first, column in zip(members[:, 0].tolist(), own.tolist(), strict=True):
        partners[first].append(column)
    itself = dict(zip(numbers.tolist(), range(len(numbers)), strict=True))
    ranks = np.empty(len(members), np.int64)
    for start in range(0, len(members), CHUNK):
        firsts, mine = members[start : start + CHUNK, 0].tolist(), own[start : start + CHUNK]
        scores = vectors[start : start + CHUNK, 0] @ others.T  # the length of the first text changes no order
        reached = scores[np.arange(len(mine)), mine]
        for row, first in enumerate(firsts):
            scores[row, [*partners[first], *([itself[first]] if first in itself else [])]] = -np.inf
        ranks[start : start + CHUNK] = 1 + (scores >= reached[:, None]).sum(1)
    return ranks


def clusters(units: np.ndarray, count: int) -> np.ndarray:
    """The cluster of each vector of length 1 (examples, hidden): the best of ten k-means, the same ten every time."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    # Several threads would add up in the order in which they are done; and equal vectors make fewer clusters.
    with threadpool_limits(1), warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        return KMeans(count, n_init=10, random_state=0).fit_predict(units)  # type: ignore[arg-type]
