"""Maximum mean discrepancy: how far apart two samples lie as seen through kernels (arXiv:1502.02791, section 3)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from tl_run.transfer.domains import Adaptation
from tl_run.transfer.method import Batches


class Mmd(Adaptation):
    """MMD^2 between the vectors of both domains in a batch, added to the task's loss (a deep adaptation network).

    Where we differ: one layer is compared, the one before the logits, and the kernels have equal weights.
    """

    def weights(self, batches: Batches) -> dict[str, float]:
        """One MMD a batch."""
        return super().weights(batches) | {"mmd": 1}

    def compare(
        self, seen: Mapping[str, tuple[torch.Tensor, Any]], factor: float
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """MMD^2, once."""
        return {"mmd": (factor, mmd(seen["train"][0], seen["domain"][0], self.options.bandwidths))}


def mmd(one: torch.Tensor, other: torch.Tensor, bandwidths: Sequence[float]) -> torch.Tensor:
    """The unbiased estimate of MMD^2 (Gretton et al. 2012, equation 3) between (examples, width) each: a scalar.

    The kernel is the mean of exp(-distance^2 / (b * mean distance^2)) over the bandwidths b; the mean distance is over
    all pairs of two different examples, and a constant to the gradient. Of a single example nothing can be said: 0.
    """
    n, m = len(one), len(other)
    if n < 2 or m < 2:
        return (one.sum() + other.sum()) * 0
    both = torch.cat([one, other])
    distance = (both[:, None] - both[None]).square().sum(-1)  # (examples, examples)
    spread = (distance.detach().sum() / (len(both) * (len(both) - 1))).clamp(min=torch.finfo(distance.dtype).tiny)
    kernel = torch.stack([(-distance / (b * spread)).exp() for b in bandwidths]).mean(0)
    within = [(k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1)) for k in (kernel[:n, :n], kernel[n:, n:])]
    return within[0] + within[1] - 2 * kernel[:n, n:].mean()
