"""Examples of several texts each, every one of which the model reads by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tl_run.data.encoded import Encoded, labelled


@dataclass(frozen=True)
class Tuples:
    """Pairs or triplets of texts: to the loop what `Encoded` is, an item for each example.

    The rows are the different texts of the split: one that stands in many examples is encoded, and its states are
    stored, once. For a batch of n examples the model reads all first texts, then all second ones: (sides * n, tokens).
    """

    rows: Encoded
    members: np.ndarray  # (examples, sides): which rows
    ids: list[str]
    labels: np.ndarray  # (examples, ...), -1 or NaN where there is none
    examples: Sequence[Any] = ()
    """What they were made of."""

    def __len__(self) -> int:
        return len(self.members)

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Those of the rows."""
        return self.rows.columns

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of the longest text of each example: (examples,)."""
        return self.rows.lengths[self.members].max(1)

    @property
    def labelled(self) -> np.ndarray:
        """Which examples have a label: bool (examples,)."""
        return labelled(self.labels)

    def reads(self, indices: np.ndarray) -> np.ndarray:
        """The rows that the model reads for these examples: (sides * examples,), all first sides first."""
        return self.members[indices].T.ravel()

    def padded(self, indices: np.ndarray, pad: Any) -> dict[str, np.ndarray]:
        """What the model reads for these examples, padded to the longest: int64 (sides * examples, tokens) each."""
        return self.rows.padded(self.reads(indices), pad)


def distinct(texts: Sequence[Sequence[str]], tokenizer: Any, max_length: int) -> tuple[Encoded, np.ndarray]:
    """Encode examples of equally many texts each: rows and members of `Tuples`."""
    numbers = {text: i for i, text in enumerate(dict.fromkeys(text for example in texts for text in example))}
    names = [str(i) for i in range(len(numbers))]
    rows = Encoded.of([*numbers], None, tokenizer, max_length, names, np.zeros(len(numbers), np.int64))
    return rows, np.array([[numbers[text] for text in example] for example in texts])
