"""A kind of task as a method of transfer takes it: the same, with other training batches."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tl_run.data.encoded import Encoded


class Augmented:
    """Changes nothing. An augmentation replaces what it does to a batch, and all else is the task's own.

    What it draws is a function of seed, epoch and the example's number: no cut into micro-batches, number of processes
    or restart changes it. Evaluation has the task itself, and never sees this.
    """

    words = ""
    """For the plan."""

    def __init__(
        self,
        options: Any,
        *,
        task: Any,
        splits: Mapping[str, Sequence[Any]],
        encoded: Mapping[str, Encoded],
        tokenizer: Any,
        **given: Any,
    ) -> None:
        """`splits` are the examples that `encoded` was made of with `tokenizer`."""
        self.augment, self.task, self.tokenizer = options, task, tokenizer
        self.originals = {id(split): splits[name] for name, split in encoded.items()}
        """Of each encoded split."""
        self.changing = f"training texts change with every epoch (augment={options.name})" if options.anew else ""
        """Why nothing that the model makes of its inputs is stored, where they are others in each epoch."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def around(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """How a method calls the model, where `forward(model, encoded, indices, batch)` is how it would without."""
        return forward

    def collate_training(
        self, encoded: Encoded, indices: np.ndarray, pad: Mapping[str, int], seed: int, epoch: int
    ) -> dict[str, torch.Tensor]:
        """As the task's, changed."""
        return self.task.collate_training(encoded, indices, pad, seed, epoch)


class Anew(Augmented):
    """Of a split that is trained on, other token ids in each epoch, with rows for the same examples."""

    def __init__(self, options: Any, **given: Any) -> None:
        super().__init__(options, **given)
        self._made: dict[int, tuple[tuple[int, int], Encoded]] = {}

    def collate_training(
        self, encoded: Encoded, indices: np.ndarray, pad: Mapping[str, int], seed: int, epoch: int
    ) -> dict[str, torch.Tensor]:
        """A batch of the epoch's own rows, which are made when the first one is asked for."""
        when, made = self._made.get(id(encoded), (None, encoded))
        if when != (seed, epoch):
            made = self.make(encoded, seed, epoch)
            self._made[id(encoded)] = ((seed, epoch), made)
        return self.task.collate_training(made, indices, pad, seed, epoch)

    def make(self, encoded: Encoded, seed: int, epoch: int) -> Encoded:
        """The split as it is read in this epoch."""
        raise NotImplementedError
