"""Triples of a graph as rows of three numbers, and what is drawn to be told from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tl_run.data.encoded import Encoded


@dataclass(frozen=True)
class Triples(Encoded):
    """A row for each triple: `columns["triples"]` is int64 (triples, 3), numbers of head, relation and tail."""

    changing = "other triples are drawn in each epoch"

    @classmethod
    def of_numbers(cls, triples: np.ndarray, ids: list[str], labels: np.ndarray, examples: Sequence[Any]) -> "Triples":
        """`labels` (triples,) are 0, or -1 where the tail is not known."""
        return cls(np.arange(len(triples) + 1), {"triples": triples}, ids, labels, examples=examples)

    @staticmethod
    def joined(parts: Sequence[Any]) -> "Triples":
        """The triples of several splits in one."""
        triples, labels = ([part.columns["triples"] for part in parts], [part.labels for part in parts])
        ids = [name for part in parts for name in part.ids]
        return Triples.of_numbers(np.concatenate(triples), ids, np.concatenate(labels), ())

    def padded(self, indices: np.ndarray, pad: Mapping[str, int], width: int | None = None) -> dict[str, np.ndarray]:
        """What the model reads of these triples: `triples`, (batch, 1, 3)."""
        return {"triples": self.columns["triples"][indices][:, None]}


@lru_cache(maxsize=2)
def draw(count: int, negatives: int, entities: int, draw: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """For each of `count` triples and each of its negatives, (count, negatives): whether the tail is replaced and not
    the head, and by the entity how many places further on: another one, each as likely."""
    generator = np.random.default_rng([*draw, 3])
    sides = generator.integers(0, 2, (count, negatives)).astype(bool)
    return sides, generator.integers(1, entities, (count, negatives))


def corrupted(triples: np.ndarray, tails: np.ndarray, steps: np.ndarray, entities: int) -> np.ndarray:
    """Triples (batch, 3), and behind each what is drawn for it: (batch, 1 + negatives, 3)."""
    found = np.repeat(triples[:, None], 1 + tails.shape[1], 1)
    drawn = found[:, 1:]  # a view
    drawn[..., 0] = np.where(tails, drawn[..., 0], (drawn[..., 0] + steps) % entities)
    drawn[..., 2] = np.where(tails, (drawn[..., 2] + steps) % entities, drawn[..., 2])
    return found
