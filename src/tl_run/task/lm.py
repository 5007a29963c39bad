"""Language modelling on plain text: tokens that are hidden (masked), or each next one (causal)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_run.config import options
from tl_run.data.blocks import Blocks, mask
from tl_run.data.table import Table
from tl_run.data.text_reader import readers
from tl_run.errors import BadOption
from tl_run.task.kind import Kind, refuse, texts

if TYPE_CHECKING:
    import torch

FIXED = 0  # the draw of the masks by which models are compared: the same for every seed and epoch


@dataclass(frozen=True)
class Document:
    """A text that stands for itself."""

    id: str
    text: str


class LanguageModel(Kind):
    """Cross-entropy over the tokens to be found; blocks are rows, documents are examples."""

    lower_is_better = frozenset({"perplexity", "bits_per_character"})

    def __init__(self, options: options.LanguageModel) -> None:
        super().__init__(options)
        self.masked = options.objective == "masked"
        self.auto_class = "AutoModelForMaskedLM" if self.masked else "AutoModelForCausalLM"
        self.pipeline = "fill-mask" if self.masked else "text-generation"
        self.metric = "perplexity" if options.metric == "auto" else options.metric
        self.readers = readers(options.documents, options.text)

    # -- reading

    def read(self, sources: Mapping[str, Table]) -> dict[str, list[Document]]:
        return {split: self.read_unlabelled(rows) for split, rows in sources.items()}

    def read_unlabelled(self, rows: Table) -> list[Document]:
        problems: list[str] = []
        found = texts(rows, self.options.text, "task.text", problems)
        refuse(problems)
        return [Document(name, text) for name, text in zip(self.ids(rows), found, strict=True)]

    @staticmethod
    def stratum(example: Document) -> int:
        """Texts need no label; all are one stratum."""
        return 0

    def corpus(self, examples: Sequence[Document]) -> list[str]:
        return [example.text for example in examples]

    # -- model

    def head(self) -> dict[str, Any]:
        """The vocabulary is the head's: there are no labels."""
        return {}

    def restore(self, config: Any) -> None:
        """There are no classes to name."""

    def encode(self, examples: Sequence[Document], tokenizer: Any, /) -> Blocks:
        """Blocks of task.max_length tokens."""
        self.learn_vocabulary(tokenizer)
        changing = "other tokens are hidden in each epoch" if self.masked else ""
        return Blocks.stream(self.corpus(examples), tokenizer, self.options.max_length, examples, changing)

    def learn_vocabulary(self, tokenizer: Any) -> None:
        """What masks are drawn from. Raises: BadOption when there is no mask token and one is needed."""
        self.size, self.mask_id = len(tokenizer), tokenizer.mask_token_id
        if self.masked and self.mask_id is None:
            raise BadOption("task.objective=masked: this tokenizer has no mask token: type task.objective=causal")

    def collate(self, encoded: Any, indices: np.ndarray, pad: Mapping[str, int]) -> dict[str, torch.Tensor]:
        """Inputs (batch, tokens) and `labels` (batch, 2, tokens): ids to be found, or -100, and their words."""
        return self._collate(encoded, indices, pad, (FIXED,))

    def collate_training(
        self, encoded: Any, indices: np.ndarray, pad: Mapping[str, int], seed: int, epoch: int
    ) -> dict[str, torch.Tensor]:
        """As `collate`; masks are drawn anew in every epoch (arXiv:1907.11692)."""
        return self._collate(encoded, indices, pad, (1, seed, epoch))

    def _collate(
        self, encoded: Blocks, indices: np.ndarray, pad: Mapping[str, int], draw: tuple[int, ...]
    ) -> dict[str, torch.Tensor]:
        import torch

        arrays = encoded.padded(indices, pad)
        assert encoded.targets is not None
        words, ids = encoded.targets.padded(indices, -1), arrays["input_ids"]
        if self.masked:
            sought = np.full_like(ids, -100)
            for row, number in enumerate(indices.tolist()):
                hidden, chosen = mask(
                    ids[row],
                    words[row],
                    self.options.mask_share,
                    whole_words=self.options.whole_words,
                    draw=(*draw, int(encoded.labels[number])),
                    size=self.size,
                    mask_id=self.mask_id,
                )
                sought[row, chosen] = ids[row, chosen]
                ids[row] = hidden
        else:
            sought = np.where(arrays["attention_mask"] == 1, ids, -100)
            sought[:, 0] = -100  # nothing stands before it
        labels = np.stack([sought, words], 1)
        return {name: torch.from_numpy(array) for name, array in (arrays | {"labels": labels}).items()}

    def loss(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sum of -log softmax(logits)[token] over the tokens to be found."""
        return self._found(outputs, batch)[0].sum()

    def weight(self, encoded: Any, indices: np.ndarray) -> int:
        """Tokens to be found; of whole words as many as there would be without that, which differs by a few."""
        if not self.masked:
            return int((encoded.lengths[indices] - 1).sum())
        offsets, words = encoded.targets.offsets, encoded.targets.values
        counts = [int((words[offsets[i] : offsets[i + 1]] >= 0).sum()) for i in indices]
        return sum(max(1, round(self.options.mask_share * count)) for count in counts if count) or 1

    def _found(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """-log probability (tokens to be found,), whether the likeliest was right, and where they are in the batch."""
        from torch.nn.functional import cross_entropy

        sought = batch["labels"][:, 0]
        logits = outputs.logits if self.masked else outputs.logits[:, :-1]
        sought = sought if self.masked else sought[:, 1:]
        place = sought != -100
        logits, sought = logits[place].float(), sought[place]
        return cross_entropy(logits, sought, reduction="none"), logits.argmax(-1) == sought, place

    def decode(self, outputs: Any, batch: Mapping[str, torch.Tensor], model: Any) -> list[np.ndarray]:
        """For each row (tokens to be found, 3): its word, -log probability, whether it was the likeliest."""
        import torch

        lost, right, place = self._found(outputs, batch)
        words = batch["labels"][:, 1] if self.masked else batch["labels"][:, 1, 1:]
        table = torch.stack([words[place].double(), lost.double(), right.double()], -1).cpu().numpy()
        return np.split(table, np.cumsum(place.sum(1).cpu().numpy())[:-1])

    def gather(self, predictions: list[np.ndarray], encoded: Any) -> list[np.ndarray]:
        """For each document: tokens found, the sum of their -log probabilities, how many were the likeliest."""
        table = np.concatenate(predictions)
        table = table[table[:, 0] >= 0]  # separators are learned, and are of no document
        document = encoded.document(table[:, 0].astype(np.int64))
        columns = (None, table[:, 1], table[:, 2])
        return list(np.stack([np.bincount(document, column, len(encoded.starts)) for column in columns], -1))

    # -- scores

    def metrics(self, predictions: Sequence[np.ndarray], encoded: Any) -> dict[str, float]:
        """Perplexity: exp of the mean -log probability of a token, hidden or next; how often it was the likeliest.

        Causal also bits per character, the one that models with other vocabularies can be compared by.
        """
        count, lost, right = np.sum(predictions, axis=0)
        scores = {"perplexity": math.exp(min(lost / max(count, 1), 700)), "accuracy": right / max(count, 1)}
        if not self.masked:
            characters = sum(len(example.text) for example in encoded.examples)
            scores["bits_per_character"] = lost / math.log(2) / characters
        return {name: float(value) for name, value in scores.items()}

    def describe(self, example: Document, prediction: np.ndarray) -> dict[str, Any]:
        count, lost, _ = prediction
        return {"tokens": int(count), "perplexity": round(math.exp(min(lost / count, 700)), 4) if count else None}

    def inputs(self, example: Document) -> dict[str, Any]:
        return {"id": example.id, "text": example.text}
