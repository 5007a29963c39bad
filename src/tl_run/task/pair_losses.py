"""Losses over vectors of texts that do or do not belong together: each a sum over the examples of a batch, in float32.

`vectors` are (sides, examples, hidden): first texts, second ones, and of triplets those that do not belong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Loss = Callable[["Tensor", "Tensor", Any], "Tensor"]


def cosine(vectors: Tensor, labels: Tensor, options: Any) -> Tensor:
    """(cos(u, v) - score)^2, scores from 0 to 1: CosineSimilarityLoss of sentence-transformers (arXiv:1908.10084)."""
    return (similarity(vectors[0], vectors[1]) - labels).square().sum()


def contrastive(vectors: Tensor, labels: Tensor, options: Any) -> Tensor:
    """d^2 / 2 where the label is 1, max(0, margin - d)^2 / 2 where it is 0 (Hadsell et al. 2006, equation 4).

    Where we differ: d is 1 - cos(u, v), as in sentence-transformers, not the length of u - v.
    """
    distance = 1 - similarity(vectors[0], vectors[1])
    return (labels * distance.square() + (1 - labels) * (options.margin - distance).relu().square()).sum() / 2


def in_batch(vectors: Tensor, labels: Tensor, options: Any) -> Tensor:
    """-log softmax(scale * cos(u_i, .))[v_i] over the second texts of the batch, and those that do not belong.

    Multiple negatives ranking (arXiv:1705.00652, section 4.4). `labels` (examples, sides) are numbers of texts: what is
    the same text as v_i, or as u_i itself, is no negative. The batch must not be cut.
    """
    import torch
    from torch.nn.functional import cross_entropy, normalize

    candidates, numbers = vectors[1:].flatten(0, 1), labels[:, 1:].T.flatten()
    scores = options.scale * normalize(vectors[0], dim=-1) @ normalize(candidates, dim=-1).T
    own = torch.arange(len(labels), device=labels.device)
    same = (numbers == labels[:, :1]) | (numbers == labels[:, 1:2])
    same[own, own] = False
    return cross_entropy(scores.masked_fill(same, -torch.inf), own, reduction="sum")


def triplet_hinge(vectors: Tensor, labels: Tensor, options: Any) -> Tensor:
    """max(0, |a - p| - |a - n| + margin), lengths of differences (arXiv:1908.10084, section 3)."""
    anchor, positive, negative = vectors
    return (_length(anchor - positive) - _length(anchor - negative) + options.margin).relu().sum()


def triplet_softmax(vectors: Tensor, labels: Tensor, options: Any) -> Tensor:
    """-log softmax(scale * [cos(a, p), cos(a, n)])[0]."""
    from torch.nn.functional import softplus

    anchor, positive, negative = vectors
    return softplus(options.scale * (similarity(anchor, negative) - similarity(anchor, positive))).sum()


def triplet_ranking(vectors: Tensor, labels: Tensor, options: Any) -> Tensor:
    """max(0, cos(a, n) - cos(a, p) + margin)."""
    anchor, positive, negative = vectors
    return (similarity(anchor, negative) - similarity(anchor, positive) + options.margin).relu().sum()


LOSSES: Mapping[str, Loss] = {
    "cosine": cosine,
    "contrastive": contrastive,
    "in_batch": in_batch,
    "triplet_hinge": triplet_hinge,
    "triplet_softmax": triplet_softmax,
    "triplet_ranking": triplet_ranking,
}


def similarity(one: Tensor, other: Tensor) -> Tensor:
    """Cosines of rows: (examples,)."""
    from torch.nn.functional import cosine_similarity

    return cosine_similarity(one, other, dim=-1)


def classify(vectors: Tensor, weight: Tensor) -> Tensor:
    """W [u, v, |u - v|]: logits (examples, classes)."""
    import torch

    one, other = vectors[0], vectors[1]
    return torch.cat([one, other, (one - other).abs()], -1) @ weight.float().T


def _length(difference: Tensor) -> Tensor:
    """The square root has no slope at 0, which equal texts would meet: a little is added."""
    return (difference.square().sum(-1) + 1e-12).sqrt()
