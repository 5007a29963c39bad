"""Kinds that read one text, or a pair of texts, with one label each: the part that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tl_run.data.encoded import Encoded
from tl_run.data.perturbation import Disturbance
from tl_run.data.table import Table
from tl_run.task.kind import Kind, refuse, texts


@dataclass(frozen=True)
class Example:
    """One text, or pair, and its label: an index, a number, or None where there is none."""

    id: str
    text: str
    pair: str | None
    label: Any


class Texts(Kind):
    """Reads texts; a kind of it says what a label is."""

    auto_class = "AutoModelForSequenceClassification"
    pipeline = "text-classification"
    cuts = True

    def read(self, sources: Mapping[str, Table]) -> dict[str, list[Example]]:
        problems: list[str] = []
        labels = self.read_labels(sources, problems)
        if self.options.id:
            for rows in sources.values():
                rows.require(self.options.id, "task.id")
        examples = {
            split: self._examples(rows, labels[split], "task.text", problems) for split, rows in sources.items()
        }
        self.check(sources["train"], labels["train"], problems)
        refuse(problems)
        return examples

    def read_labels(self, sources: Mapping[str, Table], problems: list[str]) -> dict[str, list[Any]]:
        """The labels of every split, None where there is none."""
        raise NotImplementedError

    def check(self, rows: Table, labels: Sequence[Any], problems: list[str]) -> None:
        """What is wrong with the training labels as a whole; settles the metric."""

    def read_unlabelled(self, rows: Table) -> list[Example]:
        problems: list[str] = []
        examples = self._examples(rows, [None] * len(rows.rows), "the run's text", problems)
        refuse(problems)
        return examples

    def read_labelled(self, rows: Table) -> list[Example]:
        problems: list[str] = []
        rows.require(self.options.label, "the run's label")
        labels = self.known_labels(rows, problems)
        examples = self._examples(rows, labels, "the run's text", problems)
        if not problems:
            column = self.options.label
            problems += [f"{rows.where(i)}: '{column}' is missing" for i, own in enumerate(labels) if own is None]
        refuse(problems)
        return examples

    def known_labels(self, rows: Table, problems: list[str]) -> list[Any]:
        """The labels of a file, None where there is none, when their names are known."""
        raise NotImplementedError

    def disturbed(self, example: Example, how: Disturbance) -> Example:
        pair = None if example.pair is None else how.text(example.pair)
        return replace(example, text=how.text(example.text), pair=pair)

    def _examples(self, rows: Table, labels: Sequence[Any], option: str, problems: list[str]) -> list[Example]:
        first = texts(rows, self.options.text, option, problems)
        pairs = self.options.text_pair and texts(rows, self.options.text_pair, f"{option}_pair", problems)
        return [
            Example(name, first[i], pairs[i] if pairs else None, label)
            for i, (name, label) in enumerate(zip(self.ids(rows), labels, strict=True))
        ]

    def corpus(self, examples: Sequence[Example]) -> list[str]:
        return [text for example in examples for text in (example.text, example.pair) if text]

    def seen(self, example: Example) -> tuple[str | None, ...]:
        return example.text, example.pair

    @staticmethod
    def stratum(example: Example) -> Any:
        return example.label

    def encode(self, examples: Sequence[Example], tokenizer: Any) -> Encoded:
        """Token ids of all examples, cut to task.max_length; `labels` as `label_array` makes them."""
        return Encoded.of(
            [example.text for example in examples],
            [example.pair or "" for example in examples] if self.options.text_pair else None,
            tokenizer,
            self.options.max_length,
            ids=[example.id for example in examples],
            labels=self.label_array([example.label for example in examples]),
        )

    def label_array(self, labels: Sequence[Any]) -> np.ndarray:
        """Labels as the loss reads them: (examples, ...), -1 or NaN where there is none."""
        raise NotImplementedError

    def gold(self, label: Any) -> Any:
        """A label as a predictions file shows it."""
        return label

    def inputs(self, example: Example) -> dict[str, Any]:
        line: dict[str, Any] = {"id": example.id, "text": example.text}
        if example.pair is not None:
            line["text_pair"] = example.pair
        return line | {"gold": None if example.label is None else self.gold(example.label)}
