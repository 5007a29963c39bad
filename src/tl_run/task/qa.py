"""Answers to questions, cut out of a context: where in it does the answer start, and where does it end?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_run.config import options
from tl_run.data.encoded import Encoded
from tl_run.data.squad_reader import read_squad
from tl_run.data.table import Table, quoted
from tl_run.data.windows import Span, Windows, windows
from tl_run.task import squad
from tl_run.task.kind import Kind, kind_of, refuse

if TYPE_CHECKING:
    import torch

_FORM = '{"text": ["..."], "answer_start": [0]}'


@dataclass(frozen=True)
class Gold:
    """One of the answers that are right."""

    text: str
    start: int


@dataclass(frozen=True)
class Example:
    """A question and what it is asked of; no golds: it has no answer; None: nobody knows."""

    id: str
    question: str
    context: str
    golds: tuple[Gold, ...] | None


@dataclass(frozen=True)
class Found:
    """The best spans of a context with their log-probabilities, the best first, and that of no answer."""

    spans: list[tuple[Span, float]]
    null: float

    @property
    def difference(self) -> float:
        """How far no answer is ahead of the best span."""
        return self.null - (self.spans[0][1] if self.spans else -math.inf)


class QuestionAnswering(Kind):
    """Cross-entropy of the answer's first and last token over the tokens of a window (arXiv:1810.04805, section 4.2).

    A span's probability is that of its first times that of its last token, in the window where that is highest; that of
    no answer is the lowest over the windows, for each of them but one may well not hold it.
    """

    auto_class = "AutoModelForQuestionAnswering"
    pipeline = "question-answering"
    readers = {".json": read_squad}

    def __init__(self, options: options.QuestionAnswering) -> None:
        super().__init__(options)
        self.metric = "f1" if options.metric == "auto" else options.metric
        self.threshold = None if options.null_threshold == "auto" else options.null_threshold
        self.by_character = options.by_character is True

    # -- reading

    def read(self, sources: Mapping[str, Table]) -> dict[str, list[Example]]:
        problems: list[str] = []
        if self.options.id:
            for rows in sources.values():
                rows.require(self.options.id, "task.id")
        examples = {
            split: self._examples(rows, self._golds(rows, problems), problems) for split, rows in sources.items()
        }
        train = [example for example in examples["train"] if example.golds is not None]
        if not problems and not any(example.golds for example in train):
            problems.append(f"{sources['train'].path}: no question has an answer in '{self.options.answers}'")
        refuse(problems)
        if self.options.by_character == "auto":
            self.by_character = squad.is_chinese([example.context for example in train[:1000]])
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
            Example(name, *(row[column] for column in columns), answers)
            for name, row, answers in zip(self.ids(rows), rows.rows, golds, strict=True)
        ]

    def _golds(self, rows: Table, problems: list[str]) -> list[tuple[Gold, ...] | None]:
        """A split in which all answers are missing has none (a test split of the hub)."""
        values = rows.column(self.options.answers, "task.answers")
        if all(value is None for value in values):
            return [None] * len(values)
        golds: list[tuple[Gold, ...] | None] = []
        for i, value in enumerate(values):
            try:
                golds.append(_golds(value, rows.rows[i].get(self.options.context)))
            except ValueError as problem:
                problems.append(f"{rows.where(i)}: {problem} (task.answers)")
                golds.append(None)
        return golds

    @staticmethod
    def stratum(example: Example) -> int | None:
        """All labelled examples are one stratum."""
        return None if example.golds is None else 0

    # -- model

    def head(self) -> dict[str, Any]:
        """The threshold is kept with the model, for tl-predict."""
        return {"num_labels": 2, "null_threshold": self.threshold}

    def restore(self, config: Any) -> None:
        self.threshold = config.null_threshold

    def encode(self, examples: Sequence[Example], tokenizer: Any) -> Windows:
        """Rows of question and window; of several answers the first is learned."""
        made = windows(
            [example.question for example in examples],
            [example.context for example in examples],
            [_span(example.golds[0]) if example.golds else None for example in examples],
            tokenizer,
            max_length=self.options.max_length,
            stride=self.options.stride,
            ids=[example.id for example in examples],
            labelled=all(example.golds is not None for example in examples),
            examples=examples,
        )
        if len(made) > len(examples):
            self.notes.append(f"{len(examples):,} questions are read in {len(made):,} windows, the examples of training")
        return made

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
        return [self._best(number, predictions, encoded) for number in range(len(encoded.examples))]

    def _best(self, number: int, predictions: list[np.ndarray], encoded: Windows) -> Found:
        context = encoded.examples[number].context
        found: dict[Span, float] = {}
        null = math.inf
        for row in encoded.rows_of(number):
            starts, ends = predictions[row]
            null = min(null, float(starts[encoded.null[row]] + ends[encoded.null[row]]))
            places = encoded.spans_of(row)
            for first, last, value in best_spans(starts, ends, places, self.options.n_best, self.options.max_answer_tokens):
                span = _trimmed(context, int(places[first, 0]), int(places[last, 1]))
                if span[0] < span[1]:
                    found[span] = max(value, found.get(span, -math.inf))
        best = sorted(found.items(), key=lambda item: -item[1])
        return Found(best[: self.options.n_best], null)

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
        spans = [_first(example, found) for example, found in zip(examples, predictions, strict=True)]
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
        return "" if self._says_nothing(found) else _first(example, found)

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


def best_spans(
    starts: np.ndarray, ends: np.ndarray, places: np.ndarray, count: int, longest: int
) -> list[tuple[int, int, float]]:
    """The `count` best spans of up to `longest` tokens of the context: first token, last token, log-probability.

    `starts` and `ends` are log-probabilities (tokens,), `places` the characters of each token (tokens, 2).
    """
    inside = np.flatnonzero(places[:, 1] > places[:, 0])
    if not len(inside):
        return []
    longest = min(longest, len(inside))
    ends = np.concatenate([ends[inside], np.full(longest - 1, -np.inf, ends.dtype)])
    values = (starts[inside][:, None] + np.lib.stride_tricks.sliding_window_view(ends, longest)).ravel()
    count = min(count, len(values))
    best = np.argpartition(-values, count - 1)[:count]
    best = best[np.lexsort((best, -values[best]))]
    return [
        (int(inside[i // longest]), int(inside[i // longest + i % longest]), float(values[i]))
        for i in best
        if values[i] > -np.inf
    ]


def _logits(outputs: Any, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Of every token, padding left out, so that nothing depends on what a row lies beside: float32 (batch, tokens)."""
    padding = batch["attention_mask"] == 0
    starts, ends = (x.float().masked_fill(padding, -math.inf) for x in (outputs.start_logits, outputs.end_logits))
    return starts, ends


