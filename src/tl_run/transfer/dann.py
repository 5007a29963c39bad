"""Domain-adversarial training: vectors from which a classifier cannot tell the domain (arXiv:1505.07818)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from tl_run.transfer import WITHIN
from tl_run.transfer.domains import Adaptation
from tl_run.transfer.method import Batches

SIDES = {"train": 0.0, "domain": 1.0}  # what the domain classifier is to say of each stream


class Dann(Adaptation):
    """A small classifier learns to tell the domains apart; its gradient is reversed before it reaches the model.

    Each domain counts half, whatever the number of its examples in a batch. Where we differ: one hidden layer of a size
    to choose, where the paper has another classifier for each of its data sets.
    """

    @classmethod
    def modules(cls, options: Any, *, last: nn.Linear | None, **given: Any) -> dict[str, nn.Module]:
        """The domain classifier."""
        super().modules(options, last=last, **given)
        assert last is not None
        return {"domain": classifier(cls.width(last), options.hidden)}

    @property
    def rates(self) -> dict[str, float]:
        """The domain classifier's: it must follow the model, or its reversed gradient leads nowhere."""
        return {f"{WITHIN}.domain": self.options.classifier_lr}

    @staticmethod
    def width(last: nn.Linear) -> int:
        """Numbers that the domain classifier sees of an example."""
        return last.in_features

    def weights(self, batches: Batches) -> dict[str, float]:
        """Examples of each domain, and of both."""
        counts = {name: len(indices) for name, indices in batches.items()}
        domains = {f"domain_of_{name}": count for name, count in counts.items()}
        return super().weights(batches) | domains | {"domain_accuracy": sum(counts.values())}

    def compare(
        self, seen: Mapping[str, tuple[torch.Tensor, Any]], factor: float
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """The domain classifier's loss on each domain, and how often it is right, which nobody learns from.

        The factor acts on the reversed gradient alone, so that the classifier itself learns from the first step on.
        """
        found, right = {}, []
        for name, (vectors, outputs) in seen.items():
            logits = self.own["domain"](reverse(self.joined(vectors, outputs), factor)).squeeze(-1)
            side = torch.full_like(logits, SIDES[name])
            loss = F.binary_cross_entropy_with_logits(logits, side, reduction="none")
            found[f"domain_of_{name}"] = (0.5, (loss * self.importance(outputs)).sum())
            right.append(((logits > 0) == side.bool()).sum())
        return found | {"domain_accuracy": (0.0, torch.stack(right).sum().float())}

    def joined(self, vectors: torch.Tensor, outputs: Any) -> torch.Tensor:
        """What the domain classifier sees: (examples, width)."""
        return vectors

    def importance(self, outputs: Any) -> torch.Tensor | float:
        """What each example counts: (examples,)."""
        return 1.0


def classifier(width: int, hidden: int) -> nn.Sequential:
    """(examples, width) to a logit for each, which says new domain: (examples, 1)."""
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return vectors.view_as(vectors)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.factor * gradients[0], None


def reverse(vectors: torch.Tensor, factor: float) -> torch.Tensor:
    """The same vectors; the gradient that comes back to them is multiplied by -factor (section 5.1)."""
    return _Reverse.apply(vectors, factor)  # type: ignore[return-value]
