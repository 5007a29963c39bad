"""Documents as one stream of tokens, cut into blocks; and which tokens of a block are masked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tl_run import cache
from tl_run.data.encoded import Encoded, Ragged, key

FORMAT = "blocks 1"  # raise when the stored arrays change meaning
KEPT, RANDOM = 0.1, 0.1  # of the chosen tokens: left as they are, made any other (arXiv:1810.04805, section 3.1)


@dataclass(frozen=True)
class Blocks(Encoded):
    """Rows are blocks, and `labels` their numbers. `targets` has for each token the number of its word in the split, -1
    where it is none of the text's."""

    changing: str = field(kw_only=True)
    starts: np.ndarray = field(kw_only=True)  # (documents,): the number of the first word of each

    @classmethod
    def stream(
        cls, texts: Sequence[str], tokenizer: Any, max_length: int, examples: Sequence[Any], changing: str
    ) -> "Blocks":
        """All documents one after the other, a separator after each, in blocks of `max_length` with special tokens."""

        def make() -> dict[str, np.ndarray]:
            return _stream(texts, tokenizer, max_length)

        arrays = cache.arrays("encoded", key(tokenizer, f"{FORMAT} {max_length}", texts), make)
        offsets, ids = arrays["offsets"], arrays["input_ids"]
        columns = {"input_ids": ids}
        if "token_type_ids" in tokenizer.model_input_names:
            columns["token_type_ids"] = np.zeros_like(ids)
        numbers = np.arange(len(offsets) - 1)
        words = Ragged(offsets, arrays["words"])
        names = [f"block {number}" for number in numbers]
        return cls(offsets, columns, names, numbers, words, examples, changing=changing, starts=arrays["starts"])

    def document(self, words: np.ndarray) -> np.ndarray:
        """The index of the document that each word is of."""
        return np.searchsorted(self.starts, words, side="right") - 1


def _stream(texts: Sequence[str], tokenizer: Any, max_length: int) -> dict[str, np.ndarray]:
    before, after = surroundings(tokenizer)
    separator = [i for i in (tokenizer.sep_token_id, tokenizer.eos_token_id) if i is not None][:1]
    ids: list[int] = []
    words: list[int] = []
    starts, number = [], 0
    backend = tokenizer.backend_tokenizer
    for found in backend.encode_batch(list(texts), add_special_tokens=False):
        starts.append(number)
        own = [0 if word is None else word for word in found.word_ids]
        ids += [*found.ids, *separator]
        words += [*(number + word for word in own), *(-1 for _ in separator)]
        number += max(own, default=-1) + 1
    size = max_length - len(before) - len(after)
    parts = [(ids[i : i + size], words[i : i + size]) for i in range(0, len(ids), size)]
    rows = [[*before, *part, *after] for part, _ in parts]
    marks = [[*(-1 for _ in before), *part, *(-1 for _ in after)] for _, part in parts]
    return {
        "offsets": np.cumsum([0, *map(len, rows)], dtype=np.int64),
        "input_ids": np.array([i for row in rows for i in row], np.int32),
        "words": np.array([i for row in marks for i in row], np.int64),
        "starts": np.array(starts, np.int64),
    }


def surroundings(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and after a text."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    if not plain or whole == plain:
        return [], []
    at = next(i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)
    return whole[:at], whole[at + len(plain) :]


def mask(
    row: np.ndarray,
    words: np.ndarray,
    share: float,
    *,
    whole_words: bool,
    draw: Sequence[int],
    size: int,
    mask_id: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The row with some of its tokens hidden, and which were chosen (bool): random by `draw` alone.

    `size` is that of the vocabulary, of which some are put in the place of others.

    As many tokens as `share` says, at least one; of whole words as many as do not go beyond that, at least one word.
    """
    generator = np.random.default_rng([*draw])
    candidates = np.flatnonzero(words >= 0)
    chosen = np.zeros(len(row), bool)
    count = max(1, round(share * len(candidates)))
    if not len(candidates):
        return row, chosen
    if whole_words:
        names, sizes = np.unique(words[candidates], return_counts=True)
        order = generator.permutation(len(names))
        taken = names[order[np.cumsum(sizes[order]) <= max(count, sizes[order[0]])]]
        chosen[candidates] = np.isin(words[candidates], taken)
    else:
        chosen[generator.permutation(candidates)[:count]] = True
    fate = generator.random(len(row))
    hidden = np.where(chosen & (fate >= KEPT + RANDOM), mask_id, row)
    other = generator.integers(0, size, len(row))
    return np.where(chosen & (fate < RANDOM), other, hidden), chosen
