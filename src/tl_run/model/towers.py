"""Two towers that are one: the same trunk reads both texts, each by itself, and vectors are compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers.utils.generic import ModelOutput

from tl_run.model.design import Design


@dataclass
class Vectors(ModelOutput):
    """One vector for each text."""

    vectors: torch.Tensor | None = None  # (texts, hidden)
    classifier: torch.Tensor | None = None  # (classes, 3 * hidden): its weight, for the loss; it has no bias


class Tower(nn.Module):
    """What comes after pooling: nothing, or length 1; and what learns to compare, where there is something.

    The classifier is Sentence-BERT's, softmax(W [u, v, |u - v|]) (arXiv:1908.10084, section 3).
    """

    def __init__(self, design: Design, hidden: int, count: int, labels: int) -> None:
        super().__init__()
        self.normalize = design.normalize
        self.classifier = nn.Linear(3 * hidden, labels, bias=False) if design.classifier else None

    def forward(self, states: Sequence[torch.Tensor], mask: torch.Tensor) -> Vectors:
        """The pooled state (texts, hidden) of the one layer that is read -> vectors."""
        (vectors,) = states
        if self.normalize:
            vectors = F.normalize(vectors.float(), dim=-1)
        return Vectors(vectors=vectors, classifier=None if self.classifier is None else self.classifier.weight)
