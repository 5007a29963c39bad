"""Documents as pairs of segments, one after the other, in which the second may be put in another's place."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tl_run import cache
from tl_run.data.blocks import Blocks
from tl_run.data.encoded import Ragged, key

FORMAT = "segments 1"  # raise when the stored arrays change meaning


@dataclass(frozen=True)
class Segments(Blocks):
    """Rows are `[CLS] first [SEP] second [SEP]`, both of one document, and none longer than the half of a row."""

    second: np.ndarray = field(kw_only=True)  # (rows,): tokens that stand before the second segment

    @classmethod
    def pairs(
        cls, texts: Sequence[str], tokenizer: Any, max_length: int, examples: Sequence[Any], changing: str
    ) -> "Segments":
        """Each document in pairs of at most `max_length` tokens; what is left of it, a token alone, is not read."""

        def make() -> dict[str, np.ndarray]:
            return _pairs(texts, tokenizer, (max_length - 3) // 2)

        found = cache.arrays("encoded", key(tokenizer, f"{FORMAT} {max_length}", texts), make)
        offsets, columns = found["offsets"], {"input_ids": found["input_ids"]}
        if "token_type_ids" in tokenizer.model_input_names:
            columns["token_type_ids"] = found["types"]
        numbers, words = np.arange(len(offsets) - 1), Ragged(offsets, found["words"])
        names = [f"pair {number}" for number in numbers]
        starts, second = found["starts"], found["second"]
        return cls(offsets, columns, names, numbers, words, examples, changing=changing, starts=starts, second=second)

    @cached_property
    def owner(self) -> np.ndarray:
        """The document of each row: (rows,)."""
        assert self.targets is not None
        return self.document(self.targets.values[self.offsets[:-1] + 1])

    def partner(self, row: int, draw: Sequence[int]) -> int:
        """The row whose second segment follows: every other time its own, else any of another document."""
        generator = np.random.default_rng([*draw, row, 1])
        if generator.random() < 0.5:
            return row
        owner = self.owner
        first, last = np.searchsorted(owner, [owner[row], owner[row] + 1]).tolist()
        found = int(generator.integers(len(owner) - (last - first)))
        return found if found < first else found + last - first

    def joined_with(self, partners: Sequence[int], rows: Sequence[int]) -> "Segments":
        """These rows with the second segments of their partners; numbered from 0."""
        assert self.targets is not None
        places = [
            np.r_[
                self.offsets[row] : self.offsets[row] + self.second[row],
                self.offsets[partner] + self.second[partner] : self.offsets[partner + 1],
            ]
            for row, partner in zip(rows, partners, strict=True)
        ]
        every, offsets = np.concatenate(places), np.cumsum([0, *map(len, places)])
        return Segments(
            offsets,
            {name: values[every] for name, values in self.columns.items()},
            [self.ids[row] for row in rows],
            self.labels[list(rows)],
            Ragged(offsets, self.targets.values[every]),
            changing=self.changing,
            starts=self.starts,
            second=self.second[list(rows)],
        )


def _pairs(texts: Sequence[str], tokenizer: Any, half: int) -> dict[str, np.ndarray]:
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    ids: list[list[int]] = []
    words: list[list[int]] = []
    types: list[list[int]] = []
    starts, second, number = [], [], 0
    for found in tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False):
        starts.append(number)
        own = np.array([0 if word is None else word for word in found.word_ids], np.int64)
        for begin, middle, end in _cuts(own, half):
            ids.append([cls, *found.ids[begin:middle], sep, *found.ids[middle:end], sep])
            words.append([-1, *(number + own[begin:middle]), -1, *(number + own[middle:end]), -1])
            second.append(middle - begin + 2)
            types.append([*[0] * second[-1], *[1] * (end - middle + 1)])
        number += int(own.max(initial=-1)) + 1
    return {
        "offsets": np.cumsum([0, *map(len, ids)], dtype=np.int64),
        "input_ids": np.array([i for row in ids for i in row], np.int32),
        "types": np.array([i for row in types for i in row], np.int32),
        "words": np.array([i for row in words for i in row], np.int64),
        "starts": np.array(starts, np.int64),
        "second": np.array(second, np.int64),
    }


def _cuts(words: np.ndarray, half: int) -> Iterator[tuple[int, int, int]]:
    """Begin, middle and end of each pair in a document's tokens, between words where that can be."""
    between = [*(np.flatnonzero(np.diff(words)) + 1).tolist(), len(words)]

    def cut(after: int, at_most: int) -> int:
        return max((place for place in between if after < place <= at_most), default=at_most)

    begin = 0
    while len(words) - begin >= 2:
        middle = cut(begin, begin + min(half, (len(words) - begin) // 2))
        end = cut(middle, min(middle + half, len(words)))
        yield begin, middle, end
        begin = end
