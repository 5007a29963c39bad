"""Reading for kinds that give each token of a sentence a tag: lists from tables, CoNLL text, every scheme of tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

from tl_run.data.conll_reader import read_conll, read_tagged_tsv
from tl_run.data.perturbation import Disturbance
from tl_run.data.table import Table
from tl_run.task.kind import AS_LIST, Kind, is_written_list, kind_of, refuse
from tl_run.task.spans import broken, fault, parse, recognise, to_iob2

CONLL = (".txt", ".conll", ".iob", ".bio")
LONG, STOPS, FULL_STOPS = 100, 5, frozenset(".!?。！？")
Tags = list[list[str] | None]  # of each sentence of a split


@dataclass(frozen=True)
class Sentence:
    """Tokens and their tags (spans in IOB2), or None where there are none."""

    id: str
    tokens: list[str]
    tags: list[str] | None


class Sentences(Kind):
    """Reads sentences; a kind of it says what is learned from them."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.scheme: str = options.scheme
        """That of the files; known after `read`."""
        if column := getattr(options, "tag_column", None):
            named = {"tokens": options.tokens, "tags": options.tags, "tag_column": column}
            self.readers = {suffix: partial(read_conll, **named) for suffix in CONLL}
            self.readers |= {".tsv": partial(read_tagged_tsv, **named)}

    @property
    def marks_spans(self) -> bool:
        """Whether the labels are those of IOB2, and are to be read so."""
        return self.options.scheme != "none" and "O" in self.labels and all(parse(label) for label in self.labels)

    @property
    def scores_spans(self) -> bool:
        """Whether something is counted by spans; else tokens are."""
        return self.marks_spans

    def read(self, sources: Mapping[str, Table]) -> dict[str, list[Any]]:
        """The labels are those of the whole train file; of spans each type has both B- and I-."""
        problems: list[str] = []
        if self.options.id:
            for rows in sources.values():
                rows.require(self.options.id, "task.id")
        tokens = {split: lists(rows, self.options.tokens, "task.tokens", problems) for split, rows in sources.items()}
        tags = {split: self._tags(rows, tokens[split], problems) for split, rows in sources.items()}
        train = sources["train"]
        if len(train.rows) == 1 and train.unit.startswith("sentence") and len(sources) == 1:
            problems.append(
                f"{train.path}: one sentence alone, so nothing can be held out: a blank line ends a sentence; or type "
                "task.validation=<file>"
            )
        refuse(problems)
        tags = self._in_one_scheme(sources, tags)
        self._settle_labels(sources["train"].path, tags)
        self.doubts += [d for split, rows in sources.items() for d in run_on(split, rows.unit, tokens[split])]
        return {split: self.examples(rows, tokens[split], tags[split]) for split, rows in sources.items()}

    def read_unlabelled(self, rows: Table) -> list[Any]:
        problems: list[str] = []
        tokens = lists(rows, self.options.tokens, "the run's tokens", problems)
        refuse(problems)
        return self.examples(rows, tokens, [None] * len(tokens))

    def read_labelled(self, rows: Table) -> list[Any]:
        """What is marked becomes IOB2, as in the run; types that the run has not are always missed."""
        problems: list[str] = []
        column = self.options.tags
        rows.require(column, "the run's tags")
        tokens = lists(rows, self.options.tokens, "the run's tokens", problems)
        tags = self._tags(rows, tokens, problems)
        problems += [f"{rows.where(i)}: '{column}' is missing" for i, own in enumerate(tags) if own is None]
        refuse(problems)
        return self.examples(rows, tokens, self._in_one_scheme({"test": rows}, {"test": tags})["test"])

    def disturbed(self, example: Any, how: Disturbance) -> Any:
        """Tags stay with their tokens; no token is left out of which the tag marks something."""
        words, left = how.words(example.tokens, self.kept(example)), self.left(example, how)
        return replace(example, tokens=[words[i] for i in left], tags=[example.tags[i] for i in left])

    def left(self, example: Any, how: Disturbance) -> list[int]:
        """The tokens that are not left out."""
        return [i for i, word in enumerate(how.words(example.tokens, self.kept(example))) if word is not None]

    def kept(self, example: Any) -> list[int]:
        """The tokens that are never left out."""
        return [i for i, tag in enumerate(example.tags) if tag != "O"] if self.scores_spans else []

    def examples(self, rows: Table, tokens: list[list[str]], tags: Tags) -> list[Any]:
        """The examples of a file. Raises: BadInput."""
        return [Sentence(*example) for example in zip(self.ids(rows), tokens, tags, strict=True)]

    def corpus(self, examples: Sequence[Any]) -> list[str]:
        return [running(example.tokens) for example in examples]

    @staticmethod
    def stratum(example: Any) -> int | None:
        """All sentences with tags are one stratum."""
        return None if example.tags is None or not example.tokens else 0

    def _tags(self, rows: Table, tokens: list[list[str]], problems: list[str]) -> Tags:
        column = self.options.tags
        tags: Tags = lists(rows, column, "task.tags", problems, tags=True)
        for i, (words, own) in enumerate(zip(tokens, tags, strict=True)):
            if own is not None and len(words) != len(own):
                problems.append(
                    f"{rows.where(i)}: {len(words)} in '{self.options.tokens}' and {len(own)} in '{column}', each "
                    "token needs one tag"
                )
        return tags

    def _in_one_scheme(self, sources: Mapping[str, Table], tags: Mapping[str, Tags]) -> dict[str, Tags]:
        """Find out the scheme and check it; tags that mark spans become IOB2."""
        if self.options.scheme == "auto":
            self.scheme = recognise(own for rows in tags.values() for own in rows if own is not None)
        if self.scheme == "none":
            return dict(tags)
        refuse(
            [
                f"{sources[split].where(i)}: {wrong} (task.tags)"
                for split, rows in tags.items()
                for i, own in enumerate(rows)
                if own is not None and (wrong := fault(own, self.scheme))
            ]
        )
        if self.options.scheme == "auto":
            self.doubts += [f"{split}: {wrong}" for split, own in tags.items() if (wrong := broken(filter(None, own)))]
        if self.scheme != "iob2":
            self.notes.append(f"the tags are {self.scheme.upper()}, and become IOB2 (task.scheme)")
        return {split: [None if own is None else to_iob2(own) for own in rows] for split, rows in tags.items()}

    def _settle_labels(self, path: str, tags: Mapping[str, Tags]) -> None:
        seen = {split: {*chain.from_iterable(own for own in rows if own is not None)} for split, rows in tags.items()}
        if self.scheme == "none":
            self.labels = sorted(seen["train"], key=lambda tag: (tag != "O", tag))
        else:
            types = sorted({tag[2:] for tag in seen["train"] if tag != "O"})
            self.labels = ["O", *(f"{letter}-{kind}" for kind in types for letter in "BI")]
        if len(self.labels) < 2:
            shown = f"only {', '.join(self.labels)}" if self.labels else "no tag"
            refuse([f"{path}: '{self.options.tags}' holds {shown}, two or more are needed (task.tags)"])
        if self.options.metric == "f1" and not self.scores_spans:
            refuse(["task.metric=f1: the tags mark no spans (O, B-..., I-...): type task.metric=accuracy"])
        chosen = "f1" if self.scores_spans else "accuracy"
        self.metric = chosen if self.options.metric == "auto" else self.options.metric


