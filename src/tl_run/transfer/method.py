"""What every method of transfer is to the loop: streams of batches, terms of a loss with their weights, a gradient."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn

from tl_run.data.batches import Stream
from tl_run.distributed import ALONE, Group

Batches = Mapping[str, np.ndarray]  # for each stream the indices of its examples


class Method:
    """A method fills gradients from batches.

    The loss is the sum over terms of factor * sum / weight, where the weight of a term is counted over the whole batch
    before the first backward pass: so any cut into micro-batches gives the same gradient up to the order of float sums.
    """

    divisible = True
    """False where a loss is no sum over examples: its batches are cut only as the user says."""

    def streams(self) -> dict[str, Stream]:
        """The streams of a step; the first one counts epochs."""
        raise NotImplementedError

    def weights(self, batches: Batches) -> dict[str, float]:
        """How many items each term sums over, or the sum of their weights."""
        raise NotImplementedError

    def terms(
        self, model: nn.Module, batches: Batches, step: int, progress: float
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """For each term its factor at this step and progress (0 to 1) and its sum over the items of `batches`."""
        raise NotImplementedError

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
        """Add the gradient of the batch to `.grad`, a micro-batch at a time; returns the mean of each term.

        Of several processes each adds that of its own part, and returns its share of the means.
        """
        weights = {term: max(1, count) for term, count in self.weights(batches).items()}  # nothing labelled: 0 / 1
        (name, indices), *others = batches.items()
        assert not others, "a method with several streams cuts them in its own gradient()"
        means: dict[str, torch.Tensor] = {}
        for part, counts in group.parts(indices, micro_batch_size):
            terms = self.terms(model, {name: part}, step, progress)
            loss = torch.stack([factor * total / weights[term] for term, (factor, total) in terms.items()]).sum()
            backward(loss if counts else loss * 0)
            for term, (_, total) in terms.items() if counts else ():
                means[term] = means.get(term, torch.zeros_like(total)) + total.detach() / weights[term]
        return {term: means.get(term, torch.zeros(())) for term in weights}
