"""R-Drop: two passes with other dropouts shall say the same of an example (arXiv:2106.14448)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from tl_run.errors import BadOption
from tl_run.transfer.finetune import FineTune
from tl_run.transfer.method import Batches


class Rdrop(FineTune):
    """The mean of the task's loss in both passes, and alpha times the symmetric divergence of what they say.

    Where we differ: the paper writes the sum of both losses, its code takes the mean, and so do we.
    """

    @classmethod
    def require(
        cls, options: Any, *, task: Any, model: Any, freeze: str, drops: Callable[[], bool], **others: Any
    ) -> None:
        """Raises: BadOption where no dropout is drawn, and both passes would be one."""
        if drops():
            return
        inside = {id(module) for module in model.base_model.modules()}
        if any(isinstance(module, nn.Dropout) and id(module) not in inside for module in model.modules()):
            remedy = "model.dropout=0.1, or "
        else:
            remedy = "model.head=linear model.dropout=0.1, or " if task.options.own_heads else "model=mobilenet, or "
        raise BadOption(
            f"transfer=rdrop: with freeze={freeze} this model has no dropout where it learns, so two passes always say "
            f"the same: type {remedy}transfer=finetune"
        )

    def __init__(self, options: Any, **given: Any) -> None:
        super().__init__(options, **given)
        self.words = f"rdrop: two passes for each example, their divergence counts {options.alpha:g}"

    def weights(self, batches: Batches) -> dict[str, float]:
        """Examples beside labelled items."""
        return super().weights(batches) | dict.fromkeys(("rdrop", "agreement"), len(batches["train"]))

    def terms(
        self, model: nn.Module, batches: Batches, step: int, progress: float
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """Both losses, the divergence, and how often both say the same class, which nobody learns from."""
        passes = [self.outputs(model, "train", batches["train"], step) for _ in range(2)]
        losses = torch.stack([self.task.loss(outputs, batch) for outputs, batch in passes])
        one, other = (outputs.logits.float() for outputs, _ in passes)
        same = (one.argmax(-1) == other.argmax(-1)).float().sum()
        return {
            "task": (1.0, losses.mean()),
            "rdrop": (self.options.alpha, divergence(one, other)),
            "agreement": (0.0, same),
        }


def divergence(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """(KL(P | Q) + KL(Q | P)) / 2 of logits (examples, labels) each, summed over examples."""
    p, q = one.log_softmax(-1), other.log_softmax(-1)
    both = F.kl_div(q, p, log_target=True, reduction="sum") + F.kl_div(p, q, log_target=True, reduction="sum")
    return both / 2
