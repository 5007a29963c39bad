"""Episodes: some classes and some examples of each, drawn by number, so that no generator's state is ever saved."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tl_run.data.batches import Stream


class Pool:
    """All episodes of a split: N classes, and of each K examples to learn from and some that are asked for."""

    def __init__(self, labels: np.ndarray, ways: int, examples: int, key: Sequence[int]) -> None:
        """`labels` (rows,) are classes; `examples` are those of a class in an episode; `key` tells pools apart."""
        self._members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self.ways, self.examples, self._key = ways, examples, key

    @property
    def classes(self) -> int:
        """How many there are to draw from."""
        return len(self._members)

    def episode(self, number: int) -> np.ndarray:
        """Rows (ways, examples), a function of key and number: classes in random order, no example twice."""
        generator = np.random.default_rng([*self._key, number])
        chosen = generator.choice(self.classes, self.ways, replace=False)
        return np.stack([generator.choice(self._members[c], self.examples, replace=False) for c in chosen])


@dataclass(frozen=True)
class Answer:
    """What is said of one query."""

    episode: int
    row: int
    """In its split."""
    classes: np.ndarray
    """Of the episode: indices of labels (ways,); the query is of one of them."""
    probabilities: np.ndarray
    """(ways,)."""


class Episodes(Stream):
    """Batches of episodes; an epoch has as many as have so many examples as the split."""

    def __init__(self, pool: Pool, lengths: np.ndarray, episodes: int, seed: int) -> None:
        super().__init__(lengths, episodes * pool.ways * pool.examples, seed)
        self.pool, self.episodes = pool, episodes

    def batch(self, step: int) -> np.ndarray:
        """Rows of the step's episodes, one after the other: (episodes * ways * examples,)."""
        numbers = range(step * self.episodes, (step + 1) * self.episodes)
        return np.concatenate([self.pool.episode(number).ravel() for number in numbers])


def divide(count: int, validation: int, test: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of so many classes those of train, validation and test, as numbers that rise; a function of count and seed."""
    order = np.random.default_rng([seed, 0]).permutation(count)
    held = validation + test
    return np.sort(order[held:]), np.sort(order[:validation]), np.sort(order[validation:held])
