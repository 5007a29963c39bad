"""Answers to questions, cut out of a context: where in it does the answer start, and where does it end?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_run.config import options
from tl_run.data.encoded import Encoded
from tl_run.data.squad_reader import read_squad
from tl_run.data.table import Table
from tl_run.data.windows import Span, Windows, windows
from tl_run.task import answers, squad
from tl_run.task.answer_spans import Found, find
from tl_run.task.answers import Gold
from tl_run.task.kind import Kind, kind_of, refuse

if TYPE_CHECKING:
    import torch

USAGE = """```python
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("<this folder>")
model = AutoModelForQuestionAnswering.from_pretrained("<this folder>")
question, context = "Who built the mill?", "The mill was built by Ida Berg."
inputs = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)
places = inputs.pop("offset_mapping")[0].tolist()
inside = torch.tensor([part == 1 for part in inputs.sequence_ids()])
logits = model(**inputs)
start, end = logits.start_logits[0].softmax(-1) * inside, logits.end_logits[0].softmax(-1) * inside
first, last = divmod(int((start[:, None] * end).triu().argmax()), len(end))
answer = context[places[first][0] : places[last][1]]
```

transformers has no pipeline for this task any more. `tl-predict` reads long contexts in windows, and gives the best
answers with their probabilities.
"""


@dataclass(frozen=True)
class Example:
    """A question and what it is asked of; no golds: it has no answer; None: nobody knows."""

    id: str
    question: str
    context: str
    golds: tuple[Gold, ...] | None

    @property
    def span(self) -> Span | None:
        """The first answer that stands in the context, which is learned."""
        return next((gold.span for gold in self.golds or () if gold.span), None)


class QuestionAnswering(Kind):
    """Cross-entropy of the answer's first and last token over the tokens of a window (arXiv:1810.04805, section 4.2).

    A span's probability is that of its first times that of its last token, in the window where that is highest; that of
    no answer is the lowest over the windows, for each of them but one may well not hold it.
    """

    auto_class = "AutoModelForQuestionAnswering"
    pipeline = "question-answering"
    usage = USAGE
    readers = MappingProxyType({".json": read_squad})

    def __init__(self, options: options.QuestionAnswering) -> None:
        super().__init__(options)
        self.metric = "f1" if options.metric == "auto" else options.metric
        self.threshold = None if options.null_threshold == "auto" else options.null_threshold
        self.by_character = options.by_character is True

    @property
    def reading(self) -> str:
        length, stride = self.options.max_length, self.options.stride
        return f"Contexts are read in windows of {length} tokens (with the question), of which two share {stride}."

    # -- reading

    def read(self, sources: Mapping[str, Table]) -> dict[str, list[Example]]:
        problems: list[str] = []
        if self.options.id:
            for rows in sources.values():
                rows.require(self.options.id, "task.id")
        examples = {
            split: self._examples(rows, self._golds(rows, problems), problems) for split, rows in sources.items()
        }
        # What stands nowhere in its context can be scored, but not learned.
        examples["train"] = [replace(e, golds=None) if e.golds and not e.span else e for e in examples["train"]]
        train = [example for example in examples["train"] if example.golds is not None]
        if not problems and not any(example.golds for example in train):
            problems.append(f"{sources['train'].path}: no question has an answer in '{self.options.answers}'")
        refuse(problems)
        if self.options.by_character == "auto":
            self.by_character = squad.is_chinese([example.context for example in train[:200]])
        if self.options.null_threshold == "auto" and not all(example.golds for example in train):
            self.threshold = 0.0
        if self.threshold is not None:
            self.notes.append(
                f"no answer is given where it is ahead of the best span by more than {self.threshold:g} "
                "(task.null_threshold)"
            )
        return examples

    def read_unlabelled(self, rows: Table) -> list[Example]:
        problems: list[str] = []
        examples = self._examples(rows, [None] * len(rows.rows), problems)
        refuse(problems)
        return examples

    def _examples(self, rows: Table, golds: Sequence[Any], problems: list[str]) -> list[Example]:
        columns = (self.options.question, self.options.context)
        for role, column in zip(("question", "context"), columns, strict=True):
            rows.require(column, f"task.{role}")
            for i, row in enumerate(rows.rows):
                if not isinstance(row[column], str) or not row[column].strip():
                    what = "empty" if isinstance(row[column], str) else kind_of(row[column])
                    problems.append(f"{rows.where(i)}: '{column}' is {what}, a text is needed (task.{role})")
        return [
            Example(name, row[columns[0]], row[columns[1]], right)
            for name, row, right in zip(self.ids(rows), rows.rows, golds, strict=True)
        ]

    def _golds(self, rows: Table, problems: list[str]) -> list[tuple[Gold, ...] | None]:
        """A split in which all answers are missing has none (a test split of the hub)."""
        values = rows.column(self.options.answers, "task.answers")
        if all(value is None for value in values):
            return [None] * len(values)
        nearest = self.options.misplaced == "nearest"
        golds: list[tuple[Gold, ...] | None] = []
        for i, value in enumerate(values):
            try:
                golds.append(answers.golds(value, rows.rows[i].get(self.options.context), nearest=nearest))
            except ValueError as problem:
                problems.append(f"{rows.where(i)}: {problem} (task.answers)")
                golds.append(None)
        if moved := sum(gold.moved for each in golds for gold in each or ()):
            self.notes.append(f"{rows.path}: {moved:,} answers are taken where they stand nearest (task.misplaced)")
        return golds

    @staticmethod
    def stratum(example: Example) -> int | None:
        """All labelled examples are one stratum."""
        return None if example.golds is None else 0

    @staticmethod
    def group(example: Example) -> str:
        """All questions on a context."""
        return example.context

    def seen(self, example: Example) -> tuple[str, str]:
        return example.question, example.context

    # -- model

    def head(self) -> dict[str, Any]:
        """The threshold is kept with the model, for tl-predict."""
        return {"num_labels": 2, "null_threshold": self.threshold}

    def restore(self, config: Any) -> None:
        self.threshold = config.null_threshold

    def encode(self, examples: Sequence[Example], tokenizer: Any) -> Windows:
        """Rows of question and window; of several answers the first that stands in the context is learned."""
        made = windows(
            [example.question for example in examples],
            [example.context for example in examples],
            [example.span for example in examples],
            tokenizer,
            max_length=self.options.max_length,
            stride=self.options.stride,
            ids=[example.id for example in examples],
            labelled=all(example.golds is not None for example in examples),
            examples=examples,
        )
        if len(made) > len(examples):
            self.notes.append(f"{len(examples):,} questions are read in {len(made):,} windows, counted as examples")
        inside = {*made.owner[made.labels[:, 0] != made.null].tolist()}
        if lost := sum(bool(example.golds) and i not in inside for i, example in enumerate(examples)):
            self.notes.append(f"{lost:,} answers stand whole in no window, and are learned as none (task.stride)")
        return made

    def untouched(self, encoded: Any, tokenizer: Any) -> np.ndarray:
        """The answers."""
        first, last = (np.repeat(encoded.offsets[:-1] + ends, encoded.lengths) for ends in encoded.labels.T)
        place = np.arange(encoded.offsets[-1])
        return (first <= place) & (place <= last)

    def loss(self, outputs: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sum over rows of half the cross-entropy of the first token and half that of the last; in float32."""
        from torch.nn.functional import cross_entropy

        starts, ends = _logits(outputs, batch)
        first, last = batch["labels"].unbind(1)
        return (cross_entropy(starts, first, reduction="sum") + cross_entropy(ends, last, reduction="sum")) / 2

    def decode(self, outputs: Any, batch: Mapping[str, torch.Tensor], model: Any) -> list[np.ndarray]:
        """For each row log-probabilities of every token, as the first and as the last: (2, tokens)."""
        import torch

        return list(torch.stack([logits.log_softmax(-1) for logits in _logits(outputs, batch)], 1).cpu().numpy())

    def gather(self, predictions: list[np.ndarray], encoded: Encoded) -> list[Found]:
        """The best spans of each example over its windows."""
        assert isinstance(encoded, Windows)
        kept, longest = self.options.n_best, self.options.max_answer_tokens
        return [
            find(encoded, number, example.context, predictions, kept, longest)
            for number, example in enumerate(encoded.examples)
        ]

    # -- scores

    def metrics(self, predictions: Sequence[Found], encoded: Encoded) -> dict[str, float]:
        """Exact match and F1 (`tl_run.task.squad`), 0 to 1; where questions without an answer are among them, also of
        either kind alone, and the F1 that the best threshold would have given."""
        examples, score = encoded.examples, squad.RULES[self.by_character]
        golds = [[gold.text for gold in example.golds] for example in examples]
        texts = [self._text(example, found) for example, found in zip(examples, predictions, strict=True)]
        em, f1 = np.array([score(*pair) for pair in zip(golds, texts, strict=True)]).T
        scores = {"f1": float(f1.mean()), "em": float(em.mean())}
        answerable = np.array([bool(gold) for gold in golds])
        if answerable.all():
            return scores
        spans = [found.best(example.context) for example, found in zip(examples, predictions, strict=True)]
        best, threshold = squad.best_threshold(
            [found.difference for found in predictions],
            [score(*pair)[1] for pair in zip(golds, spans, strict=True)],
            [score(gold, "")[1] for gold in golds],
        )
        if answerable.any():
            scores |= {"f1_answerable": float(f1[answerable].mean()), "em_answerable": float(em[answerable].mean())}
        return scores | {
            "em_unanswerable": float(em[~answerable].mean()),
            "best_f1": best,
            "best_f1_threshold": threshold,
        }

    def _says_nothing(self, found: Found) -> bool:
        return not found.spans or (self.threshold is not None and found.difference > self.threshold)

    def _text(self, example: Example, found: Found) -> str:
        return "" if self._says_nothing(found) else found.best(example.context)

    def describe(self, example: Example, prediction: Found) -> dict[str, Any]:
        """The answer as it stands in the context (empty: none), its probability, and the best spans."""
        probabilities = [round(math.exp(value), 6) for _, value in prediction.spans]
        nothing = round(math.exp(prediction.null), 6)
        return {
            "prediction": self._text(example, prediction),
            "probability": nothing if self._says_nothing(prediction) else probabilities[0],
            **({} if self.threshold is None else {"no_answer": nothing}),
            "n_best": [
                {"text": example.context[start:end], "start": start, "probability": probability}
                for ((start, end), _), probability in zip(prediction.spans, probabilities, strict=True)
            ],
        }

    def inputs(self, example: Example) -> dict[str, Any]:
        """Without the context, which may be long and the same for many questions."""
        golds = None if example.golds is None else [gold.text for gold in example.golds]
        return {"id": example.id, "question": example.question, "gold": golds}


def _logits(outputs: Any, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Of every token, padding left out, so that nothing depends on what a row lies beside: float32 (batch, tokens)."""
    padding = batch["attention_mask"] == 0
    starts, ends = (x.float().masked_fill(padding, -math.inf) for x in (outputs.start_logits, outputs.end_logits))
    return starts, ends
