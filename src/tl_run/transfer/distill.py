"""Distillation: a smaller model learns what a larger one says of each example (arXiv:1503.02531)."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from tl_run.errors import BadOption
from tl_run.transfer.domains import require_vectors
from tl_run.transfer.method import Batches
from tl_run.transfer.teacher import Taught


class Distill(Taught):
    """alpha T^2 KL(teacher | student) at temperature T, and 1 - alpha times the task's loss (section 2).

    With `hidden` the vectors before the logits are compared too, by the mean squared difference, through a linear layer
    that learns with the model where their widths differ (FitNets, arXiv:1412.6550; TinyBERT, arXiv:1909.10351, section
    3.2). Where we differ: one layer is compared, and all is learned at once instead of in stages.
    """

    @classmethod
    def modules(cls, options: Any, *, last: nn.Linear | None, teacher: Any, **given: Any) -> dict[str, nn.Module]:
        """The layer between the vectors of both, where it is needed."""
        if not options.hidden:
            return {}
        if last is None or teacher.last is None:
            whose = "this model's" if last is None else "the teacher's"
            raise BadOption(
                f"transfer.hidden={options.hidden:g}: {whose} head has no last linear layer, whose input could be "
                "compared: type transfer.hidden=0" + (", or model.head=linear" if last is None else "")
            )
        own, its = last.in_features, teacher.last.in_features
        return {} if own == its else {"projection": nn.Linear(own, its)}

    @classmethod
    def require(cls, options: Any, **given: Any) -> None:
        """Raises: BadOption where vectors are compared that stay as they are."""
        if options.hidden:
            which = "vectors that shall be like the teacher's"
            require_vectors(f"transfer.hidden={options.hidden:g}", which, **given, instead=", or transfer.hidden=0")

    def weights(self, batches: Batches) -> dict[str, float]:
        """Examples beside labelled items."""
        terms = ("soft", "agreement", *(("hidden",) if self.options.hidden else ()))
        return super().weights(batches) | dict.fromkeys(terms, len(batches["train"]))

    def terms(
        self, model: nn.Module, batches: Batches, step: int, progress: float
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """The task's loss, the divergence from the teacher, and the distance of the vectors.

        And how often both say the same class, which nobody learns from.
        """
        o, (outputs, batch, vectors) = self.options, self.seen(model, batches, step)
        wanted, logits = self.taught("logits", batches["train"]), outputs.logits.float()
        found = {
            "task": (1 - o.alpha, self.task.loss(outputs, batch)),
            "soft": (o.alpha * o.temperature**2, divergence(wanted / o.temperature, logits / o.temperature)),
            "agreement": (0.0, (wanted.argmax(-1) == logits.argmax(-1)).float().sum()),
        }
        if o.hidden:
            assert vectors is not None
            projected = self.own["projection"](vectors) if "projection" in self.own else vectors
            apart = (projected - self.taught("vectors", batches["train"])).square().mean(-1)
            found["hidden"] = (o.hidden, apart.sum())
        return found


def divergence(wanted: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """KL(softmax(wanted) | softmax(logits)) of (examples, labels) each, summed over examples."""
    return F.kl_div(logits.log_softmax(-1), wanted.log_softmax(-1), log_target=True, reduction="sum")
