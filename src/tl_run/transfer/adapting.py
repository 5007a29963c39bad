"""A few steps of gradient descent on an episode's examples, from weights that stay as they are."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tl_run.data.batches import cut
from tl_run.errors import BadOption
from tl_run.transfer.episodic import Episodic, Solver, Weights

Batch = tuple[np.ndarray, torch.Tensor]
"""Rows of a split and their places in the episode."""


class Adapting(Episodic):
    """What learns by `freeze` and `adapter` is what adapts."""

    def __init__(self, options: Any, **given: Any) -> None:
        super().__init__(options, **given)
        if self.hardware.precision == "fp16":
            raise BadOption(
                f"transfer={options.name}: inner steps have no scaler: type hardware.precision=bf16 or fp32"
            )

    def support(self, rows: np.ndarray) -> Batch:
        """Rows (ways, n) as one batch."""
        return rows.ravel(), self.labels(*rows.shape)

    def adapt(
        self, model: nn.Module, split: str, batches: Iterable[Batch], *, through: bool = False
    ) -> tuple[Weights, list[float]]:
        """The weights that learn after a step of gradient descent on each batch; and the loss before each step.

        With `through` a gradient can be taken through the steps.
        """
        start = {name: p for name, p in model.named_parameters() if p.requires_grad}

        def loss(weights: Weights, batch: Batch) -> torch.Tensor:
            rows, labels = batch
            within = plain_attention if through else nullcontext
            return F.cross_entropy(self.says(model, split, rows, weights, within), labels)

        return descend(start, loss, batches, self.options.inner_lr, through=through)

    def solver(self, model: nn.Module, split: str) -> Solver:
        """Adapts to the shots of each episode."""

        def solve(episode: np.ndarray) -> torch.Tensor:
            with torch.enable_grad():
                weights, _ = self.adapt(model, split, self.test_batches(episode[:, : self.shots]))
            with torch.no_grad():
                return self.says(model, split, episode[:, self.shots :].ravel(), weights)

        return solve

    def test_batches(self, shots: np.ndarray) -> Iterable[Batch]:
        """What the steps learn from where episodes are scored: rows (ways, shots)."""
        raise NotImplementedError


def plain_attention() -> AbstractContextManager[object]:
    """Attention as matrix products: the fused kernels have no second derivative."""
    return sdpa_kernel(SDPBackend.MATH)


def descend(
    start: Weights,
    loss: Callable[[Weights, Any], torch.Tensor],
    batches: Iterable[Any],
    lr: float,
    *,
    through: bool = False,
) -> tuple[Weights, list[float]]:
    """w - lr * gradient of loss(w, batch), once for each batch, from `start`; and the losses.

    The result depends on `start`: with `through` as it truly does, else as if the gradients were constants.
    """
    weights, losses = dict(start), []
    for batch in batches:
        value = loss(weights, batch)
        losses.append(value.item())
        slopes = torch.autograd.grad(value, [*weights.values()], create_graph=through, allow_unused=True)
        weights = {
            name: weight if slope is None else weight - lr * slope
            for (name, weight), slope in zip(weights.items(), slopes, strict=True)
        }
    return weights, losses


def shuffled(batch: Batch, size: int, steps: int, key: tuple[int, ...]) -> Iterator[Batch]:
    """So many batches of at most `size`, over and over again in new order; a function of the key."""
    rows, labels = batch
    generator, left = np.random.default_rng(key), list[np.ndarray]()
    for _ in range(steps):
        left = left or cut(generator.permutation(len(rows)), size)
        places = left.pop(0)
        yield rows[places], labels[torch.from_numpy(places).to(labels.device)]
