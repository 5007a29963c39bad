"""How alike two texts are, as the cosine of their vectors: two towers with shared weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_run.config import options
from tl_run.data.tuples import Tuples, distinct
from tl_run.task import pair_losses
from tl_run.task.classes import NOTHING, likeliest
from tl_run.task.kind import named
from tl_run.task.pair_scores import best_threshold, clusters, partner_ranks
from tl_run.task.pairs import Example, Pairs
from tl_run.task.regression import correlations

if TYPE_CHECKING:
    import torch


WITHOUT_LABELS = ("pairs", "triplets", "texts")


class Similarity(Pairs):
    """Learns from pairs or triplets, and predicts the cosine of pairs; of texts alone their vectors."""

    auto_class = "AutoModel"
    pipeline = "sentence-similarity"
    cuts = True

    def __init__(self, options: options.Similarity) -> None:
        super().__init__(options)
        self.threshold: float | None = None
        """From which cosine on two texts belong together; where it is settled, it is not chosen anew."""

    # -- model

    def head(self) -> dict[str, Any]:
        said: dict[str, Any] = {"similarity": {"form": self.form, "threshold": self.threshold}}
        if self.form == "classes":
            said |= named(self.labels)
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
        labels = self._label_array(examples, members)
        return Tuples(rows, members, [example.id for example in examples], labels, examples)

    def _label_array(self, examples: Sequence[Example], members: np.ndarray) -> np.ndarray:
        """Scores from 0 to 1, or 0 and 1: (examples,), NaN for none; classes, -1 for none; else numbers of texts."""
        labels = [example.label for example in examples]
        if self.form == "classes":
            return np.array([-1 if label is None else self.labels.index(str(label)) for label in labels])
        if self.form in WITHOUT_LABELS:
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
        if len(vectors) == 1:
            return list(vectors[0].cpu().numpy())
        if self.form == "classes":
            return list(pair_losses.classify(vectors, outputs.classifier).softmax(-1).cpu().numpy())
        if self.form in WITHOUT_LABELS:
            return list(vectors.transpose(0, 1).cpu().numpy())
        return pair_losses.similarity(vectors[0], vectors[1]).tolist()

    def gather(self, predictions: list[Any], encoded: Any) -> list[Any]:
        """From vectors a dict for each example: cosine, of a triplet that of the negative, and the partner's rank; the
        cluster of the first text."""
        if self.form not in WITHOUT_LABELS or encoded.members.shape[1] == 1:
            return predictions
        vectors = np.stack(predictions)  # (examples, sides, hidden)
        units = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
        cosines = np.einsum("esh,eh->es", units[:, 1:], units[:, 0])
        names = () if self.form == "texts" else ("cosine", "cosine_negative")
        found: list[dict[str, float]] = [dict(zip(names, row, strict=False)) for row in cosines.tolist()]
        if encoded.labelled.all() and self.form != "texts":
            for line, rank in zip(found, partner_ranks(vectors, encoded.members).tolist(), strict=True):
                line["rank"] = rank
        if gold := {example.cluster for example in encoded.examples} - {None}:
            for line, cluster in zip(found, clusters(units[:, 0], len(gold)).tolist(), strict=True):
                line["cluster"] = cluster
        return found

    # -- scores

    def metrics(self, predictions: Sequence[Any], encoded: Any) -> dict[str, float]:
        """Correlations; with 0 and 1 what the threshold gets right; else how often the partner is among the first, and
        how well clusters agree with labels that training has not seen."""
        if self.form == "scores":
            return correlations(encoded.labels, predictions)
        if self.form == "binary":
            return self._of_cosines(np.asarray(predictions), encoded.labels)
        if self.form == "classes":
            from sklearn.metrics import accuracy_score, f1_score

            found, every = np.argmax(predictions, axis=1), list(range(len(self.labels)))
            macro = f1_score(encoded.labels, found, labels=every, average="macro", zero_division=NOTHING)
            return {"accuracy": float(accuracy_score(encoded.labels, found)), "f1_macro": float(macro)}
        scores = {}
        if self.form != "texts":
            ranks = np.array([line["rank"] for line in predictions])
            scores |= {f"recall_at_{k}": float((ranks <= k).mean()) for k in (1, 5, 10)}
        if self.form == "triplets":
            scores["accuracy"] = float(np.mean([line["cosine"] > line["cosine_negative"] for line in predictions]))
        if self.options.clusters:
            from sklearn.metrics import normalized_mutual_info_score

            gold = [example.cluster for example in encoded.examples]
            found = [line["cluster"] for line in predictions]
            scores["nmi"] = float(normalized_mutual_info_score(gold, found))
        return scores

    def _of_cosines(self, cosines: np.ndarray, gold: np.ndarray) -> dict[str, float]:
        from sklearn.metrics import accuracy_score, average_precision_score, f1_score

        threshold = best_threshold(cosines, gold) if self.threshold is None else self.threshold
        found = cosines >= threshold
        return {
            "accuracy": float(accuracy_score(gold == 1, found)),
            "f1": float(f1_score(gold == 1, found, zero_division=NOTHING)),
            "average_precision": float(average_precision_score(gold == 1, cosines)) if gold.any() else 0.0,
            "threshold": threshold,
        }

    def describe(self, example: Example, prediction: Any) -> dict[str, Any]:
        """Cosine and rank; with 0 and 1 also which of them the threshold says; of classes their probabilities; of a
        text alone its vector, in the fewest digits that are the same float32."""
        if len(example.texts) == 1:
            return {"vector": [float(str(value)) for value in prediction]}
        if self.form == "classes":
            return likeliest(self.labels, prediction)
        if self.form in WITHOUT_LABELS:
            return {name: round(value, 6) for name, value in prediction.items()}
        decided = {"prediction": int(prediction >= self.threshold)} if self.threshold is not None else {}
        return decided | {"cosine": round(prediction, 6)}
