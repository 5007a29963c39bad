"""Semantic roles: tagging of a sentence in which one predicate is marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tl_run.data.perturbation import Disturbance
from tl_run.data.table import Table
from tl_run.data.words import pieces_of
from tl_run.task.kind import kind_of, refuse
from tl_run.task.sentences import Sentence, Tags
from tl_run.task.spans import Span
from tl_run.task.tagging import Tagging

MARKS = "[", "]"  # before and behind the predicate


@dataclass(frozen=True)
class Clause(Sentence):
    """A sentence, its roles for one predicate, and where that stands."""

    predicate: int


class Srl(Tagging):
    """The predicate is put in front of the sentence and between brackets where it stands, in words of plain text.

    So it works with every tokenizer, and needs no new embeddings; which of two equal words is meant is told by the
    brackets, and a decoder knows the predicate before it reads what stands left of it. (A second segment, as in
    arXiv:1904.05255, tells neither.)
    """

    input_note = (
        "The predicate stands in front, before a colon, and between brackets in its place: "
        "`sang : Yesterday she [ sang ] a song`."
    )

    def examples(self, rows: Table, tokens: list[list[str]], tags: Tags) -> list[Any]:
        problems: list[str] = []
        values = rows.column(self.options.predicate, "task.predicate")
        places = [_whole(value) for value in values]
        for i, (place, words) in enumerate(zip(places, tokens, strict=True)):
            if not 0 <= place < len(words):
                shown = f"'{values[i]}'" if type(values[i]) in (int, str) and values[i] != "" else kind_of(values[i])
                problems.append(
                    f"{rows.where(i)}: '{self.options.predicate}' is {shown}, a token from 0 to {len(words) - 1} is "
                    "needed (task.predicate)"
                )
        refuse(problems)
        return [Clause(*example) for example in zip(self.ids(rows), tokens, tags, places, strict=True)]

    def disturbed(self, example: Clause, how: Disturbance) -> Clause:
        predicate = self.left(example, how).index(example.predicate)
        return replace(super().disturbed(example, how), predicate=predicate)

    def kept(self, example: Clause) -> list[int]:
        """The predicate too."""
        return [*super().kept(example), example.predicate]

    @staticmethod
    def group(example: Clause) -> tuple[str, ...]:
        """All predicates of a sentence: it stands in a row for each."""
        return tuple(example.tokens)

    def words(self, example: Clause) -> tuple[list[str], list[int]]:
        tokens, at = [*example.tokens], example.predicate
        before, behind = MARKS
        words = [tokens[at], ":", *tokens[:at], before, tokens[at], behind, *tokens[at + 1 :]]
        return words, [2 + i + (i >= at) + (i > at) for i in range(len(tokens))]

    def untouched(self, encoded: Any, tokenizer: Any) -> np.ndarray:
        """The predicate, in front and in its place, and what marks it."""
        fixed = pieces_of(MARKS, encoded.columns["input_ids"], tokenizer)
        for row, example in enumerate(encoded.examples):
            firsts = encoded.firsts.values[slice(*encoded.firsts.offsets[[row, row + 1]])]
            edges = np.append(np.sort(firsts[firsts >= 0]), encoded.lengths[row])
            start, place = encoded.offsets[row], firsts[example.predicate]
            fixed[start : start + edges[0]] = True
            if place >= 0:
                fixed[start + place : start + edges[np.searchsorted(edges, place, "right")]] = True
        return fixed

    @property
    def scores_spans(self) -> bool:
        """Roles are always counted by arguments."""
        return True

    def spans(self, tags: Sequence[str | None]) -> list[Span]:
        """The arguments; a role at a head word is a span of one token, and the predicate itself is none."""
        heads = [Span(tag, i, i + 1) for i, tag in enumerate(tags) if tag not in (None, "O")]
        found = super().spans(tags) if self.marks_spans else heads
        return [span for span in found if span.type != "V"]

    def inputs(self, example: Clause) -> dict[str, Any]:
        return super().inputs(example) | {"predicate": example.predicate}


def _whole(value: Any) -> int:
    """The whole number that a cell holds (in CSV it is text), or -1."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() else -1
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
