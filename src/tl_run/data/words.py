"""Token ids of sentences that are given as words, and where the first piece of each word lies."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from tl_run import cache
from tl_run.data.encoded import Encoded, Ragged, flat, forget, key
from tl_run.errors import BadOption


@dataclass(frozen=True, kw_only=True)
class EncodedWords(Encoded):
    """Rows that know their words."""

    firsts: Ragged
    """For each word of each row the place of its first piece in the row; -1 if it has none, or was cut off."""


def pieces(
    sentences: Sequence[Sequence[str]], tokenizer: Any, max_length: int
) -> tuple[np.ndarray, dict[str, np.ndarray], Ragged]:
    """Offsets and columns as `Encoded` has them, and the first pieces; from the cache when it was made before.

    Raises: BadOption when the tokenizer cannot tell which word a piece is of.
    """
    if not tokenizer.is_fast:
        raise BadOption(
            f"model.path: a {type(tokenizer).__name__} does not say which word a piece is of; type another model, one "
            "with a tokenizer.json"
        )
    lengths = [len(words) for words in sentences]

    def make() -> dict[str, np.ndarray]:
        spaced = _spaced(sentences, tokenizer)
        out = tokenizer(spaced, is_split_into_words=True, truncation=True, max_length=max_length)
        forget(tokenizer)
        return {**flat(out, tokenizer), "firsts": _firsts([out.word_ids(i) for i in range(len(spaced))], lengths)}

    settings = f"words {max_length} {tokenizer.truncation_side}"
    digest = key(tokenizer, settings, [*chain.from_iterable(sentences)], [*map(str, lengths)])
    arrays = cache.arrays("encoded", digest, make)
    firsts = Ragged(np.cumsum([0, *lengths], dtype=np.int64), arrays.pop("firsts"))
    return arrays.pop("offsets"), arrays, firsts


def _spaced(sentences: Sequence[Sequence[str]], tokenizer: Any) -> list[list[str]]:
    """The words as the tokenizer must be given them, so that they become the pieces of running text.

    GPT-2's and RoBERTa's tokenizers hold a space to be part of the word behind it, and glue words that come without.
    Their own add_prefix_space is not used: other tokenizers of this sort ignore it, or put a space into words, and the
    first word of a text has none in pretraining and in `pipeline`.
    """
    glued = tokenizer([["a", "a"]], is_split_into_words=True)["input_ids"] != tokenizer(["a a"])["input_ids"]
    if not glued:
        return [[*words] for words in sentences]
    return [[f" {word}" if i and word else word for i, word in enumerate(words)] for words in sentences]


def _firsts(word_ids: Sequence[Sequence[int | None]], lengths: Sequence[int]) -> np.ndarray:
    """Word of each piece, row by row, to the first piece of each word: (words of all rows,)."""
    starts = np.cumsum([0, *lengths])
    firsts = np.full(starts[-1], -1, np.int32)
    for row, words in enumerate(word_ids):
        of = np.array([-1 if word is None else word for word in words], np.int64)
        first = np.flatnonzero((of >= 0) & (of != np.concatenate([[-1], of[:-1]])))
        firsts[starts[row] + of[first]] = first
    return firsts


def pieces_of(words: Sequence[str], ids: np.ndarray, tokenizer: Any) -> np.ndarray:
    """Which of these ids are pieces of one of the words, alone or behind a space: bool (tokens,)."""
    spelt = tokenizer([*words, *(f" {word}" for word in words)], add_special_tokens=False)["input_ids"]
    return np.isin(ids, [*chain.from_iterable(spelt)])
