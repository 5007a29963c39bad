"""How alike two texts are, as the cosine of their vectors: two towers with shared weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_run.config import options
from tl_run.data.table import Table
from tl_run.data.tuples import Tuples, distinct
from tl_run.errors import BadInput
from tl_run.task import pair_losses
from tl_run.task.kind import Kind, kind_of, refuse, texts
from tl_run.task.pair_scores import best_threshold, partner_ranks
from tl_run.task.regression import correlations, number

if TYPE_CHECKING:
    import torch

RECALLS = ("recall_at_1", "recall_at_5", "recall_at_10")
FORMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "scores": ("cosine", ("spearman", "pearson")),
    "binary": ("contrastive", ("accuracy", "average_precision", "f1")),
    "pairs": ("in_batch", RECALLS),
    "triplets": ("triplet_hinge", (*RECALLS, "accuracy")),
    "classes": ("classifier", ("accuracy", "f1_macro")),
}
"""What examples may be: pairs with a score, with 0 or 1, that belong together, triplets, or pairs of a class. For each
the loss that task.loss=auto means, and its metrics, the main one first."""


@dataclass(frozen=True)
class Example:
    """Two texts, or of a triplet three, and a label; where all belong together it is 1."""

    id: str
    texts: tuple[str, ...]
    label: float | str | None


class Similarity(Kind):
    """Learns from pairs or triplets, and predicts the cosine of pairs."""

    auto_class = "AutoModel"
    pipeline = "sentence-similarity"
    options: options.Similarity

    def __init__(self, options: options.Similarity) -> None:
        super().__init__(options)
        self.form = ""
        """A key of FORMS, known after `read`."""
        self.range = (0.0, 1.0)
        """The lowest and the highest score of train."""
        self.threshold: float | None = None
        """From which cosine on two texts belong together: where it is settled, it is not chosen anew."""

    @property
    def loss_name(self) -> str:
        """What task.loss=auto means."""
        return FORMS[self.form][0] if self.options.loss == "auto" else self.options.loss

    # -- reading

    def read(self, sources: Mapping[str, Table]) -> dict[str, list[Example]]:
        problems: list[str] = []
        if self.options.id:
            for rows in sources.values():
                rows.require(self.options.id, "task.id")
        labels = {split: self._labels(rows, problems) for split, rows in sources.items()}
        examples = {
            split: self._examples(rows, self._sides, labels[split], "task.text", problems)
            for split, rows in sources.items()
        }
        refuse(problems)
        self._settle_form(sources, labels, problems)
        refuse(problems)
        return examples

    @property
    def _sides(self) -> list[tuple[str, str]]:
        """The columns of the texts, each with its option."""
        sides = [
            (self.options.text, "text"),
            (self.options.text_pair, "text_pair"),
            (self.options.negative, "negative"),
        ]
        return [(column, role) for column, role in sides if column]

    def _examples(
        self,
        rows: Table,
        sides: Sequence[tuple[str, str]],
        labels: Sequence[float | str | None],
        option: str,
        problems: list[str],
    ) -> list[Example]:
        columns = [texts(rows, column, option.replace("text", role), problems) for column, role in sides]
        return [
            Example(name, read, label)
            for name, read, label in zip(self.ids(rows), zip(*columns, strict=True), labels, strict=True)
        ]

    def _labels(self, rows: Table, problems: list[str]) -> list[Any]:
        """Numbers, or names of classes; None in a split that has none."""
        column, names = self.options.label, rows.class_names
        if column is None:
            return [1.0] * len(rows.rows)
        try:
            values = rows.column(column, "task.label")
        except BadInput as problem:
            raise BadInput(f"{problem}; where the texts of every pair belong together, type task.label=null") from None
        if all(value in (None, "") for value in values):
            return [None] * len(values)
        if self.options.loss == "classifier":
            return [self._class(rows, i, value, names.get(column), problems) for i, value in enumerate(values)]
        numbers = [None if value is None and column in names else number(value) for value in values]
        for i, (value, found) in enumerate(zip(values, numbers, strict=True)):
            if found is None and not (value is None and column in names):
                what = f"'{value}'" if isinstance(value, str) and value else kind_of(value)
                problems.append(
                    f"{rows.where(i)}: '{column}' is {what}, a score, 0 or 1 is needed (task.label), or for classes "
                    "task.loss=classifier"
                )
        return numbers

    @staticmethod
    def _class(rows: Table, i: int, value: Any, names: list[str] | None, problems: list[str]) -> str | None:
        if names is not None and (value is None or isinstance(value, int)):
            return None if value is None else names[value]
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value)
        problems.append(f"{rows.where(i)}: the class is {kind_of(value)} (task.label)")
        return None

    def _settle_form(self, sources: Mapping[str, Table], labels: Mapping[str, list[Any]], problems: list[str]) -> None:
        """What the examples are, from the columns and the labels of train, and so loss and metric."""
        train = {label for label in labels["train"] if label is not None}
        if self.options.label is None:
            self.form = "triplets" if self.options.negative else "pairs"
        elif self.options.loss == "classifier":
            self.form, self.labels = "classes", sorted(map(str, train))
        else:
            self.form = "binary" if train <= {0, 1} else "scores"
        where, column, loss = sources["train"].path, self.options.label, self.options.loss
        if column is not None and len(train) < 2:
            problems.append(f"{where}: '{column}' holds {len(train)} value, two or more are needed (task.label)")
        if self.form == "scores" and loss == "contrastive":
            i = next(i for i, label in enumerate(labels["train"]) if label not in (0, 1, None))
            problems.append(
                f"{sources['train'].where(i)}: '{column}' is neither 0 nor 1: type task.loss=cosine for scores"
            )
        allowed = set(self.labels) if self.form == "classes" else {0, 1} if self.form == "binary" else None
        for split, rows in sources.items() if allowed else ():
            for i, label in enumerate(labels[split]):
                if label is not None and label not in allowed:
                    problems.append(f"{rows.where(i)}: '{column}' is {label}, which does not occur in train")
        if self.form == "scores" and train:
            self.range = (min(train), max(train))
            self.notes.append(
                f"scores from {self.range[0]:g} to {self.range[1]:g} (of train) become 0 to 1 for the loss"
            )
        known = FORMS[self.form][1]
        self.metric = known[0] if self.options.metric == "auto" else self.options.metric
        if self.metric not in known:
            problems.append(f"task.metric={self.metric}: these are {self.form}, type one of {', '.join(known)}")
        self.notes.append(f"{self.form}, loss {self.loss_name}")

    def read_unlabelled(self, rows: Table) -> list[Example]:
        problems: list[str] = []
        examples = self._examples(rows, self._sides[:2], [None] * len(rows.rows), "the run's text", problems)
        refuse(problems)
        return examples

    def stratum(self, example: Example) -> Any:  # type: ignore[override]
        """A class, or 0 or 1; all others are one stratum."""
        return example.label if example.label is None or self.form in ("binary", "classes") else 0

    # -- model

    def head(self) -> dict[str, Any]:
        said: dict[str, Any] = {"similarity": {"form": self.form, "threshold": self.threshold}}
        if self.form == "classes":
            said |= {"num_labels": len(self.labels), "id2label": dict(enumerate(self.labels))}
            said |= {"label2id": {name: i for i, name in enumerate(self.labels)}}
        return said

    def design(self) -> dict[str, Any]:
        o = self.options
        classes = self.form == "classes"
        return {"kind": "towers", "max_length": o.max_length, "normalize": o.normalize, "classifier": classes}

    def settle(self, scores: Mapping[str, float]) -> None:
        self.threshold = scores.get("threshold")

    def restore(self, config: Any) -> None:
        self.form, self.threshold = config.similarity["form"], config.similarity["threshold"]
        if self.form == "classes":
            super().restore(config)

    def encode(self, examples: Sequence[Example], tokenizer: Any) -> Tuples:  # type: ignore[override]
        """Token ids of the different texts, each cut to task.max_length, and which of them each example has."""
        rows, members = distinct([example.texts for example in examples], tokenizer, self.options.max_length)
        return Tuples(rows, members, [example.id for example in examples], self._label_array(examples, members))

    def _label_array(self, examples: Sequence[Example], members: np.ndarray) -> np.ndarray:
        """Scores from 0 to 1, or 0 and 1: (examples,), NaN for none; classes, -1 for none; else numbers of texts."""
        labels = [example.label for example in examples]
        if self.form == "classes":
            return np.array([-1 if label is None else self.labels.index(str(label)) for label in labels])
        if self.form in ("pairs", "triplets"):
            return members if all(label is not None for label in labels) else np.full_like(members, -1)
        low, high = self.range
        return (np.array(labels, np.float32) - low) / (high - low)

    def loss(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sum over the examples of a batch; see `pair_losses`."""
        vectors, labels = self._vectors(outputs, batch), batch["labels"]
        if self.form == "classes":
            from torch.nn.functional import cross_entropy

            return cross_entropy(pair_losses.classify(vectors, outputs.classifier), labels, reduction="sum")
        return pair_losses.LOSSES[self.loss_name](vectors, labels, self.options)

    @staticmethod
    def _vectors(outputs: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """(sides, examples, hidden) in float32."""
        return outputs.vectors.float().unflatten(0, (-1, len(batch["labels"])))

    def decode(self, outputs: Any, batch: Mapping[str, torch.Tensor], model: Any) -> list[Any]:
        """For each example its cosine, its probabilities (classes,), or the vectors from which ranks are counted."""
        vectors = self._vectors(outputs, batch)
        if self.form == "classes":
            return list(pair_losses.classify(vectors, outputs.classifier).softmax(-1).cpu().numpy())
        if self.form in ("pairs", "triplets"):
            return list(vectors.transpose(0, 1).cpu().numpy())
        return pair_losses.similarity(vectors[0], vectors[1]).tolist()

    def gather(self, predictions: list[Any], encoded: Any) -> list[Any]:
        """From vectors a dict for each example: cosine, of a triplet that of the negative, and the partner's rank."""
        if self.form not in ("pairs", "triplets"):
            return predictions
        vectors = np.stack(predictions)  # (examples, sides, hidden)
        units = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
        cosines = np.einsum("esh,eh->es", units[:, 1:], units[:, 0])
        names = ("cosine", "cosine_negative")[: cosines.shape[1]]
        found: list[dict[str, float]] = [dict(zip(names, row, strict=True)) for row in cosines.tolist()]
        if encoded.labelled.all():
            for line, rank in zip(found, partner_ranks(vectors, encoded.members).tolist(), strict=True):
                line["rank"] = rank
        return found

    # -- scores

    def metrics(self, predictions: Sequence[Any], encoded: Any) -> dict[str, float]:
        """Correlations as scipy counts them; with 0 and 1 by the threshold; else how often the partner is among the first."""
        if self.form == "scores":
            return correlations(encoded.labels, predictions)
        if self.form == "binary":
            return self._of_cosines(np.asarray(predictions), encoded.labels)
        if self.form == "classes":
            from sklearn.metrics import accuracy_score, f1_score

            found, zero = np.argmax(predictions, axis=1), {"zero_division": 0}
            every = list(range(len(self.labels)))
            macro = f1_score(encoded.labels, found, labels=every, average="macro", **zero)
            return {"accuracy": float(accuracy_score(encoded.labels, found)), "f1_macro": float(macro)}
        ranks = np.array([line["rank"] for line in predictions])
        scores = {f"recall_at_{k}": float((ranks <= k).mean()) for k in (1, 5, 10)}
        if self.form == "triplets":
            scores["accuracy"] = float(np.mean([line["cosine"] > line["cosine_negative"] for line in predictions]))
        return scores

    def _of_cosines(self, cosines: np.ndarray, gold: np.ndarray) -> dict[str, float]:
        from sklearn.metrics import accuracy_score, average_precision_score, f1_score

        threshold = best_threshold(cosines, gold) if self.threshold is None else self.threshold
        found = cosines >= threshold
        return {
            "accuracy": float(accuracy_score(gold == 1, found)),
            "f1": float(f1_score(gold == 1, found, zero_division=0)),  # type: ignore[arg-type]
            "average_precision": float(average_precision_score(gold == 1, cosines)) if gold.any() else 0.0,
            "threshold": threshold,
        }

    def describe(self, example: Example, prediction: Any) -> dict[str, Any]:
        """Cosine and rank; with 0 and 1 also which of them the threshold says; of classes their probabilities."""
        if self.form == "classes":
            best = int(np.argmax(prediction))
            return {
                "prediction": self.labels[best],
                "probability": round(float(prediction[best]), 6),
                "probabilities": {name: round(float(p), 6) for name, p in zip(self.labels, prediction, strict=True)},
            }
        if self.form in ("pairs", "triplets"):
            return {name: round(value, 6) for name, value in prediction.items()}
        decided = {"prediction": int(prediction >= self.threshold)} if self.threshold is not None else {}
        return decided | {"cosine": round(prediction, 6)}

    def inputs(self, example: Example) -> dict[str, Any]:
        line = {"id": example.id, **dict(zip(("text", "text_pair", "negative"), example.texts, strict=False))}
        return line if self.options.label is None else line | {"gold": example.label}
