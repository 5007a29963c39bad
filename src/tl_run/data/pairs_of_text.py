"""Texts and what shall be written for them, as token ids: for an encoder-decoder, or one after the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tl_run import cache
from tl_run.data.blocks import surroundings
from tl_run.data.encoded import Encoded, Ragged, forget, key
from tl_run.errors import BadOption

FORMAT = "pairs of text 1"  # raise when the stored arrays change meaning
SOURCE = "{source}"
"""Where the source stands in a prompt."""


def encode(
    sources: Sequence[str],
    targets: Sequence[str | None],
    tokenizer: Any,
    *,
    prompt: str,
    max_length: int,
    max_target_length: int,
    in_one: bool,
    ids: list[str],
    examples: Sequence[Any],
) -> tuple[Encoded, tuple[int, int]]:
    """Rows are prompts, with their targets behind them where both are read `in_one`; `targets` has the target's tokens
    and the token that ends it. A source without a target has no tokens there, and -1 for a label.

    Of a source that is too long the end is cut, and nothing of the prompt around it. Returns also how many sources and
    how many targets were cut. Raises: BadOption when the prompt leaves no room for a source.
    """
    labelled = np.array([target is not None for target in targets])

    def make() -> dict[str, np.ndarray]:
        rows, long_sources = _prompts(sources, tokenizer, prompt, max_length, ended=not in_one)
        found, long_targets = _targets([t or "" for t in targets], tokenizer, max_target_length, bare=in_one)
        found = [row if known else [] for row, known in zip(found, labelled, strict=True)]
        if in_one:
            rows = [row + target for row, target in zip(rows, found, strict=True)]
        return {
            "offsets": _offsets(rows),
            "input_ids": _values(rows),
            "target_offsets": _offsets(found),
            "target_ids": _values(found),
            "cut": np.array([long_sources, long_targets]),
        }

    settings = f"{FORMAT} {prompt!r} {max_length} {max_target_length} {in_one} {labelled.tolist()}"
    arrays = cache.arrays("encoded", key(tokenizer, settings, sources, [target or "" for target in targets]), make)
    target_ids = Ragged(arrays["target_offsets"], arrays["target_ids"])
    labels = np.where(labelled, 0, -1)
    made = Encoded(arrays["offsets"], {"input_ids": arrays["input_ids"]}, ids, labels, target_ids, examples)
    return made, (int(arrays["cut"][0]), int(arrays["cut"][1]))


def end(tokenizer: Any) -> int:
    """The token that ends a text. Raises: BadOption when there is none."""
    _, after = surroundings(tokenizer)
    found = after[-1] if after else tokenizer.eos_token_id
    if found is None:
        raise BadOption("model.path: its tokenizer has no token that ends a text (eos_token): type another model")
    return found


def _prompts(
    sources: Sequence[str], tokenizer: Any, prompt: str, max_length: int, *, ended: bool
) -> tuple[list[list[int]], int]:
    before, after = prompt.split(SOURCE)
    ends = len(surroundings(tokenizer)[1])
    behind = len(tokenizer(after, add_special_tokens=False)["input_ids"]) if after else 0
    around = len(tokenizer(before + after)["input_ids"])
    if around >= max_length:
        raise BadOption(
            f"task.prompt takes {around} tokens of task.max_length={max_length}: type a larger task.max_length"
        )
    made = tokenizer([before + source + after for source in sources])["input_ids"]
    forget(tokenizer)
    if ends and not ended:  # the text goes on
        made, ends = [row[:-ends] for row in made], 0
    keep = behind + ends
    rows = [row[: max_length - keep] + row[len(row) - keep :] if len(row) > max_length else row for row in made]
    lone = [end(tokenizer)]  # of nothing at all some tokenizers make no token, and something must be read
    return [row or lone for row in rows], sum(len(row) > max_length for row in made)


def _targets(targets: Sequence[str], tokenizer: Any, max_length: int, *, bare: bool) -> tuple[list[list[int]], int]:
    made = tokenizer(text_target=[*targets], add_special_tokens=not bare)["input_ids"]
    forget(tokenizer)
    ends = [] if bare else surroundings(tokenizer)[1]
    made = [row[: len(row) - len(ends)] for row in made]
    ends = ends or [end(tokenizer)]
    return [row[: max_length - len(ends)] + ends for row in made], sum(
        len(row) + len(ends) > max_length for row in made
    )


def _offsets(rows: Sequence[Sequence[int]]) -> np.ndarray:
    return np.cumsum([0, *map(len, rows)], dtype=np.int64)


def _values(rows: Sequence[Sequence[int]]) -> np.ndarray:
    return np.array([i for row in rows for i in row], np.int32)
