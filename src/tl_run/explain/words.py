"""Tokens put together to the words of the text that they came from, to be shown."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

import numpy as np

from tl_run.data.encoded import forget
from tl_run.data.perturbation import WORD


@dataclass(frozen=True)
class Word:
    """A word, what stands between it and the one before, and what it adds."""

    before: str
    text: str
    score: float


def words(
    tokenizer: Any, texts: tuple[str, str | None], ids: np.ndarray, scores: np.ndarray, length: int
) -> list[Word]:
    """The words of a text, or of a pair, that the model has read; the scores (tokens,) of a word's pieces are summed.

    Special tokens are left out. Where the tokenizer does not say where its tokens come from, each token is a word.
    """
    if tokenizer.is_fast:
        out = tokenizer(*texts, truncation=True, max_length=length, return_offsets_mapping=True)
        forget(tokenizer)
        if out["input_ids"] == ids.tolist():
            return _put_together(texts, out, scores)
    special = {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}
    names = tokenizer.convert_ids_to_tokens(ids.tolist())
    return [Word(" ", n, float(s)) for n, i, s in zip(names, ids.tolist(), scores, strict=True) if i not in special]


def _put_together(texts: tuple[str, str | None], out: Any, scores: np.ndarray) -> list[Word]:
    """A word ends where the tokenizer says so, at a space, at a Chinese character: some tokenizers know no words."""
    starts = [[found.start() for found in WORD.finditer(text or "")] for text in texts]
    spans: dict[tuple[int, int, int], list[Any]] = {}
    for (start, end), which, word, score in zip(
        out["offset_mapping"], out.sequence_ids(), out.word_ids(), scores.tolist(), strict=True
    ):
        if which is not None:
            behind = (texts[which] or "")[start:]
            first = start + len(behind) - len(behind.lstrip())  # a lone space is part of the word behind it
            place = bisect_right(starts[which], max(end - 1, first))
            own = spans.setdefault((which, word, place), [start, end, 0.0])
            own[0], own[1], own[2] = min(own[0], start), max(own[1], end), own[2] + score
    made: list[Word] = []
    last, at = 0, 0
    for (which, _, _), (start, end, score) in spans.items():
        text = texts[which] or ""
        gap, at = (" / ", 0) if which != last else ("", at)
        own = text[start:end]
        start += len(own) - len(own.lstrip())  # some tokenizers hold the space before a word to be part of it
        made.append(Word(gap + text[at:start], own.strip(), score))
        last, at = which, max(at, start + len(own.strip()))
    return made