def lists(rows: Table, column: str, option: str, problems: list[str], *, tags: bool = False) -> list[Any]:
    """The words of each row: a list of texts, or a text that is cut at spaces.

    Tags may also be whole numbers, of which the table may know the names, and a row without any is None. What is no
    list of texts is added to `problems`. Raises: BadInput when there is no such column.
    """
    names, made = rows.class_names.get(column) if tags else None, []
    for i, value in enumerate(rows.column(column, option)):
        if is_written_list(value):
            problems.append(f"{rows.where(i)}: '{column}' is {AS_LIST} ({option})")
            value = []
        words = value.split() if isinstance(value, str) else value
        absent = value in (None, "") or (
            isinstance(words, list) and bool(words) and not any(w is not None for w in words)
        )
        if tags and absent:
            made.append(None)
            continue
        if not isinstance(words, list):
            problems.append(f"{rows.where(i)}: '{column}' is {kind_of(value)}, a list of texts is needed ({option})")
            words = []
        wrong = [j for j, word in enumerate(words) if not (isinstance(word, str) or (tags and type(word) is int))]
        if wrong:
            what = f"item {wrong[0] + 1} of '{column}' is {kind_of(words[wrong[0]])}"
            problems.append(f"{rows.where(i)}: {what}, a text is needed ({option})")
        made.append([names[word] if names and type(word) is int else str(word) for word in words])
    return made


def running(tokens: Sequence[str]) -> str:
    """Tokens as text: with spaces, or without where they are single characters from beyond the alphabets (Chinese)."""
    return ("" if all(len(token) == 1 and token > "\u2e7f" for token in tokens) else " ").join(tokens)


def run_on(split: str, unit: str, sentences: Sequence[Sequence[str]]) -> list[str]:
    """Whether sentences of CoNLL text are several, for want of a blank line: long, and with many full stops inside."""
    long = [s for s in sentences if len(s) > LONG and sum(word in FULL_STOPS for word in s) >= STOPS]
    if not long or not unit.startswith("sentence"):
        return []
    longest = max(map(len, long))
    what = f"{split}: {len(long):,} of {len(sentences):,} sentences look like several (up to {longest:,} tokens)"
    return [f"{what}: a blank line ends a sentence"]
