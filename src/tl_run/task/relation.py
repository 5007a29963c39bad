"""Which relation holds between two entities of a text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tl_run.config import options
from tl_run.config.names import did_you_mean
from tl_run.data import entities
from tl_run.data.encoded import Encoded
from tl_run.data.perturbation import Disturbance
from tl_run.data.table import Table
from tl_run.data.words import pieces_of
from tl_run.task.classes import NOTHING
from tl_run.task.classification import Classification
from tl_run.task.kind import kind_of, texts
from tl_run.task.texts import Example

DIRECTION = re.compile(r"\((e1,e2|e2,e1)\)$")
"""How the label of a relation ends that has a direction."""


@dataclass(frozen=True)
class Marked(Example):
    """A text without tags, and its two entities."""

    spans: tuple[entities.Span, entities.Span]


class Relation(Classification):
    """Cross-entropy over the relations, from the states where the two entities begin."""

    pooling = "entities"
    input_note = (
        "The text holds marks, `the @ one @ and the # other #`, and `inputs` also `entities` (texts, tokens): 1 at the "
        "token of the first `@`, 2 at that of the first `#`, else 0. `tl-predict` does all of it."
    )

    def __init__(self, options: options.Relation) -> None:
        super().__init__(options)
        self.metric = "f1_macro" if options.metric == "auto" else options.metric

    # -- reading

    def check(self, rows: Table, labels: Sequence[int | None], problems: list[str]) -> None:
        super().check(rows, labels, problems)
        other = self.options.other
        if problems:
            return
        if self.metric == "f1_semeval" and not self._directed:
            problems.append(
                f"task.metric=f1_semeval: no label of {rows.path} ends in a direction, as in Cause-Effect(e1,e2): type "
                "task.metric=f1_macro"
            )
        if other is not None and other not in self.labels:
            near = did_you_mean(other, self.labels)
            problems.append(f"task.other: no row of {rows.path} has the label '{other}'.{near} Type task.other=null")

    def _examples(self, rows: Table, labels: Sequence[Any], option: str, problems: list[str]) -> list[Any]:
        read = texts(rows, self.options.text, option, problems)
        find = self._tagged if self.options.head is None else self._at_offsets
        columns = [self.options.head, self.options.tail]
        for role, column in zip(("head", "tail"), columns, strict=True):
            if column:
                rows.require(column, f"task.{role}")
        examples = []
        for i, (name, text, label) in enumerate(zip(self.ids(rows), read, labels, strict=True)):
            try:
                plain, spans = find(text, rows.rows[i]) if isinstance(text, str) else ("", ((0, 0), (0, 0)))
            except ValueError as problem:
                problems.append(f"{rows.where(i)}: {problem}")
                continue
            examples.append(Marked(name, plain, None, label, spans))
        return examples

    def seen(self, example: Any) -> tuple[Any, ...]:
        return example.text, example.spans

    def disturbed(self, example: Any, how: Disturbance) -> Any:
        """Neither entity is left out, nor a word of one."""
        text, (head, tail) = how.marked(example.text, example.spans)
        return replace(example, text=text, spans=(head, tail))

    def _tagged(self, text: str, row: Mapping[str, Any]) -> tuple[str, tuple[entities.Span, entities.Span]]:
        try:
            return entities.untagged(text)
        except ValueError as problem:
            raise ValueError(
                f"{problem} in '{self.options.text}'; both entities are marked so: <e1>one</e1> and <e2>other</e2>"
            ) from None

    def _at_offsets(self, text: str, row: Mapping[str, Any]) -> tuple[str, tuple[entities.Span, entities.Span]]:
        head, tail = (_span(row[column], column, len(text)) for column in (self.options.head, self.options.tail))
        return text, (head, tail)

    # -- model

    def encode(self, examples: Sequence[Any], tokenizer: Any) -> Encoded:
        """Token ids with marks around both entities; a long text keeps what is nearest to them."""
        made = [entities.marked(example.text, example.spans) for example in examples]
        found = entities.encode(
            [text for text, _ in made], [places for _, places in made], tokenizer, self.options.max_length
        )
        labels = self.label_array([example.label for example in examples])
        return Encoded(found.pop("offsets"), found, [example.id for example in examples], labels)

    def untouched(self, encoded: Any, tokenizer: Any) -> np.ndarray:
        """The marks of entities."""
        return pieces_of(entities.MARKS, encoded.columns["input_ids"], tokenizer)

    # -- scores

    def metrics(self, predictions: Sequence[np.ndarray], encoded: Encoded) -> dict[str, float]:
        """Accuracy over all labels; micro and macro F1 over all but task.other, as scikit-learn counts them."""
        from sklearn.metrics import accuracy_score, f1_score

        gold, found = encoded.labels, np.argmax(predictions, axis=1)
        counted = [i for i, name in enumerate(self.labels) if name != self.options.other]

        def f1(average: str) -> float:
            return float(f1_score(gold, found, labels=counted, average=average, zero_division=NOTHING))  # type: ignore[arg-type]  # a name

        scores = {
            "accuracy": float(accuracy_score(gold, found)),
            "f1_micro": f1("micro"),
            "f1_macro": f1("macro"),
        }
        return scores | ({"f1_semeval": self._semeval(gold, found)} if self._directed else {})

    @property
    def _directed(self) -> bool:
        return any(DIRECTION.search(name) for name in self.labels)

    def _semeval(self, gold: np.ndarray, found: np.ndarray) -> float:
        """Macro F1 as the scorer of SemEval-2010 task 8 counts it, "(9+1)-way with directionality taken into account".

        f1_macro is the mean over the 18 labels; this is the mean over the 9 relations. A relation's two directions are
        counted together, gold and found, but a hit is the right relation in the right direction; so a rare direction
        does not weigh as much as a common one. `gold` and `found` (examples,) are indices of labels.
        """
        relation = np.array([DIRECTION.sub("", name) for name in self.labels])
        hits = relation[gold[gold == found]]
        f1 = [
            2 * (hits == name).sum() / max(1, (relation[gold] == name).sum() + (relation[found] == name).sum())
            for name in dict.fromkeys(relation.tolist())
            if name != self.options.other
        ]
        return float(np.mean(f1))

    def inputs(self, example: Any) -> dict[str, Any]:
        head, tail = (example.text[slice(*span)] for span in example.spans)
        line = {"id": example.id, "text": example.text, "head": head, "tail": tail}
        return line | {"gold": None if example.label is None else self.gold(example.label)}


def _span(value: Any, column: str, length: int) -> entities.Span:
    """`[start, end]`, or the same as text. Raises: ValueError saying what is wrong with it."""
    found = value
    if isinstance(value, str):
        try:
            found = json.loads(value)
        except ValueError:
            found = None
    if not (isinstance(found, list) and len(found) == 2 and all(type(place) is int for place in found)):
        shown = f"'{value}'" if isinstance(value, str) and value else kind_of(value)
        raise ValueError(f"'{column}' is {shown}, [start, end] is needed: first character and the one after the last")
    if not 0 <= found[0] < found[1] <= length:
        raise ValueError(f"'{column}' is {found}, but the text has characters 0 to {length}, and start is below end")
    return found[0], found[1]