def _golds(value: Any, context: Any) -> tuple[Gold, ...]:
    """The answers of a cell, each standing where it says. Raises: ValueError in words."""
    if isinstance(value, dict) and isinstance(value.get("text"), list) and isinstance(value.get("answer_start"), list):
        if len(value["text"]) != len(value["answer_start"]):
            raise ValueError(f"{len(value['text'])} answers at {len(value['answer_start'])} places; as many are needed")
        pairs = list(zip(value["text"], value["answer_start"], strict=True))
    elif isinstance(value, list) and all(isinstance(each, dict) for each in value):  # as SQuAD's own files have them
        pairs = [(each.get("text"), each.get("answer_start")) for each in value]
    else:
        raise ValueError(f"the answers are {kind_of(value)}; write {_FORM}, with empty lists where there is none")
    golds = []
    for text, start in pairs:
        if not isinstance(text, str) or not text.strip():
            raise ValueError("an answer has no text; write empty lists where there is no answer")
        if not isinstance(start, int) or isinstance(start, bool):
            raise ValueError(f"the answer {quoted(text)} has no place; answer_start counts characters from 0")
        if isinstance(context, str) and context[start : start + len(text)] != text or start < 0:
            raise ValueError(_misplaced(text, start, context))
        golds.append(Gold(text, start))
    return tuple(golds)


def _misplaced(text: str, start: int, context: str) -> str:
    there = context[start : start + len(text)] if start >= 0 else ""
    said = f"the answer {quoted(text)} does not stand at {start}, where the context has {quoted(there)}"
    places = [i for i in range(len(context)) if context.startswith(text, i)]
    if not places:
        return f"{said}, nor anywhere else in it; write it as the context does"
    return f"{said}; type {min(places, key=lambda place: abs(place - start))}"


def _span(gold: Gold) -> Span:
    """Its characters, without white space around."""
    return _trimmed(gold.text, 0, len(gold.text), gold.start)


def _trimmed(text: str, start: int, end: int, shift: int = 0) -> Span:
    part = text[start:end]
    return shift + start + len(part) - len(part.lstrip()), shift + end - len(part) + len(part.rstrip())


def _first(example: Example, found: Found) -> str:
    if not found.spans:
        return ""
    (start, end), _ = found.spans[0]
    return example.context[start:end]
