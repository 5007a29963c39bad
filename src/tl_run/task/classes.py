"""One class for each example: labels by name, cross-entropy, and the scores of classes. What is read is left open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_run.config.names import did_you_mean
from tl_run.data.encoded import Encoded
from tl_run.data.table import Table
from tl_run.task.kind import Kind, kind_of, named

if TYPE_CHECKING:
    import torch

THRESHOLDS, MOST_CURVES = 101, 10
NOTHING: Any = 0  # what scikit-learn shall say of a class that was never predicted


class Classes(Kind):
    """Cross-entropy over the labels of the training data."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.metric = "accuracy" if options.metric == "auto" else options.metric
        self.weights: np.ndarray | None = None
        """What an example of each label counts in the loss, float32 (labels,); None: all 1."""
        self.rarest: int | None = None
        """The label with the fewest examples, where pr_auc is counted."""

    # -- reading

    def read_labels(self, sources: Mapping[str, Table], problems: list[str]) -> dict[str, list[int | None]]:
        """The labels are those of the whole train file, sorted."""
        named = {split: self._label_names(rows, problems) for split, rows in sources.items()}
        self.labels = in_order({name for name in named["train"] if name is not None})
        if not problems:
            self._check_names(sources["train"], named["train"], problems)
        if problems:  # with train as it is, all that the others have may look unknown
            return {split: [None] * len(names) for split, names in named.items()}
        return {split: self._indices(rows, named[split], problems) for split, rows in sources.items()}

    def known_labels(self, rows: Table, problems: list[str]) -> list[int | None]:
        """As `read_labels`; the rarest label is that of the file."""
        names = self._label_names(rows, problems)
        self.rarest = self._rarest(Counter(name for name in names if name is not None and name in self.labels))
        return self._indices(rows, names, problems)

    def _indices(self, rows: Table, names: Sequence[str | None], problems: list[str]) -> list[int | None]:
        index = {name: i for i, name in enumerate(self.labels)}
        for i, name in enumerate(names):
            if name is not None and name not in index:
                problems.append(unknown(rows.where(i), name, self.labels))
        return [None if name is None else index.get(name) for name in names]

    def _label_names(self, rows: Table, problems: list[str]) -> list[str | None]:
        column = self.options.label
        rows.require(column, "task.label")
        names = rows.class_names.get(column)
        labels: list[str | None] = []
        for i, row in enumerate(rows.rows):
            value = row[column]
            labels.append(label_name(value, names))
            if labels[-1] is None and not (names and value is None):
                what = f"{value}: text or a whole number is needed" if isinstance(value, float) else kind_of(value)
                several = "; of several, type task.multi_label=true" if isinstance(value, list) else ""
                problems.append(f"{rows.where(i)}: the label in '{column}' is {what} (task.label){several}")
        return labels

    def _check_names(self, rows: Table, names: Sequence[str | None], problems: list[str]) -> None:
        column = self.options.label
        counts = Counter(name for name in names if name is not None)
        if len(counts) < 2:
            problems.append(
                f"{rows.path}: '{column}' holds {len(counts)} label ({', '.join(counts)}), two or more are needed; "
                f"task.label can be one of: {', '.join(rows.columns)}"
            )
        elif len(counts) > 10 and max(counts.values()) == 1:
            text = getattr(self.options, "text", None)
            instead = f" Or type task.text={column} task.label={text}, where they are swapped" if text else ""
            problems.append(f"{rows.path}: every row has a label of its own in '{column}': is it an id?{instead}")

    def check(self, rows: Table, labels: Sequence[int | None], problems: list[str]) -> None:
        counts = Counter(self.labels[label] for label in labels if label is not None)
        if problems or not rows.rows:
            return
        self.weights = self._weights(counts, rows.path, problems)
        largest, smallest = max(counts.values()), min(counts.values())
        self.rarest = self._rarest(counts)
        if self.metric == "accuracy" and self.options.metric == "auto" and largest > 4 * smallest:
            self.metric = "f1_macro"
            self.notes.append(
                f"largest class {largest}, smallest {smallest} examples: macro F1 chooses the model (task.metric)"
            )

    def _rarest(self, counts: Mapping[str, int]) -> int | None:
        """The label with the fewest examples, where classes are unequal or pr_auc chooses."""
        imbalanced = max(counts.values(), default=0) > 4 * min(counts.values(), default=0)
        if not imbalanced and self.metric != "pr_auc":
            return None
        return self.labels.index(min(self.labels, key=lambda name: counts[name]))

    def _weights(self, counts: Mapping[str, int], path: str, problems: list[str]) -> np.ndarray | None:
        given = self.options.class_weights
        if given == "none":
            return None
        if given == "balanced":
            total = sum(counts.values())
            given = {name: total / (len(counts) * count) for name, count in counts.items()}
        problems += [
            f"task.class_weights: no row of {path} has the label '{name}'.{did_you_mean(name, self.labels)}"
            for name in given
            if name not in counts
        ]
        shown = ", ".join(f"{name} {given.get(name, 1):.3g}" for name in self.labels[:6])
        self.notes.append(f"weights in the loss: {shown}{', ...' if self.labels[6:] else ''} (task.class_weights)")
        return np.array([given.get(name, 1) for name in self.labels], np.float32)

    # -- model

    def head(self) -> dict[str, Any]:
        """What the model's config says of the head."""
        return named(self.labels) | {"problem_type": "single_label_classification"}

    def label_array(self, labels: Sequence[int | None]) -> np.ndarray:
        return np.array([-1 if label is None else label for label in labels])

    def gold(self, label: int) -> str:
        return self.labels[label]

    def loss(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sum over the batch of -log softmax(logits)[label], times the label's weight; in float32."""
        import torch

        weight = None if self.weights is None else torch.from_numpy(self.weights).to(outputs.logits.device)
        return torch.nn.functional.cross_entropy(outputs.logits.float(), batch["labels"], weight, reduction="sum")

    def weight(self, encoded: Encoded, indices: np.ndarray) -> float:
        """The sum of the examples' weights, by which torch's weighted cross-entropy divides too."""
        if self.weights is None:
            return len(indices)
        return float(self.weights[encoded.labels[indices]].sum(dtype=np.float64))

    def decode(self, outputs: Any, batch: Mapping[str, torch.Tensor], model: Any) -> list[np.ndarray]:
        """Probabilities (labels,) for each example of a batch."""
        return list(outputs.logits.float().softmax(-1).cpu().numpy())

    # -- scores

    def metrics(self, predictions: Sequence[np.ndarray], encoded: Encoded) -> dict[str, float]:
        """Accuracy, F1 (macro, weighted) and Matthews correlation, as scikit-learn counts them; and where classes are
        imbalanced average precision: of two labels that of the rarer, else the mean over labels (pr_auc)."""
        from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

        gold, predicted = encoded.labels, np.argmax(predictions, axis=1)
        every = list(range(len(self.labels)))
        return {
            "accuracy": float(accuracy_score(gold, predicted)),
            "f1_macro": float(f1_score(gold, predicted, labels=every, average="macro", zero_division=NOTHING)),
            "f1_weighted": float(f1_score(gold, predicted, labels=every, average="weighted", zero_division=NOTHING)),
            "mcc": float(matthews_corrcoef(gold, predicted)),
            **self.pr_auc(predictions, gold),
        }

    def pr_auc(self, predictions: Sequence[np.ndarray], gold: np.ndarray) -> dict[str, float]:
        """The mean of average precision, where it is counted; `gold` (examples,) are indices of labels."""
        if self.rarest is None:
            return {}
        counted = [self.rarest] if len(self.labels) == 2 else [*range(len(self.labels))]
        holds = gold[:, None] == np.array(counted)
        return {"pr_auc": mean_average_precision(holds, np.asarray(predictions)[:, counted])}

    def tables(self, predictions: Sequence[np.ndarray], encoded: Encoded) -> dict[str, Any]:
        """Per class precision, recall, F1 and support; confusion[gold][predicted] as counts."""
        from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

        gold, predicted = encoded.labels, np.argmax(predictions, axis=1)
        every = list(range(len(self.labels)))
        columns = precision_recall_fscore_support(gold, predicted, labels=every, zero_division=NOTHING)
        return {
            "per_class": per_class(self.labels, columns),
            "confusion": confusion_matrix(gold, predicted, labels=every).tolist(),
            **pr_curves(self.labels, gold[:, None] == np.array(every), np.asarray(predictions)),
        }

    def describe(self, example: Any, prediction: np.ndarray) -> dict[str, Any]:
        """One line of a predictions file: label, its probability, and the probability of each label."""
        return likeliest(self.labels, prediction)


def likeliest(labels: Sequence[str], probabilities: np.ndarray) -> dict[str, Any]:
    """The class with the highest probability, and all probabilities (labels,), by name."""
    best = int(np.argmax(probabilities))
    every = {name: round(float(p), 6) for name, p in zip(labels, probabilities, strict=True)}
    return {"prediction": labels[best], "probability": every[labels[best]], "probabilities": every}


def per_class(labels: Sequence[str], columns: Sequence[Any]) -> dict[str, dict[str, float]]:
    """What scikit-learn's precision_recall_fscore_support gives, by name."""
    return {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for name, p, r, f, n in zip(labels, *columns, strict=True)
    }


def pr_curves(labels: Sequence[str], gold: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """What precision-recall curves are drawn from: for each label true and false positives at thresholds from 0 to 1.

    `gold` is bool, `scores` are probabilities: (examples, labels) each. Of many labels nothing is counted.
    """
    if len(labels) > MOST_CURVES:
        return {}
    steps = np.minimum((scores * (THRESHOLDS - 1) + 1e-6).astype(int), THRESHOLDS - 1)  # the last threshold it reaches
    curves = {}
    for i, name in enumerate(labels):
        tp, fp = (np.bincount(steps[gold[:, i] == hit, i], minlength=THRESHOLDS) for hit in (True, False))
        curves[name] = {"tp": tp[::-1].cumsum()[::-1].tolist(), "fp": fp[::-1].cumsum()[::-1].tolist()}
    return {"pr_curve": curves}


def in_order(names: Iterable[str]) -> list[str]:
    """Sorted, whole numbers by their size and first."""
    return sorted(names, key=lambda name: (0, int(name), name) if _is_whole(name) else (1, 0, name))


def label_name(value: Any, names: Sequence[str] | None) -> str | None:
    """The name of a label as a file has it; `names` are those of the hub's numbers. None where it is no label."""
    if names is not None and isinstance(value, int):
        return names[value]
    named = isinstance(value, str | int) and str(value).strip() != ""
    return str(value) if named else None


def unknown(where: str, name: str, labels: list[str]) -> str:
    """The problem of a label that could not be learned."""
    return f"{where}: label '{name}' does not occur in train.{did_you_mean(name, labels)}"


def mean_average_precision(gold: np.ndarray, scores: np.ndarray) -> float:
    """The mean of scikit-learn's average precision over the labels that occur, 0 where none does.

    `gold` is bool, `scores` are floats: (examples, labels) each.
    """
    from sklearn.metrics import average_precision_score

    found = [average_precision_score(gold[:, i], scores[:, i]) for i in np.flatnonzero(gold.any(0))]
    return float(np.mean(found)) if found else 0.0


def _is_whole(name: str) -> bool:
    return name.removeprefix("-").isascii() and name.removeprefix("-").isdigit()
