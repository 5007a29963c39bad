"""A tag for each token: spans such as names (entity F1), or plain tags such as parts of speech (token accuracy)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_run.data.encoded import Encoded, Ragged
from tl_run.data.perturbation import Disturbance
from tl_run.data.words import EncodedWords, pieces
from tl_run.task.kind import named
from tl_run.task.sentences import Sentences, running
from tl_run.task.spans import Span, count, spans

if TYPE_CHECKING:
    import torch

IGNORED = -100  # the label of what the loss does not look at
Prediction = tuple[np.ndarray, np.ndarray]
"""For each token its label, -1 where the model has not read it, and the label's probability."""


class Tagging(Sentences):
    """Cross-entropy over the first piece of each token."""

    auto_class = "AutoModelForTokenClassification"
    pipeline = "token-classification"

    def head(self) -> dict[str, Any]:
        return named(self.labels)

    def words(self, example: Any) -> tuple[Sequence[str], Sequence[int]]:
        """What the model reads, and which words of that are the tokens."""
        return example.tokens, range(len(example.tokens))

    def encode(self, examples: Sequence[Any], tokenizer: Any) -> EncodedWords:
        """Pieces of all sentences; `targets` holds the label at the first piece of each token."""
        words, places = zip(*map(self.words, examples), strict=True)
        offsets, columns, every = pieces(words, tokenizer, self.options.max_length)
        counts = np.array([len(own) for own in places])
        own = np.fromiter(chain.from_iterable(places), np.int64) + np.repeat(every.offsets[:-1], counts)
        firsts = Ragged(np.cumsum([0, *counts], dtype=np.int64), every.values[own])
        self._tell_unread(examples, firsts)

        index: dict[str | None, int] = {label: i for i, label in enumerate(self.labels)}
        gold = np.array(
            [index.get(tag, IGNORED) for e in examples for tag in e.tags or [None] * len(e.tokens)], np.int64
        )
        targets = np.full(offsets[-1], IGNORED, np.int64)
        read = firsts.values >= 0
        targets[(np.repeat(offsets[:-1], counts) + firsts.values)[read]] = gold[read]
        return EncodedWords(
            offsets,
            columns,
            ids=[example.id for example in examples],
            labels=np.array([-1 if example.tags is None else 0 for example in examples]),
            targets=Ragged(offsets, targets),
            examples=examples,
            firsts=firsts,
        )

    def _tell_unread(self, examples: Sequence[Any], firsts: Ragged) -> None:
        if lost := int((firsts.values < 0).sum()):
            rows = np.searchsorted(firsts.offsets, np.flatnonzero(firsts.values < 0), side="right")
            self.notes.append(
                f"{lost:,} tokens in {len(np.unique(rows)):,} of {len(examples):,} sentences have no piece within "
                f"task.max_length={self.options.max_length}: they are not read, and what is marked there is missed"
            )

    def collate(self, encoded: Encoded, indices: np.ndarray, pad: Mapping[str, int]) -> dict[str, torch.Tensor]:
        """Padded inputs and `labels`, (batch, tokens) each."""
        import torch

        assert encoded.targets is not None
        batch = {name: torch.from_numpy(array) for name, array in encoded.padded(indices, pad).items()}
        batch["labels"] = torch.from_numpy(encoded.targets.padded(indices, IGNORED))
        return batch

    def loss(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sum over the first pieces of -log softmax(logits)[label]; in float32 whatever the precision."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(
            outputs.logits.float().flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORED, reduction="sum"
        )

    def weight(self, encoded: Encoded, indices: np.ndarray) -> int:
        """First pieces with a label."""
        assert encoded.targets is not None
        return int((encoded.targets.padded(indices, IGNORED) != IGNORED).sum())

    def decode(self, outputs: Any, batch: Mapping[str, torch.Tensor], model: Any) -> list[Prediction]:
        """The likeliest label of each piece and its probability."""
        probability, label = outputs.logits.float().softmax(-1).max(-1)
        return [*zip(label.cpu().numpy(), probability.cpu().numpy(), strict=True)]

    def gather(self, predictions: list[Prediction], encoded: Any) -> list[Prediction]:
        """Those of the tokens, from those of the pieces."""
        offsets, made = encoded.firsts.offsets, []
        for i, (labels, probabilities) in enumerate(predictions):
            at = encoded.firsts.values[offsets[i] : offsets[i + 1]]
            made.append((np.where(at < 0, -1, labels[at]), np.where(at < 0, np.nan, probabilities[at])))
        return made

    # -- scores

    def tags(self, prediction: Prediction) -> list[str | None]:
        """The tag of each token; one that the model has not read has O, or none where there is no O."""
        unread = "O" if "O" in self.labels else None
        return [unread if label < 0 else self.labels[label] for label in prediction[0].tolist()]

    def spans(self, tags: Sequence[str | None]) -> list[Span]:
        """What is marked, where tags mark spans."""
        return spans([tag or "O" for tag in tags]) if self.marks_spans else []

    def metrics(self, predictions: Sequence[Prediction], encoded: Encoded) -> dict[str, float]:
        """Of spans precision, recall and F1 of all types together; the share of tokens with the right tag."""
        found = [self.tags(prediction) for prediction in predictions]
        right = total = 0
        for example, tags in zip(encoded.examples, found, strict=True):
            right += sum(gold == tag for gold, tag in zip(example.tags, tags, strict=True))
            total += len(tags)
        accuracy = {"accuracy": right / max(total, 1)}
        if not self.scores_spans:
            return accuracy
        scores = self._count(found, encoded)[""]
        return {name: scores[name] for name in ("f1", "precision", "recall")} | accuracy

    def tables(self, predictions: Sequence[Prediction], encoded: Encoded) -> dict[str, Any]:
        """Precision, recall, F1 and support of each type."""
        if not self.scores_spans:
            return {}
        rows = self._count([self.tags(prediction) for prediction in predictions], encoded)
        return {"per_type": {kind: scores for kind, scores in rows.items() if kind}}

    def _count(self, found: list[list[str | None]], encoded: Encoded) -> dict[str, dict[str, float]]:
        gold = [self.spans(example.tags) for example in encoded.examples]
        return count(gold, [self.spans(tags) for tags in found])

    def describe(self, example: Any, prediction: Prediction) -> dict[str, Any]:
        """The tag of each token, its probability (null where the token was not read), and what the tags mark."""
        tags = self.tags(prediction)
        line: dict[str, Any] = {
            "prediction": tags,
            "probability": [None if np.isnan(p) else round(float(p), 6) for p in prediction[1]],
        }
        if self.scores_spans:
            line["spans"] = [
                span._asdict() | {"text": running(example.tokens[span.start : span.end])} for span in self.spans(tags)
            ]
        return line

    def answer(self, example: Any, prediction: Prediction, how: Disturbance) -> list[str | None]:
        """The tags of the tokens that are not left out."""
        tags = self.tags(prediction)
        return [tags[i] for i in self.left(example, how)]

    def inputs(self, example: Any) -> dict[str, Any]:
        return {
            "id": example.id,
            "tokens": [*example.tokens],
            "gold": None if example.tags is None else [*example.tags],
        }
