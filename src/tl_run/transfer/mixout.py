"""Mixout: at each step a random part of the weights is as it was at the start (arXiv:1909.11299)."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from tl_run.errors import BadOption
from tl_run.transfer.finetune import FineTune


class Mixout(FineTune):
    """Each matrix w of a layer is read as (m w + (1 - m) u - p u) / (1 - p), m = 0 with probability p (section 4).

    u is where w began. Embeddings, biases and norms are not mixed, as in the authors' experiments; what is new begins
    anywhere and is not either. Where we differ: one mask for all examples of a step, drawn from seed and step, so that
    a batch may be cut and a run resumed; dropout stays on beside it.
    """

    @classmethod
    def require(
        cls,
        options: Any,
        *,
        model: nn.Module,
        new: Collection[str],
        learns: Collection[str],
        freeze: str,
        **others: Any,
    ) -> None:
        """Raises: BadOption where no matrix that the checkpoint brought learns."""
        if not mixed(model, new, learns):
            raise BadOption(
                f"transfer=mixout: with freeze={freeze} no pretrained matrix of a layer learns, so there is nothing to "
                "mix: type freeze=none, or transfer=finetune"
            )

    def __init__(
        self, options: Any, *, model: nn.Module, new: Collection[str], learns: Collection[str], **given: Any
    ) -> None:
        super().__init__(options, model=model, new=new, learns=learns, **given)
        self.start = {name: p.detach().clone() for name, p in mixed(model, new, learns).items()}
        count = sum(start.numel() for start in self.start.values())
        self.words = f"mixout: {options.p:.0%} of {count:,} weights in matrices are replaced at each step"

    def scalars(self, step: int, progress: float) -> dict[str, float]:
        """How many of the mixed weights were the starting ones."""
        return {"mixout/share": self.share}

    def gradient(self, model: nn.Module, batches: Any, *, step: int, **how: Any) -> dict[str, torch.Tensor]:
        """That of fine-tuning where the mixed weights are, carried back through the mixture."""
        learning = {name: p for name, p in model.named_parameters() if name in self.start and p.requires_grad}
        with self._mixed(learning, step) as factors:
            means = super().gradient(model, batches, step=step, **how)
        for name, parameter in learning.items():
            if parameter.grad is not None:
                parameter.grad.mul_(factors[name])
        return means

    @contextmanager
    def _mixed(self, learning: dict[str, nn.Parameter], step: int) -> Iterator[dict[str, torch.Tensor]]:
        """The weights are mixed in place; gives for each how the mixture changes with it: 0, or 1 / (1 - p)."""
        state = np.random.SeedSequence([self.seed, step]).generate_state(1, np.uint64)
        generator = torch.Generator(self.hardware.device).manual_seed(int(state[0] >> np.uint64(1)))
        own = {name: parameter.detach().clone() for name, parameter in learning.items()}
        factors, p = {}, self.options.p
        with torch.no_grad():
            for name, parameter in learning.items():
                self.start[name] = self.start[name].to(parameter.device)
                kept = torch.rand(parameter.shape, generator=generator, device=parameter.device) >= p
                factors[name] = kept / (1 - p)
                parameter.copy_(mix(own[name], self.start[name], kept, p))
        zeros = sum(int((factor == 0).sum()) for factor in factors.values())
        self.share = zeros / max(1, sum(factor.numel() for factor in factors.values()))
        try:
            yield factors
        finally:
            with torch.no_grad():
                for name, parameter in learning.items():
                    parameter.copy_(own[name])


def mixed(model: nn.Module, new: Collection[str], learns: Collection[str]) -> dict[str, nn.Parameter]:
    """The matrices that ever learn, without embeddings and what is new."""
    looked_up = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    return {
        name: p
        for name, p in model.named_parameters()
        if p.ndim > 1 and name in learns and name not in new and id(p) not in looked_up
    }


def mix(weight: torch.Tensor, start: torch.Tensor, kept: torch.Tensor, p: float) -> torch.Tensor:
    """The weight where it is kept and else the start, corrected so that the mean over masks is the weight itself."""
    return (torch.where(kept, weight, start) - p * start) / (1 - p)
