"""Model-agnostic meta-learning: weights from which a few steps lead far (arXiv:1703.03400)."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tl_run.transfer.adapting import Adapting, Batch


class Maml(Adapting):
    """The loss of an episode's queries after steps of gradient descent on its shots, and its gradient through them.

    Algorithm 2 of the paper; with `first_order` the gradients of the steps are constants (section 5.2). All shots
    are in each step, and what is drawn for dropout is drawn anew in each.
    """

    @property
    def unit(self) -> str:
        """For the plan."""
        return f"{self.options.episodes} x {self.ways} x {self.each} examples"

    @property
    def words(self) -> str:
        """For the plan."""
        o, order = self.options, "first" if self.options.first_order else "second"
        return (
            f"maml: {o.episodes} episodes a step, {order} order through {o.inner_steps} steps at {o.inner_lr:g}; "
            f"{o.test_steps} in tests"
        )

    def loss(
        self, model: nn.Module, episode: np.ndarray, step: int, number: int
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Mean over queries after adaptation; the loss of the shots before it, and the share that is right after it."""
        o, shots = self.options, self.support(episode[:, : self.shots])
        queries, labels = self.support(episode[:, self.shots :])
        weights, losses = self.adapt(model, "train", [shots] * o.inner_steps, through=not o.first_order)
        logits = self.says(model, "train", queries, weights)
        right = (logits.argmax(-1) == labels).float().mean().item()
        shown = {"shots_before": losses[0], "shots_last": losses[-1], "accuracy": right}
        return F.cross_entropy(logits, labels), shown

    def test_batches(self, shots: np.ndarray) -> list[Batch]:
        """All shots in each step."""
        return [self.support(shots)] * self.options.test_steps
