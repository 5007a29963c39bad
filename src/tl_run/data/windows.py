"""Questions with their contexts as token ids: a long context is read in windows that overlap, each a row of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tl_run import cache
from tl_run.data.batches import cut
from tl_run.data.encoded import Encoded, flat, forget, key
from tl_run.errors import BadInput

AT_ONCE = 500  # questions: what a tokenizer says of a token's place is large until it is an array

Span = tuple[int, int]  # characters of a context: from, up to but without


@dataclass(frozen=True, kw_only=True)
class Windows(Encoded):
    """Rows of question and window. `labels` (rows, 2): the answer's first and last token, `null` where it is not in
    the window, -1 where there is no label."""

    owner: np.ndarray
    """The number of the example that each row comes from, rising: (rows,)."""
    null: np.ndarray
    """The token that stands for no answer: cls, or the first of a row without one: (rows,)."""
    spans: np.ndarray
    """The characters of the context that each token is, or 0 and 0 where it is none of it: (tokens of all rows, 2)."""

    def rows_of(self, number: int) -> range:
        """The rows of an example."""
        return range(*np.searchsorted(self.owner, [number, number + 1]).tolist())

    def spans_of(self, row: int) -> np.ndarray:
        """The characters of each token of a row: (tokens, 2)."""
        return self.spans[self.offsets[row] : self.offsets[row + 1]]


def windows(
    questions: list[str],
    contexts: list[str],
    answers: Sequence[Span | None],
    tokenizer: Any,
    *,
    max_length: int,
    stride: int,
    ids: list[str],
    labelled: bool,
    examples: Sequence[Any],
) -> Windows:
    """Encode, or take from the cache. Two windows of a context share `stride` tokens; only the context is cut.

    Raises: BadInput when a question leaves no more than `stride` tokens to the context, or the tokenizer does not say
    where tokens stand.
    """
    if not tokenizer.is_fast:
        raise BadInput(
            f"model.path: a {type(tokenizer).__name__} does not say where its tokens stand in a text, and answers are "
            "cut out of it: type a model with a fast tokenizer"
        )

    def make() -> dict[str, np.ndarray]:
        _check_room(questions, tokenizer, max_length, stride, ids)
        parts = [
            _encode(*part, tokenizer, max_length, stride)
            for part in zip(cut(questions, AT_ONCE), cut(contexts, AT_ONCE), strict=True)
        ]
        made = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        made["owner"] = np.concatenate([part["owner"] + i * AT_ONCE for i, part in enumerate(parts)])
        return made

    settings = f"windows {max_length} {stride} {tokenizer.truncation_side}"
    made = cache.arrays("encoded", key(tokenizer, settings, questions, contexts), make)
    forget(tokenizer)
    owner, spans, null = (made.pop(name) for name in ("owner", "spans", "null"))
    offsets = np.concatenate([[0], np.cumsum(made.pop("lengths"))])
    labels = _labels([answers[i] for i in owner.tolist()], spans, offsets, null)
    return Windows(
        offsets,
        made,
        [ids[i] for i in owner.tolist()],
        labels if labelled else np.full_like(labels, -1),
        examples=examples,
        owner=owner,
        null=null,
        spans=spans,
    )


def _check_room(questions: Sequence[str], tokenizer: Any, max_length: int, stride: int, ids: Sequence[str]) -> None:
    marks = tokenizer.num_special_tokens_to_add(pair=True)
    lengths = map(len, tokenizer(list(questions), add_special_tokens=False, verbose=False)["input_ids"])
    problems = [
        f"the question of example '{name}' has {length} tokens: of task.max_length={max_length} that leaves "
        f"{max(0, max_length - marks - length)} for the context, and more than task.stride={stride} are needed: type a "
        "larger task.max_length or a smaller task.stride, or shorten the question"
        for name, length in zip(ids, lengths, strict=True)
        if max_length - marks - length <= stride
    ]
    if problems:
        raise BadInput.of(problems)


def _encode(
    questions: list[str], contexts: list[str], tokenizer: Any, max_length: int, stride: int
) -> dict[str, np.ndarray]:
    out = tokenizer(
        questions,
        contexts,
        truncation="only_second",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    ids = out["input_ids"]
    columns = flat(out, tokenizer)
    spans = np.concatenate([np.asarray(row, np.int32).reshape(-1, 2) for row in out["offset_mapping"]])
    context = np.concatenate([np.array(out.sequence_ids(i), float) == 1 for i in range(len(ids))])
    cls = tokenizer.cls_token_id
    return {
        "lengths": np.diff(columns.pop("offsets")),
        **columns,
        "spans": spans * context[:, None],
        "owner": np.array(out["overflow_to_sample_mapping"], np.int64),
        "null": np.array([row.index(cls) if cls in row else 0 for row in ids], np.int64),
    }


def _labels(answers: list[Span | None], spans: np.ndarray, offsets: np.ndarray, null: np.ndarray) -> np.ndarray:
    """For each row the first and the last token that the answer touches: (rows, 2), `null` if a part of it is not in
    the window."""
    lengths = np.diff(offsets)
    wanted = np.repeat(np.array([answer or (0, 0) for answer in answers], np.int64).reshape(-1, 2), lengths, axis=0)
    within = spans[:, 1] > spans[:, 0]
    touched = within & (spans[:, 0] < wanted[:, 1]) & (spans[:, 1] > wanted[:, 0])
    place = np.arange(len(spans)) - np.repeat(offsets[:-1], lengths)
    far, starts = len(spans) + 1, offsets[:-1]
    first = np.minimum.reduceat(np.where(touched, place, far), starts)
    last = np.maximum.reduceat(np.where(touched, place, -1), starts)
    # A window holds the answer whole when it begins no later and ends no earlier.
    begins = np.minimum.reduceat(np.where(within, spans[:, 0], far), starts)
    ends = np.maximum.reduceat(np.where(within, spans[:, 1], -1), starts)
    asked = np.array([answer or (0, 0) for answer in answers], np.int64).reshape(-1, 2)
    whole = (last >= 0) & (begins <= asked[:, 0]) & (ends >= asked[:, 1])
    return np.stack([np.where(whole, first, null), np.where(whole, last, null)], 1)
