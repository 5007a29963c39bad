"""Pictures and texts that belong together, by a contrastive loss; and classification that was not trained for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_run.data.encoded import Encoded
from tl_run.data.illustrated import Illustrated
from tl_run.data.pictures import Picture, Pictures
from tl_run.data.table import Table
from tl_run.task.classes import in_order, label_name, likeliest
from tl_run.task.images import Images
from tl_run.task.kind import named, refuse, texts
from tl_run.task.pair_scores import partner_ranks

if TYPE_CHECKING:
    import torch

RECALLS = (1, 5, 10)
USAGE = """```python
import tl_run
model, processors = tl_run.load_model("<this folder>")
texts = model.texts(**processors.tokenizer(["a text"], return_tensors="pt"))
pictures = model.pictures(processors.pictures([image], return_tensors="pt")["pixel_values"])
cosines = pictures @ texts.T
```
"""


@dataclass(frozen=True)
class Example:
    """A picture, its text (empty where there is none), and the name of its class where there is one."""

    id: str
    picture: Picture
    text: str
    label: str | None


class ImageText(Images):
    """Learns from pairs; judged by how often each finds its partner, and each picture its class."""

    auto_class = "AutoModel"
    pipeline = "zero-shot-image-classification"
    usage = USAGE
    tiny = "embedded:tiny"
    processor = "tokenizer"

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.metric = "recall_at_1" if options.metric == "auto" else options.metric
        self._prompts: dict[str, Any] = {}

    # -- reading

    def read(self, sources: Mapping[str, Table]) -> dict[str, list[Example]]:  # type: ignore[override]
        problems: list[str] = []
        examples = {}
        for split, rows in sources.items():
            written = texts(rows, self.options.text, "task.text", problems)
            names: list[str | None] = [None] * len(rows.rows)
            if column := self.options.label:
                rows.require(column, "task.label")
                names = [label_name(row[column], rows.class_names.get(column)) for row in rows.rows]
                problems += [f"{rows.where(i)}: '{column}' is no class" for i, name in enumerate(names) if name is None]
            examples[split] = self._pairs(rows, written, names, problems)
        refuse(problems)
        self.labels = in_order({e.label for split in examples.values() for e in split if e.label is not None})
        return examples

    def read_unlabelled(self, rows: Table) -> list[Example]:  # type: ignore[override]
        problems: list[str] = []
        without = self.options.label and self.options.text not in rows.columns
        written = [""] * len(rows.rows) if without else texts(rows, self.options.text, "the run's text", problems)
        examples = self._pairs(rows, written, [None] * len(rows.rows), problems)
        refuse(problems)
        return examples

    def _pairs(
        self, rows: Table, written: Sequence[str], names: Sequence[str | None], problems: list[str]
    ) -> list[Example]:
        found = self._examples(rows, [None] * len(rows.rows), problems)
        return [Example(e.id, e.picture, t, n) for e, t, n in zip(found, written, names, strict=False)]

    @staticmethod
    def stratum(example: Example) -> Any:  # type: ignore[override]
        """All pairs are one stratum."""
        return 0

    # -- model

    def head(self) -> dict[str, Any]:
        return {"dimensions": self.options.dimensions, **(named(self.labels) if self.labels else {})}

    def restore(self, config: Any) -> None:
        if self.options.label:
            super().restore(config)

    def encode(self, examples: Sequence[Example], processor: Any) -> Illustrated:  # type: ignore[override]
        """Token ids and pictures of all pairs."""
        ids, length = [example.id for example in examples], self.options.max_length
        nothing = np.zeros(len(examples), np.int64)
        read = Encoded.of([example.text for example in examples], None, processor.tokenizer, length, ids, nothing)
        seen = Pictures.read([e.picture for e in examples], processor.pictures, ids, nothing, changing="")
        numbers: dict[str, int] = {}
        places = [numbers.setdefault(f"picture {e.picture.sha256}", len(numbers)) for e in examples]
        partners = [numbers.setdefault(f"text {e.text}", len(numbers)) if e.text else -1 for e in examples]
        if self.labels:
            prompts = [self.options.prompt.replace("{label}", name) for name in self.labels]
            self._prompts = processor.tokenizer(
                prompts, padding=True, truncation=True, max_length=length, return_tensors="pt"
            )
        return Illustrated(read, seen, np.array([places, partners]).T, [example.label for example in examples])

    def collate_training(
        self, encoded: Any, indices: np.ndarray, pad: Mapping[str, int], seed: int, epoch: int
    ) -> dict[str, torch.Tensor]:
        return self.collate(encoded, indices, pad)

    def loss(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The mean of both directions of -log softmax(scale * cosines) at the partner, summed over pairs.

        arXiv:2103.00020, figure 3; what has the same text, or the same picture, is no negative.
        """
        import torch
        from torch.nn.functional import cross_entropy

        (pictures, written), numbers = self._vectors(outputs), batch["labels"]
        scores, own = self.options.scale * pictures @ written.T, torch.arange(len(numbers), device=numbers.device)
        same = (numbers[:, None] == numbers[None]).any(-1)
        same[own, own] = False
        scores = scores.masked_fill(same, -torch.inf)
        return sum(cross_entropy(s, own, reduction="sum") for s in (scores, scores.T)) / 2  # type: ignore[return-value]

    def weight(self, encoded: Any, indices: np.ndarray) -> float:
        """Pairs."""
        return len(indices)

    @staticmethod
    def _vectors(outputs: Any) -> torch.Tensor:
        """(2, pairs, dimensions): of pictures, and of texts."""
        return outputs.vectors.float().unflatten(0, (2, -1))

    def decode(self, outputs: Any, batch: Mapping[str, torch.Tensor], model: Any) -> list[Any]:
        """For each pair its two vectors, and the probability of each class."""
        vectors = self._vectors(outputs)
        found: list[dict[str, Any]] = [{"vectors": pair} for pair in vectors.transpose(0, 1).cpu().numpy()]
        if self.labels:
            classes = model.texts(**{name: t.to(vectors.device) for name, t in self._prompts.items()})
            chances = (self.options.scale * vectors[0] @ classes.float().T).softmax(-1)
            for line, row in zip(found, chances.cpu().numpy(), strict=True):
                line["classes"] = row
        return found

    def gather(self, predictions: list[Any], encoded: Any) -> list[Any]:
        """For each pair its cosine, the ranks of text and picture among those of the split, and its classes."""
        vectors = np.stack([line.pop("vectors") for line in predictions])
        cosines = np.einsum("ph,ph->p", vectors[:, 0], vectors[:, 1])
        if encoded.labelled.all():
            ranks = partner_ranks(vectors, encoded.labels), partner_ranks(vectors[:, ::-1], encoded.labels[:, ::-1])
            for line, cosine, text, picture in zip(predictions, cosines, *ranks, strict=True):
                line |= {"cosine": float(cosine), "rank_of_text": int(text), "rank_of_image": int(picture)}
        return predictions

    # -- scores

    def metrics(self, predictions: Sequence[Any], encoded: Any) -> dict[str, float]:
        """Recall in each direction and their mean; with classes how often the nearest prompt is the picture's."""
        scores = {}
        for k in RECALLS:
            found = [np.mean([line[rank] <= k for line in predictions]) for rank in ("rank_of_text", "rank_of_image")]
            scores[f"recall_at_{k}"] = float(np.mean(found))
            if k == 1:
                scores |= {"text_recall_at_1": float(found[0]), "image_recall_at_1": float(found[1])}
        if self.labels:
            found = [self.labels[line["classes"].argmax()] for line in predictions]
            scores["zero_shot_accuracy"] = float(np.mean([a == b for a, b in zip(found, encoded.classes, strict=True)]))
        return scores

    def tables(self, predictions: Sequence[Any], encoded: Any) -> dict[str, Any]:
        return {}

    def describe(self, example: Example, prediction: Any) -> dict[str, Any]:
        """Cosine and ranks of the pair, and the classes by their prompts."""
        line = {name: round(value, 6) for name, value in prediction.items() if name != "classes"}
        return line | (likeliest(self.labels, prediction["classes"]) if self.labels else {})

    def inputs(self, example: Example) -> dict[str, Any]:  # type: ignore[override]
        line = {"id": example.id, "image": example.picture.name, "text": example.text}
        return line | ({"gold": example.label} if self.labels else {})
