"""Masked language modelling with a second question: does one segment follow the other? (arXiv:1810.04805, 3.1)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_run.config import options
from tl_run.data.segments import Segments
from tl_run.errors import BadInput
from tl_run.task.lm import Document, LanguageModel

if TYPE_CHECKING:
    import torch


class NextSentence(LanguageModel):
    """Pairs of segments are rows; of every other one the second is from another document, drawn anew in each epoch.

    The loss is the sum of two means, as BERT's: over hidden tokens, and over pairs, of which each counts as much as the
    tokens that are hidden in it, so that the loss stays a sum over rows.
    """

    @classmethod
    def of(cls, options: options.LanguageModel) -> LanguageModel:
        """Without task.next_sentence a model that is not asked that."""
        return cls(options) if options.next_sentence else LanguageModel(options)

    def __init__(self, options: options.LanguageModel) -> None:
        super().__init__(options)
        self.auto_class = "AutoModelForPreTraining"

    def encode(self, examples: Sequence[Document], tokenizer: Any, /) -> Segments:
        """Pairs of segments of at most task.max_length tokens. Raises: BadInput where all are of one document."""
        self.learn_vocabulary(tokenizer)
        length, changing = self.options.max_length, "other tokens and segments are drawn in each epoch"
        pairs = Segments.pairs(self.corpus(examples), tokenizer, length, examples, changing)
        if len({*pairs.owner.tolist()}) < 2:
            raise BadInput(
                "task.next_sentence=true takes segments of other documents: two documents of two tokens or more are "
                "needed in each split (task.documents says what a document is)"
            )
        return pairs

    def _collate(
        self, encoded: Any, indices: np.ndarray, pad: Mapping[str, int], draw: tuple[int, ...]
    ) -> dict[str, torch.Tensor]:
        """As without, `labels` (batch, 3, tokens): the first of the last row is 1 where the second segment is drawn."""
        import torch

        rows = indices.tolist()
        partners = [encoded.partner(row, draw) for row in rows]
        joined = encoded.joined_with(partners, rows)
        batch = super()._collate(joined, np.arange(len(rows)), pad, draw)
        drawn = torch.zeros_like(batch["labels"][:, :1])
        drawn[:, 0, 0] = torch.from_numpy(np.array(partners) != indices)
        return batch | {"labels": torch.cat([batch["labels"], drawn], 1)}

    def loss(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sum over hidden tokens, and over pairs, each times the number of its hidden tokens."""
        from torch.nn.functional import cross_entropy

        hidden = (batch["labels"][:, 0] != -100).sum(1)
        decided = cross_entropy(outputs.seq_relationship_logits.float(), batch["labels"][:, 2, 0], reduction="none")
        return super().loss(_of_tokens(outputs), batch) + (hidden * decided).sum()

    def decode(self, outputs: Any, batch: Mapping[str, torch.Tensor], model: Any) -> list[Any]:
        """For each row what it is without, and whether the decision was right."""
        right = outputs.seq_relationship_logits.argmax(-1) == batch["labels"][:, 2, 0]
        return list(zip(super().decode(_of_tokens(outputs), batch, model), right.tolist(), strict=True))

    def gather(self, predictions: list[Any], encoded: Any) -> list[np.ndarray]:
        """For each document what it is without, and its pairs, and how many were decided right."""
        tables, right = zip(*predictions, strict=True)
        count = len(encoded.starts)
        pairs = [np.bincount(encoded.owner, weights, count) for weights in (None, np.array(right, float))]
        return list(np.column_stack([super().gather(list(tables), encoded), *pairs]))

    def metrics(self, predictions: Sequence[np.ndarray], encoded: Any) -> dict[str, float]:
        """Those of tokens, and the share of pairs that were decided right."""
        pairs, right = np.sum(predictions, axis=0)[3:]
        tokens = [prediction[:3] for prediction in predictions]
        return super().metrics(tokens, encoded) | {"sentence_accuracy": float(right / pairs)}

    def describe(self, example: Document, prediction: np.ndarray) -> dict[str, Any]:
        pairs, right = prediction[3:]
        return super().describe(example, prediction[:3]) | {"pairs": int(pairs), "pairs_right": int(right)}


def _of_tokens(outputs: Any) -> Any:
    """The part that a model without the question has."""
    return SimpleNamespace(logits=outputs.prediction_logits)
