"""The examples of a run as the store sees them: one row for each, a hash, and the one shape it is computed in.

A state is a function of its example alone: the example decides the padded width, and every batch of a width has one
shape. So the same bits come from a cold store, a warm one, or none. Measured with MKL and oneDNN: a row's bits depend
on the shape of the whole product, but neither on its neighbours nor on its place.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

import numpy as np

from tl_run.data.batches import cut
from tl_run.data.encoded import Encoded

STEP = 4  # widths are multiples of it: smaller is less padding, and more shapes
TOKENS = {"cpu": 512, "mps": 4096, "cuda": 16384}  # in a batch: fewer are slow, more leave more of it unused
PIECE = 32  # batches in a piece of the store


class Examples:
    """All splits in one: rows are numbered through them in their order."""

    def __init__(
        self, splits: Mapping[str, Encoded], pad: Mapping[str, int], max_length: int | None, device: str
    ) -> None:
        self.splits, self.pad, self.tokens = splits, pad, TOKENS[device]
        parts = [*splits.values()]
        self.all = type(parts[0]).joined(parts)
        starts = np.cumsum([0, *map(len, splits.values())]).tolist()
        self.starts = {id(split): start for split, start in zip(splits.values(), starts, strict=False)}
        self.lengths = self.all.lengths
        self.widths = np.minimum(-(-self.lengths // STEP) * STEP, max_length or self.lengths.max())
        self.groups = self.widths * 2 + (self.widths == self.lengths)  # a batch without padding is given no mask

    def __len__(self) -> int:
        return len(self.lengths)

    def rows(self, names: Iterable[str]) -> np.ndarray:
        """The rows of some splits."""
        found = [np.arange(len(s)) + self.starts[id(s)] for s in (self.splits[name] for name in names)]
        return np.concatenate(found)

    def like(self, row: int) -> np.ndarray:
        """The rows of the same split that are computed in the same shape."""
        split = next(s for s in reversed([*self.splits.values()]) if self.starts[id(s)] <= row)
        first = self.starts[id(split)]
        return np.flatnonzero(self.groups[first : first + len(split)] == self.groups[row]) + first

    def batch_size(self, row: int) -> int:
        """Examples in a batch of this row's width."""
        return max(1, self.tokens // max(1, int(self.widths[row])))

    def batches(self, rows: np.ndarray) -> list[list[int]]:
        """The rows in batches of one shape each; the last of a shape may be short."""
        groups = self.groups[rows]
        return [
            part
            for group in np.unique(groups)
            for part in cut(rows[groups == group].tolist(), self.batch_size(rows[groups == group][0]))
        ]

    def pieces(self, rows: np.ndarray) -> Iterator[list[list[int]]]:
        """Batches that are stored together."""
        yield from cut(self.batches(rows), PIECE)

    def arrays(self, rows: list[int]) -> dict[str, np.ndarray]:
        """A batch in its full shape: where rows are wanting, the first one is repeated."""
        missing = self.batch_size(rows[0]) - len(rows)
        return self.all.padded(np.array(rows + rows[:1] * missing), self.pad, int(self.widths[rows[0]]))

    def probe(self) -> dict[str, np.ndarray]:
        """Three of the longer training examples, padded to the longest."""
        lengths = next(iter(self.splits.values())).lengths[:64]
        return self.all.padded(np.sort(np.argsort(-lengths, kind="stable")[:3]), self.pad)

    @cached_property
    def hashes(self) -> list[bytes]:
        """For each row 16 bytes of its tokens and of the width it is computed at."""
        names = sorted(self.all.columns)
        columns = [self.all.columns[name] for name in names]
        offsets, hashes = self.all.offsets.tolist(), []
        for i, width in enumerate(self.widths.tolist()):
            digest = hashlib.blake2b(f"{width} {names}".encode(), digest_size=16)
            for column in columns:
                digest.update(column[offsets[i] : offsets[i + 1]].tobytes())
            hashes.append(digest.digest())
        return hashes
