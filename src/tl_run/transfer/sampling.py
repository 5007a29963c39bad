"""How many examples of each task a step has: exact parts of every batch, a function of the step alone."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from tl_run.data.batches import Stream

LAST = 0.2
"""The exponent of the last epoch, where sampling is annealed."""


def parts(sizes: Sequence[int], sampling: str, temperature: float, epoch: int, epochs: int) -> np.ndarray:
    """What part of the examples is of each task with so many, in an epoch of 1 to `epochs`: (tasks,), of sum 1.

    proportional: n. equal: 1. temperature: n^(1/T). annealed: n^a with a = 1 - 0.8 (e - 1) / (E - 1), from
    proportional to almost equal (PALs, arXiv:1902.02671).
    """
    done = max(min(epoch, epochs) - 1, 0) / max(epochs - 1, 1)
    exponents = {"proportional": 1.0, "equal": 0.0, "temperature": 1 / temperature, "annealed": 1 - (1 - LAST) * done}
    counts = np.asarray(sizes, np.float64) ** exponents[sampling]
    return counts / counts.sum()


class Apportioned:
    """`batch_size` places of each step, given to tasks: whoever lacks most of what is due to it by then has the next.

    The papers draw a task for each batch; here each task has at any time what would be drawn of it on average, to less
    than an example for two tasks, and nothing is random but the order of its own examples.
    """

    def __init__(self, batch_size: int, due: Callable[[int], np.ndarray]) -> None:
        """`due(step)`: the parts at a step, (tasks,)."""
        self.batch_size, self.due = batch_size, due
        self._owed = np.zeros(len(due(0)))
        self._before = [np.zeros(len(due(0)), np.int64)]

    def at(self, step: int) -> np.ndarray:
        """How many examples of each task a step has: int64 (tasks,)."""
        return self.before(step + 1) - self.before(step)

    def before(self, step: int) -> np.ndarray:
        """How many examples of each task the steps before this one have had: int64 (tasks,)."""
        while len(self._before) <= step:
            self._owed += self.batch_size * self.due(len(self._before) - 1)
            had = self._before[-1]
            lack = self._owed - had
            given = np.floor(lack.clip(min=0)).astype(np.int64)
            for _ in range(given.sum() - self.batch_size):  # one that was ahead left places which are now given back
                given[np.argmin(np.where(given > 0, lack - given, np.inf))] -= 1
            for _ in range(self.batch_size - given.sum()):
                given[np.argmax(lack - given)] += 1
            self._before.append(had + given)
        return self._before[step]


class Portion(Stream):
    """The examples of one task, epoch after epoch of its own, of which each step has its part."""

    def __init__(
        self, lengths: np.ndarray, batch_size: int, seed: int, *, task: int, places: Apportioned, per_epoch: int
    ) -> None:
        """`batch_size`: about as many as a step has, which lie together by length; `per_epoch`: steps of the run's."""
        super().__init__(lengths, batch_size, seed)
        self.task, self.places, self.steps_per_epoch = task, places, per_epoch
        self._whole = lru_cache(maxsize=2)(lambda epoch: np.concatenate(self.order(epoch)))

    def batch(self, step: int) -> np.ndarray:
        """Indices of the examples of this step; there may be none."""
        first, last = (int(self.places.before(each)[self.task]) for each in (step, step + 1))
        epochs = range(first // len(self.lengths), -(-last // len(self.lengths)))
        start = epochs.start * len(self.lengths)
        orders = [np.arange(0), *map(self._whole, epochs)]
        return np.concatenate(orders)[first - start : last - start]

    def epoch(self, step: int) -> int:
        """Which time the task's examples are seen."""
        return int(self.places.before(step)[self.task]) // len(self.lengths)
