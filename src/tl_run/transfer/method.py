"""What every method of transfer is to the loop: streams of batches, terms of a loss with their weights, a gradient."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch import nn

from tl_run.data.batches import Stream
from tl_run.data.encoded import Encoded
from tl_run.distributed import ALONE, Group
from tl_run.evaluation import Evaluation

Batches = Mapping[str, np.ndarray]  # for each stream the indices of its examples


@dataclass(frozen=True)
class Fit:
    """How this run fine-tunes, for a method that does it by itself."""

    optimizer: Callable[[], torch.optim.Optimizer]
    """A new one over what learns."""
    pace: Callable[[torch.optim.Optimizer, int, int], object]
    """Sets its rates for a step (0, 1, ...) of so many."""
    epochs: int
    max_steps: int | None
    clip: float | None


class Method:
    """A method fills gradients from batches.

    The loss is the sum over terms of factor * sum / weight, where the weight of a term is counted over the whole batch
    before the first backward pass: so any cut into micro-batches gives the same gradient up to the order of float sums.
    What it remembers from step to step lies in parameters and buffers of its modules, which checkpoints hold.
    """

    divisible = True
    """False where a loss is no sum over examples: its batches are cut only as the user says."""
    data: Mapping[str, Encoded]
    """What each stream's indices point into."""
    whole_vocabulary = ""
    """Why rows of the vocabulary that no text has are computed too, where they are."""
    moves_statistics = True
    """Whether batch normalization may take its statistics from the batches that the method makes."""
    unit = ""
    """For the plan: what a step is of, where that is not training.batch_size examples."""
    words = ""
    """For the plan: what it does, where that is more than fine-tuning."""

    @classmethod
    def modules(
        cls, options: Any, *, task: Any, last: nn.Linear | None, sizes: Mapping[str, int], teacher: Any
    ) -> dict[str, nn.Module]:
        """Modules of its own that learn beside the model and are not saved with it.

        `last` is the layer that gives the logits, where there is one; `sizes` counts the examples of each split.
        Raises: BadOption when the method needs what is not there.
        """
        return {}

    @classmethod
    def require(
        cls,
        options: Any,
        *,
        task: Any,
        model: nn.Module,
        last: nn.Linear | None,
        new: Collection[str],
        learns: Collection[str],
        freeze: str,
        drops: Callable[[], bool],
    ) -> None:
        """Whether there is something to act on, before anything is encoded.

        `new` and `learns` name parameters: those that the checkpoint did not bring, and those that ever learn, under
        the `freeze` of this name. `drops` says whether dropout is drawn where they do.
        Raises: BadOption when the method would do nothing.
        """

    @property
    def rates(self) -> Mapping[str, float]:
        """Learning rates of its own modules, by their name in the model, where they are not that of the head."""
        return {}

    def streams(self) -> dict[str, Stream]:
        """The streams of a step; the first one counts epochs."""
        raise NotImplementedError

    def ids(self, step: int) -> list[str]:
        """The examples that a step sees."""
        return [self.data[name].ids[i] for name, stream in self.streams().items() for i in stream.batch(step)]

    def learns(self, model: nn.Module) -> bool:
        """Whether there is anything to train before the scores; `model` knows what is frozen."""
        return True

    def prepare(self, model: nn.Module, step: int, progress: float) -> None:
        """Called before each step's gradient: what is computed anew from time to time, such as pseudo-labels."""

    def examples(self, batches: Batches) -> int:
        """How many examples a step sees."""
        return sum(map(len, batches.values()))

    def facts(self, steps: int) -> dict[str, Any]:
        """What result.json shall say of the method after so many steps."""
        return {}

    def scalars(self, step: int, progress: float) -> dict[str, float]:
        """What to show of the method itself beside the terms of its loss."""
        return {}

    def weights(self, batches: Batches) -> dict[str, float]:
        """How many items each term sums over, or the sum of their weights."""
        raise NotImplementedError

    def terms(
        self, model: nn.Module, batches: Batches, step: int, progress: float
    ) -> Mapping[str, tuple[float | torch.Tensor, torch.Tensor]]:
        """For each term its factor at this step and progress (0 to 1) and its sum over the items of `batches`.

        A micro-batch need not have examples of every stream, and gives the terms of those that it has.
        """
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
        """Add the gradient of the batch to `.grad`, a micro-batch at a time; returns the `loss` and each term's mean.

        Of several processes each adds that of its own part, and returns its share of the means.
        """
        weights = {term: max(1, count) for term, count in self.weights(batches).items()}  # nothing labelled: 0 / 1
        cut = {name: group.parts(indices, micro_batch_size) for name, indices in batches.items()}
        means = {term: torch.zeros(()) for term in ("loss", *weights)}
        for parts in zip_longest(*cut.values()):
            there = {name: part for name, part in zip(cut, parts, strict=True) if part is not None}
            counts = all(counted for _, counted in there.values())
            terms = self.terms(model, {name: indices for name, (indices, _) in there.items()}, step, progress)
            loss = torch.stack([factor * total / weights[term] for term, (factor, total) in terms.items()]).sum()
            backward(loss if counts else loss * 0)
            for term, (_, total) in terms.items() if counts else ():
                means[term] = means[term] + (total.detach() / weights[term]).cpu()
            means["loss"] = means["loss"] + loss.detach().cpu() if counts else means["loss"]
        return means

    def evaluate(
        self,
        model: nn.Module,
        split: str,
        score: Callable[[str], Evaluation],
        between: Callable[[], object] = lambda: None,
    ) -> Evaluation:
        """The scores of a split; `score` gives those of the model as it is, and `between` may end it by raising."""
        return score(split)
