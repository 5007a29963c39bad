"""One label for a text or a pair of texts. Reading is free of torch, so that bad data is told before it is imported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_run.config import options
from tl_run.config.names import did_you_mean
from tl_run.data.encoded import Encoded
from tl_run.data.table import Table
from tl_run.errors import BadInput

if TYPE_CHECKING:
    import torch

NOTHING: Any = 0  # what scikit-learn shall say of a class that was never predicted


@dataclass(frozen=True)
class Example:
    """One text, or pair, and the index of its label (None where it has none)."""

    id: str
    text: str
    pair: str | None
    label: int | None


class Classification:
    """Cross-entropy over the labels of the training file."""

    auto_class = "AutoModelForSequenceClassification"
    pipeline = "text-classification"
    higher_is_better = True

    def __init__(self, options: options.Classification) -> None:
        self.options = options
        self.labels: list[str] = []
        self.metric = "accuracy" if options.metric == "auto" else options.metric
        self.notes: list[str] = []

    # -- reading

    def read(self, sources: Mapping[str, Table]) -> dict[str, list[Example]]:
        """Examples of every split; labels are those of the whole train file, sorted.

        Raises: BadInput with file, line and remedy, over all rows of all splits.
        """
        problems: list[str] = []
        named = {split: self._label_names(rows, problems) for split, rows in sources.items()}
        present = {name for name in named["train"] if name is not None}
        self.labels = sorted(present, key=lambda name: (0, int(name), name) if _is_whole(name) else (1, 0, name))
        index = {name: i for i, name in enumerate(self.labels)}
        examples = {}
        for split, rows in sources.items():
            texts = self._texts(rows, self.options.text, "task.text", problems)
            pairs = self.options.text_pair and self._texts(rows, self.options.text_pair, "task.text_pair", problems)
            if self.options.id:
                rows.require(self.options.id, "task.id")
            ids = self.ids(rows)
            for i, name in enumerate(named[split]):
                if name is not None and name not in index:
                    near = did_you_mean(name, self.labels)
                    problems.append(f"{rows.where(i)}: label '{name}' does not occur in train.{near}")
            examples[split] = [
                Example(ids[i], texts[i], pairs[i] if pairs else None, index.get(name) if name is not None else None)
                for i, name in enumerate(named[split])
            ]
        self._check_labels(sources["train"], named["train"], problems)
        if problems:
            raise BadInput.of(problems)
        return examples

    def read_unlabelled(self, rows: Table) -> list[Example]:
        """Examples of a file that has texts only, as tl-predict gets them."""
        problems: list[str] = []
        texts = self._texts(rows, self.options.text, "the run's text", problems)
        pairs = self.options.text_pair and self._texts(rows, self.options.text_pair, "the run's text_pair", problems)
        if problems:
            raise BadInput.of(problems)
        ids = self.ids(rows)
        return [Example(ids[i], texts[i], pairs[i] if pairs else None, None) for i in range(len(texts))]

    def ids(self, rows: Table) -> list[str]:
        """The column task.id where the file has it (new texts may not), else the row's number from 0."""
        column = self.options.id
        if column and column in rows.columns:
            return [str(row[column]) for row in rows.rows]
        return [str(i) for i in range(len(rows.rows))]

    def _texts(self, rows: Table, column: str, option: str, problems: list[str]) -> list[str]:
        rows.require(column, option)
        values = [row[column] for row in rows.rows]
        for i, value in enumerate(values):
            if not isinstance(value, str):
                problems.append(f"{rows.where(i)}: '{column}' is {_kind(value)}, a text is needed ({option})")
        return values

    def _label_names(self, rows: Table, problems: list[str]) -> list[str | None]:
        column = self.options.label
        rows.require(column, "task.label")
        names = rows.class_names.get(column)
        labels: list[str | None] = []
        for i, row in enumerate(rows.rows):
            value = row[column]
            if names is not None and (value is None or isinstance(value, int)):
                labels.append(None if value is None else names[value])
            elif isinstance(value, str | int) and str(value).strip() != "":
                labels.append(str(value))
            else:
                what = f"{value}: text or a whole number is needed" if isinstance(value, float) else _kind(value)
                problems.append(f"{rows.where(i)}: the label in '{column}' is {what} (task.label)")
                labels.append(None)
        return labels

    def _check_labels(self, rows: Table, names: Sequence[str | None], problems: list[str]) -> None:
        counts = Counter(name for name in names if name is not None)
        if problems or not rows.rows:
            return
        if len(counts) < 2:
            problems.append(
                f"{rows.path}: '{self.options.label}' holds {len(counts)} label ({', '.join(counts)}), two or more are "
                f"needed; task.label can be one of: {', '.join(rows.columns)}"
            )
        elif len(counts) > 10 and max(counts.values()) == 1:
            problems.append(f"{rows.path}: every row has a label of its own in '{self.options.label}': is it an id?")
        largest, smallest = max(counts.values()), min(counts.values(), default=1)
        if self.options.metric == "auto" and largest > 4 * smallest:
            self.metric = "f1_macro"
            self.notes.append(
                f"largest class {largest}, smallest {smallest} examples: macro F1 chooses the model (task.metric)"
            )

    @staticmethod
    def stratum(example: Example) -> int | None:
        """What a held-out part and shots are balanced over."""
        return example.label

    # -- model

    def head(self) -> dict[str, Any]:
        """What the model's config says of the head."""
        return {
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {name: i for i, name in enumerate(self.labels)},
            "problem_type": "single_label_classification",
        }

    def encode(self, examples: Sequence[Example], tokenizer: Any) -> Encoded:
        """Token ids of all examples, cut to task.max_length."""
        texts = [example.text for example in examples]
        pairs = [example.pair or "" for example in examples] if self.options.text_pair else None
        return Encoded.of(
            texts,
            pairs,
            tokenizer,
            self.options.max_length,
            ids=[example.id for example in examples],
            labels=np.array([-1 if example.label is None else example.label for example in examples]),
        )

    def collate(self, encoded: Encoded, indices: np.ndarray, pad: Mapping[str, int]) -> dict[str, torch.Tensor]:
        """Padded inputs (batch, tokens) and `labels` (batch,)."""
        import torch

        batch = {name: torch.from_numpy(array) for name, array in encoded.padded(indices, pad).items()}
        batch["labels"] = torch.from_numpy(encoded.labels[indices])
        return batch

    def loss(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sum over the batch of -log softmax(logits)[label]; in float32 whatever the precision."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs.logits.float(), batch["labels"], reduction="sum")

    def weight(self, encoded: Encoded, indices: np.ndarray) -> int:
        """How many terms the loss of these examples sums over."""
        return len(indices)

    def decode(self, outputs: Any) -> list[np.ndarray]:
        """Probabilities (labels,) for each example of a batch."""
        return list(outputs.logits.float().softmax(-1).cpu().numpy())

    # -- scores

    def metrics(self, predictions: Sequence[np.ndarray], encoded: Encoded) -> dict[str, float]:
        """Accuracy, F1 (macro, weighted) and Matthews correlation, as scikit-learn counts them."""
        from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

        gold, predicted = encoded.labels, np.argmax(predictions, axis=1)
        every = list(range(len(self.labels)))
        return {
            "accuracy": float(accuracy_score(gold, predicted)),
            "f1_macro": float(f1_score(gold, predicted, labels=every, average="macro", zero_division=NOTHING)),
            "f1_weighted": float(f1_score(gold, predicted, labels=every, average="weighted", zero_division=NOTHING)),
            "mcc": float(matthews_corrcoef(gold, predicted)),
        }

    def tables(self, predictions: Sequence[np.ndarray], encoded: Encoded) -> dict[str, Any]:
        """Per class precision, recall, F1 and support; confusion[gold][predicted] as counts."""
        from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

        gold, predicted = encoded.labels, np.argmax(predictions, axis=1)
        every = list(range(len(self.labels)))
        columns = precision_recall_fscore_support(gold, predicted, labels=every, zero_division=NOTHING)
        return {
            "per_class": {
                name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
                for name, p, r, f, n in zip(self.labels, *columns, strict=True)  # type: ignore[arg-type]
            },
            "confusion": confusion_matrix(gold, predicted, labels=every).tolist(),
        }

    def describe(self, example: Example, prediction: np.ndarray) -> dict[str, Any]:
        """One line of a predictions file: label, its probability, and the probability of each label."""
        best = int(np.argmax(prediction))
        return {
            "prediction": self.labels[best],
            "probability": round(float(prediction[best]), 6),
            "probabilities": {name: round(float(p), 6) for name, p in zip(self.labels, prediction, strict=True)},
        }

    def inputs(self, example: Example) -> dict[str, Any]:
        """The example's own part of a line of predictions-test.jsonl."""
        line: dict[str, Any] = {"id": example.id, "text": example.text}
        if example.pair is not None:
            line["text_pair"] = example.pair
        line["gold"] = self.labels[example.label] if example.label is not None else None
        return line


def _is_whole(name: str) -> bool:
    return name.removeprefix("-").isascii() and name.removeprefix("-").isdigit()


def _kind(value: Any) -> str:
    if value is None or value == "":
        return "missing"
    return {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}.get(
        type(value), f"{type(value).__name__}"
    )
