"""What every method of transfer is to the loop: streams of batches, terms of a loss with their weights, a gradient."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn

from tl_run.data.batches import Stream, cut

Batches = Mapping[str, np.ndarray]  # for each stream the indices of its examples


class Method:
    """A method fills gradients from batches.

    The loss is the sum over terms of factor * sum / weight, where the weight of a term is counted over the whole batch
    before the first backward pass: so any cut into micro-batches gives the same gradient up to the order of float sums.
    """

    divisible = True
    """False where a loss is no sum over examples: its batches must not be cut."""

    modules: nn.ModuleDict
    """What the method trains besides the model; optimised and checkpointed, not exported."""

    def streams(self) -> dict[str, Stream]:
        """The streams of a step; the first one counts epochs."""
        raise NotImplementedError

    def weights(self, batches: Batches) -> dict[str, int]:
        """How many items each term sums over."""
        raise NotImplementedError

    def terms(self, model: nn.Module, batches: Batches, progress: float) -> dict[str, tuple[float, torch.Tensor]]:
        """For each term its factor at this progress (0 to 1) and its sum over the items of `batches`."""
        raise NotImplementedError

    def gradient(
        self,
        model: nn.Module,
        batches: Batches,
        *,
        progress: float,
        micro_batch_size: int,
        backward: Callable[[torch.Tensor], None],
    ) -> dict[str, float]:
        """Add the gradient of the batch to `.grad`, one micro-batch at a time; returns each term's mean."""
        weights = self.weights(batches)
        (name, indices), *others = batches.items()
        assert not others, "a method with several streams cuts them in its own gradient()"
        means = dict.fromkeys(weights, 0.0)
        for part in cut(indices, micro_batch_size):
            terms = self.terms(model, {name: part}, progress)
            loss = torch.stack([factor * total / weights[term] for term, (factor, total) in terms.items()]).sum()
            backward(loss)
            for term, (_, total) in terms.items():
                means[term] += total.item() / weights[term]
        return means
