"""Pairs and triplets of texts: what their labels say of them is found in the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tl_run.config import options
from tl_run.data.table import Table
from tl_run.errors import BadInput
from tl_run.task.kind import Kind, kind_of, refuse, texts
from tl_run.task.regression import number

RECALLS = ("recall_at_1", "recall_at_5", "recall_at_10")
FORMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "scores": ("cosine", ("spearman", "pearson")),
    "binary": ("contrastive", ("accuracy", "average_precision", "f1")),
    "pairs": ("in_batch", RECALLS),
    "texts": ("in_batch", ()),
    "triplets": ("triplet_hinge", (*RECALLS, "accuracy")),
    "classes": ("classifier", ("accuracy", "f1_macro")),
}
"""What examples may be: pairs with a score, with 0 or 1, that belong together, texts alone, triplets, or pairs of a
class. For each the loss that task.loss=auto means, and its metrics, the main one first; nmi comes last."""


@dataclass(frozen=True)
class Example:
    """Two texts, or of a triplet three, and a label; where all belong together it is 1."""

    id: str
    texts: tuple[str, ...]
    label: Any
    cluster: str | None = None
    """What only the score of clusters sees."""


class Pairs(Kind):
    """Reads them, and settles what they are; a kind of it says what is learned from them."""

    options: options.Similarity

    def __init__(self, options: options.Similarity) -> None:
        super().__init__(options)
        self.form = ""
        """A key of FORMS, known after `read`."""
        self.range = (0.0, 1.0)
        """The lowest and the highest score of train."""

    @property
    def loss_name(self) -> str:
        """What task.loss=auto means."""
        return FORMS[self.form][0] if self.options.loss == "auto" else self.options.loss

    @property
    def _metrics(self) -> tuple[str, ...]:
        """Those that there are."""
        return (*FORMS[self.form][1], *(("nmi",) if self.options.clusters else ()))

    def read(self, sources: Mapping[str, Table]) -> dict[str, list[Example]]:
        problems: list[str] = []
        if self.options.id:
            for rows in sources.values():
                rows.require(self.options.id, "task.id")
        labels = {split: self._labels(rows, problems) for split, rows in sources.items()}
        examples = {
            split: self._examples(rows, self._sides, labels[split], "task.", problems)
            for split, rows in sources.items()
        }
        for split, rows in sources.items():
            if self.options.clusters and not (split == "train" and "validation" in sources):
                names = self._cluster_names(rows, problems)
                examples[split] = [replace(e, cluster=name) for e, name in zip(examples[split], names, strict=True)]
        refuse(problems)
        self._settle_form(labels["train"])
        self._check(sources, labels, problems)
        refuse(problems)
        return examples

    def read_unlabelled(self, rows: Table) -> list[Example]:
        problems: list[str] = []
        sides = self._sides[:2]
        if self.options.text_pair is None or {*rows.columns} <= {self.options.text, self.options.id}:
            sides = sides[:1]  # there are only vectors to give
        examples = self._examples(rows, sides, [None] * len(rows.rows), "the run's ", problems)
        refuse(problems)
        return examples

    @property
    def _sides(self) -> list[tuple[str, str]]:
        """The columns of the texts, each with its option; a text alone is the other one too."""
        roles = ("text", "text_pair", "negative") if self.options.text_pair else ("text", "text")
        return [(column, role) for role in roles if (column := getattr(self.options, role))]

    def _examples(
        self, rows: Table, sides: Sequence[tuple[str, str]], labels: Sequence[Any], option: str, problems: list[str]
    ) -> list[Example]:
        columns = [texts(rows, column, option + role, problems) for column, role in sides]
        return [
            Example(name, read, label)
            for name, read, label in zip(self.ids(rows), zip(*columns, strict=True), labels, strict=True)
        ]

    def _labels(self, rows: Table, problems: list[str]) -> list[Any]:
        """Numbers, or names of classes; None where there is none, and in a split that has none at all."""
        column = self.options.label
        if column is None:
            return [1.0] * len(rows.rows)
        try:
            values = rows.column(column, "task.label")
        except BadInput as problem:
            raise BadInput(f"{problem}; where the texts of every pair belong together, type task.label=null") from None
        names = rows.class_names.get(column)
        if all(value in (None, "") for value in values):
            return [None] * len(values)
        by_class = self.options.loss == "classifier"
        labels = [_class(value, names) if by_class else number(value) for value in values]
        needed = "a class" if by_class else "a score, 0 or 1 (for classes: task.loss=classifier)"
        for i, (value, label) in enumerate(zip(values, labels, strict=True)):
            if label is None and not (value is None and names):
                what = f"'{value}'" if isinstance(value, str) and value else kind_of(value)
                problems.append(f"{rows.where(i)}: '{column}' is {what}, {needed} is needed (task.label)")
        return labels

    def _cluster_names(self, rows: Table, problems: list[str]) -> list[str | None]:
        """What clusters are compared with: nothing is missing where a split is scored."""
        column = self.options.clusters
        assert column
        values, names = rows.column(column, "task.clusters"), rows.class_names.get(column)
        found = [_class(value, names) for value in values]
        for i, (value, name) in enumerate(zip(values, found, strict=True)):
            if name is None:
                problems.append(f"{rows.where(i)}: '{column}' is {kind_of(value)}, a label is needed (task.clusters)")
        if len({*found}) < 2:
            problems.append(f"{rows.path}: every '{column}' is {found[0]}: two labels or more make clusters")
        return found

    def _settle_form(self, labels: Sequence[Any]) -> None:
        """What the examples are, from the columns and the labels of train, and so loss and metric."""
        found = {label for label in labels if label is not None}
        if self.options.label is None:
            alone = self.options.text_pair is None
            self.form = "triplets" if self.options.negative else "texts" if alone else "pairs"
        elif self.options.loss == "classifier":
            self.form, self.labels = "classes", sorted(found)
        elif found <= {0, 1}:
            self.form = "binary"
        else:
            self.form, self.range = "scores", (min(found), max(found))
            self.notes.append(f"scores: {self.range[0]:g} to {self.range[1]:g} (of train) is 0 to 1 in the loss")
        self.metric = self._metrics[0] if self.options.metric == "auto" else self.options.metric
        self.notes.append(f"task.loss: {self.loss_name}")

    def _check(self, sources: Mapping[str, Table], labels: Mapping[str, list[Any]], problems: list[str]) -> None:
        """What is wrong with labels and options as a whole."""
        train, column = sources["train"], self.options.label
        known = {label for label in labels["train"] if label is not None}
        if column is not None and len(known) < 2:
            problems.append(f"{train.path}: '{column}' holds {len(known)} value, two or more are needed (task.label)")
        if self.form == "scores" and self.options.loss == "contrastive":
            i = next(i for i, label in enumerate(labels["train"]) if label not in (0, 1, None))
            problems.append(f"{train.where(i)}: '{column}' is neither 0 nor 1: type task.loss=cosine for scores")
        for split, rows in sources.items() if self.form in ("binary", "classes") else ():
            for i, label in enumerate(labels[split]):
                if label is not None and label not in known:
                    problems.append(f"{rows.where(i)}: '{column}' is {label}, which does not occur in train")
        if self.metric not in self._metrics:
            problems.append(f"task.metric={self.metric}: {self.form} have {', '.join(self._metrics)}: type one of them")

    def stratum(self, example: Example) -> Any:  # type: ignore[override]
        """A class, or 0 or 1; all others are one stratum."""
        return example.label if example.label is None or self.form in ("binary", "classes") else 0

    def inputs(self, example: Example) -> dict[str, Any]:
        roles = ("text", "text_pair", "negative") if self.options.text_pair else ("text",)
        line = {"id": example.id, **dict(zip(roles, example.texts, strict=False))}
        if self.options.label is None:
            return line | ({"gold": example.cluster} if self.options.clusters else {})
        return line | {"gold": int(example.label) if self.form == "binary" else example.label}


def _class(value: Any, names: Sequence[str] | None) -> str | None:
    if names is not None and isinstance(value, int):
        return names[value]
    plain = isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip()
    return str(value) if plain else None
