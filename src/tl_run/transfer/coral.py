"""Correlation alignment: the second-order statistics of both domains are brought together (arXiv:1607.01719)."""

from collections.abc import Mapping
from typing import Any

import torch

from tl_run.transfer.domains import Adaptation
from tl_run.transfer.method import Batches


class Coral(Adaptation):
    """The CORAL loss between the vectors of both domains in a batch, added to the task's loss (Deep CORAL)."""

    def weights(self, batches: Batches) -> dict[str, float]:
        """One distance a batch."""
        return super().weights(batches) | {"coral": 1}

    def compare(
        self, seen: Mapping[str, tuple[torch.Tensor, Any]], factor: float
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """The loss, once."""
        return {"coral": (factor, coral(seen["train"][0], seen["domain"][0]))}


def coral(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """|C_one - C_other|^2 / (4 width^2) (equation 1) of the covariances of (examples, width) each: a scalar."""
    width = one.shape[1]
    difference = covariance(one) - covariance(other)
    return difference.square().sum() / (4 * width * width)


def covariance(vectors: torch.Tensor) -> torch.Tensor:
    """The sample covariance of (examples, width): (width, width); 0 of a single example."""
    centred = vectors - vectors.mean(0)
    return centred.T @ centred / max(1, len(vectors) - 1)
