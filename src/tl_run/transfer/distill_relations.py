"""Relational distillation: how examples lie to each other is learned from a teacher (arXiv:1904.05068)."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from tl_run.errors import BadOption
from tl_run.transfer.domains import require_vectors
from tl_run.transfer.method import Batches
from tl_run.transfer.teacher import Taught


class DistillRelations(Taught):
    """The task's loss, and what differs in distances of two and angles of three vectors (sections 3.2.1 and 3.2.2).

    Vectors may have any width. Where we differ: the mean is taken over pairs and triples of different examples, where
    the paper writes sums.
    """

    @classmethod
    def modules(cls, options: Any, *, last: nn.Linear | None, teacher: Any, **given: Any) -> dict[str, nn.Module]:
        """None. Raises: BadOption where one of both has no vector for each example before its logits."""
        if last is None or teacher.last is None:
            whose = "this model's" if last is None else "the teacher's"
            raise BadOption(
                f"transfer=distill_relations: {whose} head has no last linear layer, whose input could be "
                "compared: type " + ("model.head=linear" if last is None else "transfer=distill")
            )
        return {}

    @classmethod
    def require(cls, options: Any, **given: Any) -> None:
        """Raises: BadOption where the vectors stay as they are."""
        require_vectors(f"transfer={options.name}", "vectors that shall lie as the teacher's", **given)

    def weights(self, batches: Batches) -> dict[str, float]:
        """One distance and one angle a batch."""
        return super().weights(batches) | {"distance": 1, "angle": 1}

    def terms(
        self, model: nn.Module, batches: Batches, step: int, progress: float
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """The task's loss, and the two losses on relations."""
        outputs, batch, own = self.seen(model, batches, step)
        its = self.taught("vectors", batches["train"])
        assert own is not None
        return {
            "task": (1.0, self.task.loss(outputs, batch)),
            "distance": (self.options.distance, compared(distances(own), distances(its))),
            "angle": (self.options.angle, compared(angles(own), angles(its))),
        }


def compared(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The mean Huber loss (equation 5); 0 of nothing."""
    return F.smooth_l1_loss(one, other) if len(one) else one.sum()


def distances(vectors: torch.Tensor) -> torch.Tensor:
    """Between (examples, width), each pair of different ones twice, in units of their mean: (pairs,)."""
    i, j = _different(len(vectors), vectors.device, 2)
    found = (vectors[i] - vectors[j]).square().sum(-1).clamp(min=1e-12).sqrt()
    return found / found.mean().clamp(min=1e-6) if len(found) else found


def angles(vectors: torch.Tensor) -> torch.Tensor:
    """The cosine of the angle at j between i and k, for three different ones of (examples, width): (triples,)."""
    i, j, k = _different(len(vectors), vectors.device, 3)
    directions = F.normalize(vectors[None] - vectors[:, None], dim=-1)  # (from, to, width)
    cosines = directions @ directions.transpose(1, 2)  # (at, examples, examples)
    return cosines[j, i, k]


def _different(count: int, device: torch.device, size: int) -> tuple[torch.Tensor, ...]:
    """All ways to take `size` different ones of `count` in order."""
    grid = torch.meshgrid(*[torch.arange(count, device=device)] * size, indexing="ij")
    apart = torch.ones_like(grid[0], dtype=torch.bool)
    for a in range(size):
        for b in range(a):
            apart &= grid[a] != grid[b]
    return tuple(axis[apart] for axis in grid)
