"""A tag for each token: spans such as names (entity F1), or plain tags such as parts of speech (token accuracy)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_run.data.conll_reader import read_conll, read_tagged_tsv
from tl_run.data.encoded import Ragged
from tl_run.data.table import Table
from tl_run.data.words import EncodedWords, pieces
from tl_run.task.kind import Kind, kind_of, refuse
from tl_run.task.spans import Span, count, fault, parse, recognise, spans, to_iob2

if TYPE_CHECKING:
    import torch

IGNORED = -100  # the label of what the loss does not look at
CONLL = (".txt", ".conll", ".iob", ".bio")


@dataclass(frozen=True)
class Sentence:
    """Tokens and their tags (spans in IOB2), or None where there are none."""

    id: str
    tokens: Sequence[str]
    tags: Sequence[str] | None


Prediction = tuple[np.ndarray, np.ndarray]
"""For each token its label, -1 where the model has not read it, and the label's probability."""


class Tagging(Kind):
    """Cross-entropy over the first piece of each token."""

    auto_class = "AutoModelForTokenClassification"
    pipeline = "token-classification"

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.scheme: str = options.scheme
        """That of the files; known after `read`."""
        if column := getattr(options, "tag_column", None):
            named = {"tokens": options.tokens, "tags": options.tags, "tag_column": column}
            self.readers = {suffix: partial(read_conll, **named) for suffix in CONLL}
            self.readers |= {".tsv": partial(read_tagged_tsv, **named)}

    # -- reading

    def read(self, sources: Mapping[str, Table]) -> dict[str, list[Sentence]]:
        """The labels are those of the whole train file; of spans each type has both B- and I-."""
        problems: list[str] = []
        if self.options.id:
            for rows in sources.values():
                rows.require(self.options.id, "task.id")
        tokens = {split: lists(rows, self.options.tokens, "task.tokens", problems) for split, rows in sources.items()}
        tags = {split: self._tags(rows, tokens[split], problems) for split, rows in sources.items()}
        refuse(problems)
        self._settle_scheme(sources, tags, problems)
        refuse(problems)
        self._settle_labels(sources, tags)
        return {split: self.examples(rows, tokens[split], tags[split], problems) for split, rows in sources.items()}

    def read_unlabelled(self, rows: Table) -> list[Sentence]:
        problems: list[str] = []
        tokens = lists(rows, self.options.tokens, "the run's tokens", problems)
        refuse(problems)
        return self.examples(rows, tokens, [None] * len(tokens), problems)

    def examples(
        self, rows: Table, tokens: list[list[str]], tags: Sequence[list[str] | None], problems: list[str]
    ) -> list[Any]:
        """The examples of a file."""
        return [Sentence(*example) for example in zip(self.ids(rows), tokens, tags, strict=True)]

    def _tags(self, rows: Table, tokens: list[list[str]], problems: list[str]) -> list[list[str] | None]:
        """The tags of each sentence; where all are missing there are none."""
        column = self.options.tags
        tags = lists(rows, column, "task.tags", problems, rows.class_names.get(column), may_miss=True)
        for i, (words, own) in enumerate(zip(tokens, tags, strict=True)):
            if own is not None and len(words) != len(own):
                problems.append(
                    f"{rows.where(i)}: {len(words)} in '{self.options.tokens}' and {len(own)} in '{column}', each "
                    "token needs one tag"
                )
        return tags

    def _settle_scheme(
        self, sources: Mapping[str, Table], tags: dict[str, list[list[str] | None]], problems: list[str]
    ) -> None:
        """Find out the scheme, check it, and make it IOB2."""
        found = recognise(own for rows in tags.values() for own in rows if own is not None)
        self.scheme = found if self.options.scheme == "auto" else self.options.scheme
        if self.scheme == "none":
            return
        for split, rows in tags.items():
            for i, own in enumerate(rows):
                if own is not None and (wrong := fault(own, self.scheme)):
                    problems.append(f"{sources[split].where(i)}: {wrong} (task.tags)")
            tags[split] = [None if own is None else to_iob2(own) for own in rows]
        if self.scheme != "iob2":
            self.notes.append(f"the tags are {self.scheme.upper()}, and become IOB2 (task.scheme)")

    def _settle_labels(self, sources: Mapping[str, Table], tags: Mapping[str, list[list[str] | None]]) -> None:
        seen = {split: {*chain.from_iterable(own for own in rows if own is not None)} for split, rows in tags.items()}
        if self.scheme == "none":
            self.labels = sorted(seen["train"], key=lambda tag: (tag != "O", tag))
        else:
            types = sorted({tag[2:] for tag in seen["train"] if tag != "O"})
            self.labels = ["O", *(f"{letter}-{kind}" for kind in types for letter in "BI")]
        if len(self.labels) < 2:
            shown = f"only {', '.join(self.labels)}" if self.labels else "no tag"
            refuse([f"{sources['train'].path}: '{self.options.tags}' holds {shown}, two or more are needed (task.tags)"])
        for split, own in seen.items():
            if unknown := sorted(own - {*self.labels}):
                shown = ", ".join(unknown[:6]) + (", ..." if len(unknown) > 6 else "")
                self.notes.append(f"{split}: {shown} do not occur in train, and count as missed")
        if self.options.metric == "f1" and not self.scores_spans:
            refuse(["task.metric=f1: the tags mark no spans (O, B-..., I-...): type task.metric=accuracy"])
        self.metric = "f1" if self.scores_spans else "accuracy"
        if self.options.metric != "auto":
            self.metric = self.options.metric

    @staticmethod
    def stratum(example: Sentence) -> int | None:
        """All sentences with tags are one stratum."""
        return None if example.tags is None or not example.tokens else 0

    # -- model

    @property
    def marks_spans(self) -> bool:
        """Whether the labels are those of IOB2."""
        return "O" in self.labels and all(parse(label) for label in self.labels)

    def head(self) -> dict[str, Any]:
        return {
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {name: i for i, name in enumerate(self.labels)},
        }

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

        index = {label: i for i, label in enumerate(self.labels)}
        gold = np.array([index.get(tag, IGNORED) for e in examples for tag in e.tags or [None] * len(e.tokens)], np.int64)
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

    def collate(self, encoded: EncodedWords, indices: np.ndarray, pad: Mapping[str, int]) -> dict[str, torch.Tensor]:
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

    def weight(self, encoded: EncodedWords, indices: np.ndarray) -> int:
        """First pieces with a label."""
        assert encoded.targets is not None
        return int((encoded.targets.padded(indices, IGNORED) != IGNORED).sum())

    def decode(self, outputs: Any, batch: Mapping[str, torch.Tensor], model: Any) -> list[Prediction]:
        """The likeliest label of each piece and its probability."""
        probability, label = outputs.logits.float().softmax(-1).max(-1)
        return [*zip(label.cpu().numpy(), probability.cpu().numpy(), strict=True)]

    def gather(self, predictions: list[Prediction], encoded: EncodedWords) -> list[Prediction]:
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

    def metrics(self, predictions: Sequence[Prediction], encoded: EncodedWords) -> dict[str, float]:
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

    def tables(self, predictions: Sequence[Prediction], encoded: EncodedWords) -> dict[str, Any]:
        """Precision, recall, F1 and support of each type."""
        if not self.scores_spans:
            return {}
        rows = self._count([self.tags(prediction) for prediction in predictions], encoded)
        return {"per_type": {kind: scores for kind, scores in rows.items() if kind}}

    @property
    def scores_spans(self) -> bool:
        """Whether there is something to count by spans."""
        return self.marks_spans

    def _count(self, found: list[list[str | None]], encoded: EncodedWords) -> dict[str, dict[str, float]]:
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

    def inputs(self, example: Any) -> dict[str, Any]:
        return {"id": example.id, "tokens": [*example.tokens], "gold": None if example.tags is None else [*example.tags]}


