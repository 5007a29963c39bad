"""Any number of labels for a text or a pair of texts: a yes or no for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_run.config import options
from tl_run.data.encoded import Encoded
from tl_run.data.table import Table
from tl_run.task.classes import NOTHING, in_order, label_name, mean_average_precision, per_class, pr_curves, unknown
from tl_run.task.kind import AS_LIST, is_written_list, kind_of, named
from tl_run.task.texts import Example, Texts

if TYPE_CHECKING:
    import torch

THRESHOLD = 0.5
"""A label holds from this probability on."""


class MultiLabel(Texts):
    """Binary cross-entropy over the labels of the training file; a text may have none of them."""

    input_note = f"A label holds from the probability {THRESHOLD} on; `pipeline(..., top_k=None)` gives that of each."

    def __init__(self, options: options.Classification) -> None:
        super().__init__(options)
        self.metric = "f1_micro" if options.metric == "auto" else options.metric

    # -- reading

    def read_labels(self, sources: Mapping[str, Table], problems: list[str]) -> dict[str, list[tuple[int, ...] | None]]:
        """The labels are those of the whole train file, sorted. A split in which no text has any has no labels."""
        named = {split: self._names(rows, problems) for split, rows in sources.items()}
        self.labels = in_order({name for names in named["train"] for name in names or ()})
        if not problems:
            self._check_names(sources["train"], problems)
        if problems:  # with train as it is, all that the others have may look unknown
            return {split: [None] * len(names) for split, names in named.items()}
        return {split: self._indices(rows, named[split], problems) for split, rows in sources.items()}

    def known_labels(self, rows: Table, problems: list[str]) -> list[tuple[int, ...] | None]:
        return self._indices(rows, self._names(rows, problems), problems)

    def _indices(
        self, rows: Table, lists: Sequence[Sequence[str] | None], problems: list[str]
    ) -> list[tuple[int, ...] | None]:
        index = {name: i for i, name in enumerate(self.labels)}
        for i, names in enumerate(lists):
            problems += [unknown(rows.where(i), name, self.labels) for name in names or () if name not in index]
        return [None if names is None else tuple(sorted({index.get(name, -1) for name in names})) for names in lists]

    def _names(self, rows: Table, problems: list[str]) -> list[list[str] | None]:
        values = rows.column(self.options.label, "task.label")
        if all(value is None or value in ("", []) for value in values):
            return [None] * len(values)
        return [self._split(value, rows, i, problems) for i, value in enumerate(values)]

    def _split(self, value: Any, rows: Table, i: int, problems: list[str]) -> list[str]:
        column, separator = self.options.label, self.options.label_separator
        where = f"{rows.where(i)}: '{column}'"
        if is_written_list(value):
            problems.append(f"{where} is {AS_LIST}")
            return []
        if isinstance(value, str) and separator is not None:
            value = [part.strip() for part in value.split(separator)] if value.strip() else []
        if not isinstance(value, list):
            remedy = "several labels are a list" + (", or type task.label_separator=','" if separator is None else "")
            problems.append(f"{where} is {'text' if isinstance(value, str) else kind_of(value)}: {remedy}")
            return []
        names = [label_name(each, rows.class_names.get(column)) for each in value]
        if None in names:
            problems.append(f"{where} holds a label that is {kind_of(value[names.index(None)])} (task.label)")
        return [name for name in names if name is not None]

    def _check_names(self, rows: Table, problems: list[str]) -> None:
        if len(self.labels) < 2:
            problems.append(
                f"{rows.path}: '{self.options.label}' holds {len(self.labels)} label ({', '.join(self.labels)}), two "
                f"or more are needed; task.label can be one of: {', '.join(rows.columns)}"
            )

    @staticmethod
    def stratum(example: Example) -> int | None:
        """All labelled examples are one stratum: a class of their own for each combination would be of one or two."""
        return None if example.label is None else 0

    # -- model

    def head(self) -> dict[str, Any]:
        # With this type of problem the pipeline gives a sigmoid for each label.
        return named(self.labels) | {"problem_type": "multi_label_classification"}

    def label_array(self, labels: Sequence[tuple[int, ...] | None]) -> np.ndarray:
        """(examples, labels) of 1 and 0, NaN where nothing is known."""
        array = np.zeros((len(labels), len(self.labels)), np.float32)
        for row, indices in zip(array, labels, strict=True):
            row[slice(None) if indices is None else list(indices)] = np.nan if indices is None else 1
        return array

    def gold(self, label: tuple[int, ...]) -> list[str]:
        return [self.labels[i] for i in label]

    def loss(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sum over texts and labels of the binary cross-entropy."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits(outputs.logits.float(), batch["labels"], reduction="sum")

    def weight(self, encoded: Encoded, indices: np.ndarray) -> int:
        """Texts times labels: the mean is then transformers' own loss, of one size however many labels there are."""
        return len(indices) * len(self.labels)

    def decode(self, outputs: Any, batch: Mapping[str, torch.Tensor], model: Any) -> list[np.ndarray]:
        """The probability of each label (labels,) for each example of a batch."""
        return list(outputs.logits.float().sigmoid().cpu().numpy())

    # -- scores

    def metrics(self, predictions: Sequence[np.ndarray], encoded: Encoded) -> dict[str, float]:
        """F1 over all decisions (micro) and its mean over labels (macro), as scikit-learn counts them; the share of
        texts with every label right; and the mean over labels of average precision (pr_auc)."""
        from sklearn.metrics import f1_score

        gold, scores = encoded.labels > 0, np.asarray(predictions)
        found = scores >= THRESHOLD
        return {
            "f1_micro": float(f1_score(gold, found, average="micro", zero_division=NOTHING)),
            "f1_macro": float(f1_score(gold, found, average="macro", zero_division=NOTHING)),
            "subset_accuracy": float((gold == found).all(1).mean()),
            "pr_auc": mean_average_precision(gold, scores),
        }

    def tables(self, predictions: Sequence[np.ndarray], encoded: Encoded) -> dict[str, Any]:
        """Per label precision, recall, F1 and support."""
        from sklearn.metrics import precision_recall_fscore_support

        gold, scores = encoded.labels > 0, np.asarray(predictions)
        columns = precision_recall_fscore_support(gold, scores >= THRESHOLD, zero_division=NOTHING)
        return {"per_class": per_class(self.labels, columns), **pr_curves(self.labels, gold, scores)}

    def describe(self, example: Example, prediction: np.ndarray) -> dict[str, Any]:
        """One line of a predictions file: the labels that hold, and the probability of each label."""
        return {
            "prediction": [name for name, p in zip(self.labels, prediction, strict=True) if p >= THRESHOLD],
            "probabilities": {name: round(float(p), 6) for name, p in zip(self.labels, prediction, strict=True)},
        }
