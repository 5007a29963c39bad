"""Reptile: the weights go towards what episodes adapt them to (arXiv:1803.02999)."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import nn

from tl_run.distributed import ALONE, Group
from tl_run.transfer.adapting import Adapting, Batch, shuffled
from tl_run.transfer.episodic import mean_of
from tl_run.transfer.method import Batches


class Reptile(Adapting):
    """The gradient is w - mean over episodes of the adapted w; the run's optimizer takes it (section 2, algorithm 2).

    Gradient descent at rate eps is the paper's w + eps * (mean - w). Training has no queries: an episode's examples are
    all learned from, which are more than there are shots in tests, as in the paper's section 6.1.
    """

    @property
    def unit(self) -> str:
        """For the plan."""
        return f"{self.options.episodes} episodes with {self.options.inner_steps} batches of {self.batch_size}"

    @property
    def words(self) -> str:
        """For the plan."""
        o = self.options
        return (
            f"reptile: {o.episodes} episodes a step, {o.inner_steps} steps at {o.inner_lr:g} in each, {o.test_steps} "
            "in tests; the optimizer takes w - mean of the adapted w"
        )

    def gradient(
        self,
        model: nn.Module,
        batches: Batches,
        *,
        step: int,
        progress: float,
        micro_batch_size: int,
        backward: Callable[[torch.Tensor], None],
        group: Group = ALONE,
    ) -> dict[str, torch.Tensor]:
        """The mean loss is that of the inner steps."""
        episodes, shown = self.episodes(batches), []
        learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
        total = {name: torch.zeros_like(p) for name, p in learning.items()}
        for number, episode in enumerate(episodes):
            key = (self.seed, step, number, 6)
            rows = shuffled(self.support(episode), self.batch_size, self.options.inner_steps, key)
            weights, losses = self.adapt(model, "train", rows)
            with torch.no_grad():
                for name, parameter in learning.items():
                    total[name] += (weights[name] - parameter) / len(episodes)
            shown.append({"first_loss": losses[0], "last_loss": losses[-1], "loss": float(np.mean(losses))})
        for name, parameter in learning.items():
            parameter.grad = -total[name]
        self.seen = mean_of(shown)
        loss = torch.tensor(self.seen.pop("loss"))
        self.seen["distance"] = torch.stack([each.norm() for each in total.values()]).norm().item()
        return {"loss": loss}

    def test_batches(self, shots: np.ndarray) -> Iterable[Batch]:
        """Batches of the shots, as in training."""
        return shuffled(self.support(shots), self.batch_size, self.options.test_steps, (*shots.ravel(),))