def lists(
    rows: Table,
    column: str,
    option: str,
    problems: list[str],
    names: Sequence[str] | None = None,
    may_miss: bool = False,
) -> list[Any]:
    """The words of each row: a list of texts, or a text that is cut at spaces. Class numbers get their `names`.

    A row without a value, or with nothing but nulls, is None where it `may_miss`; what is no list of texts is added to
    `problems`. Raises: BadInput when there is no such column.
    """
    made: list[list[str] | None] = []
    for i, value in enumerate(rows.column(column, option)):
        words = value.split() if isinstance(value, str) else value
        if may_miss and (value is None or value == "" or (words and isinstance(words, list) and not any_given(words))):
            made.append(None)
            continue
        if not isinstance(words, list):
            problems.append(f"{rows.where(i)}: '{column}' is {kind_of(value)}, a list of texts is needed ({option})")
            words = []
        for j, word in enumerate(words):
            number = may_miss and isinstance(word, int) and not isinstance(word, bool)
            if not isinstance(word, str) and not (number and (names is None or 0 <= word < len(names))):
                problems.append(f"{rows.where(i)}: item {j + 1} of '{column}' is {kind_of(word)}, a text is needed ({option})")
                break
        made.append([names[w] if names and isinstance(w, int) else str(w) for w in words])
    return made


def running(tokens: Sequence[str]) -> str:
    """Tokens as text: with spaces, or without where they are single characters from beyond the alphabets (Chinese)."""
    return ("" if all(len(token) == 1 and token > "\u2e7f" for token in tokens) else " ").join(tokens)


def any_given(words: Sequence[Any]) -> bool:
    """Whether one is not null."""
    return any(word is not None for word in words)
