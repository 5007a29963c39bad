"""Which examples a step sees: a function of seed and step alone, so that resuming needs no generator's state."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

import numpy as np

Items = TypeVar("Items", bound=Sequence[Any] | np.ndarray)

WINDOW = 50  # batches that are sorted by length together: little padding, and order stays random at large


class Stream:
    """Batches of indices into a split, shuffled anew each epoch, bucketed by length.

    `salt` tells streams apart that are shuffled by one seed. Without buckets a batch is a sample of the split, which
    losses need that compare batches: bucketed ones would differ in length, if in nothing else.
    """

    def __init__(
        self, lengths: np.ndarray, batch_size: int, seed: int, *, salt: tuple[int, ...] = (), bucketed: bool = True
    ) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.salt, self.window = salt, WINDOW if bucketed else 1
        self.steps_per_epoch = -(-len(lengths) // batch_size)
        self._order = lru_cache(maxsize=1)(self.order)

    def batch(self, step: int) -> np.ndarray:
        """Indices of the examples of this optimizer step (0, 1, ...)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        return self._order(epoch)[position]

    def order(self, epoch: int) -> list[np.ndarray]:
        """All batches of an epoch: each example once, `batch_size` a batch, one batch possibly shorter."""
        generator = np.random.default_rng([self.seed, epoch, *self.salt])
        shuffled = generator.permutation(len(self.lengths))
        batches: list[np.ndarray] = []
        span = self.window * self.batch_size
        for start in range(0, len(shuffled), span):
            window = shuffled[start : start + span]
            window = window[np.argsort(self.lengths[window], kind="stable")]
            batches += [window[i : i + self.batch_size] for i in range(0, len(window), self.batch_size)]
        return [batches[i] for i in generator.permutation(len(batches))]


def cut(items: Items, size: int) -> list[Items]:
    """Parts of `size`, the last one possibly shorter."""
    return [cast(Items, items[i : i + size]) for i in range(0, len(items), size)]


def by_length(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """All examples once, longest first, for evaluation: the largest batch comes first, so memory runs out at once."""
    return cut(np.argsort(-lengths, kind="stable"), batch_size)
