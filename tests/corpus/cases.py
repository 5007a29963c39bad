"""What a case of the corpus is: files as users have them, the verdict on them, and the words that must be said.

The cases are written from the formats: what real files look like when they are wrong, odd or doubtful. error: refused
before anything is trained. accept: read without a word, with exactly these values. warn: read, and one warning.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Content = str | bytes | Callable[[], str | bytes]
"""Of a file; a function where making it takes a library."""

GOOD = (
    *("an honest film with a fine plot", "she loved every minute of it", "great actors and a great ending"),
    *("the story moved all of us", "a small wonder of a comedy", "I would see this again tomorrow"),
)
BAD = (
    *("two hours that nobody gives back", "a dull plot and wooden actors", "he left before the ending"),
    *("the music was the worst part", "not funny and far too long", "even the trailer was better"),
)
ROWS = tuple(
    (text, label) for pair in zip(GOOD, BAD, strict=True) for text, label in zip(pair, ("yes", "no"), strict=True)
)
"""Twelve texts, no two alike, with the labels yes and no in turn."""
OTHERS = (("lovely from start to end", "yes"), ("nothing in it made sense", "no"))
"""Two more, for validation."""


@dataclass(frozen=True)
class Case:
    """One set of files and what must come of it."""

    name: str
    kind: str
    """The task that is typed, a key of KINDS."""
    verdict: Literal["error", "accept", "warn"]
    train: Content
    suffix: str = ".csv"
    """Of the train file."""
    words: tuple[str, ...] = ()
    """What must be said, each once."""
    values: Sequence[Any] | None = None
    """What the columns `shown` of the training examples must hold, row by row."""
    shown: tuple[str, ...] = ("text", "gold")
    files: Mapping[str, Content] = field(default_factory=dict)
    """Others beside it, by name."""
    options: tuple[str, ...] = ()
    warnings: int = 1
    """How many there are, where the verdict is warn."""
    file: str = ""
    """The train file's name, where that matters."""

    def write(self, folder: Path) -> list[str]:
        """Write the files; returns the command's arguments."""
        name = self.file or f"train{self.suffix}"
        fixed, beside = KINDS[self.kind]
        for path, content in {**beside, **self.files, name: self.train}.items():
            made = content() if callable(content) else content
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(made.encode("utf-8", "surrogatepass") if isinstance(made, str) else made)
        return [*fixed, f"task.train='{name}'", *self.options]


def csv_of(rows: Iterable[Sequence[Any]], header: Sequence[str] = ("text", "label")) -> str:
    """Rows as CSV."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return file.getvalue()


PAIRS = (
    *(("a cat sleeps", "a cat is asleep", 4.5), ("a man runs", "a man is running", 4.8)),
    *(("a boy swims", "a dog barks", 0.5), ("it rains", "the sun shines", 0.8)),
    *(("she reads a book", "she is reading", 4), ("he cooks rice", "he drives home", 1)),
)
OTHER_PAIRS = (("they sing a song", "they are singing", 4.2), ("a girl dances", "a tree falls", 0.9))
CONLL = "EU B-ORG\nrejects O\nGerman B-MISC\ncall O\n\nPeter B-PER\nBlackburn I-PER\nspoke O\n"
OTHER_CONLL = "Paris B-PER\nslept O\n\nthe O\nBonn B-ORG\n"
CONTEXT = "The mill was built by Ida Berg in 1889, and burnt down in 1901."
RELATIONS = (
    *(("<e1>rain</e1> caused the <e2>flood</e2>", "cause"), ("the <e1>wheel</e1> of a <e2>car</e2>", "part")),
    *(("<e1>smoke</e1> made the <e2>fog</e2>", "cause"), ("a <e1>page</e1> of the <e2>book</e2>", "part")),
)

KINDS: Mapping[str, tuple[tuple[str, ...], Mapping[str, Content]]] = {
    "classification": (
        ("task=classification", "task.validation=dev.csv"),
        {"dev.csv": csv_of(OTHERS)},
    ),
    "held-out": (("task=classification", "task.validation_share=0.3"), {}),
    "multi-label": (
        ("task=classification", "task.multi_label=true", "task.validation=dev.jsonl"),
        {"dev.jsonl": '{"text": "lovely from start to end", "label": ["a"]}\n{"text": "no sense", "label": ["b"]}\n'},
    ),
    "regression": (
        ("task=regression", "task.text=one", "task.text_pair=two", "task.label=score", "task.validation=dev.csv"),
        {"dev.csv": csv_of(OTHER_PAIRS, ("one", "two", "score"))},
    ),
    "similarity": (
        ("task=similarity", "task.text=one", "task.text_pair=two", "task.label=score", "task.validation=dev.csv"),
        {"dev.csv": csv_of(OTHER_PAIRS, ("one", "two", "score"))},
    ),
    "tagging": (("task=tagging", "task.validation=dev.conll"), {"dev.conll": OTHER_CONLL}),
    "srl": (
        ("task=srl", "task.validation=dev.jsonl"),
        {"dev.jsonl": '{"tokens": ["cats", "purr"], "predicate_index": 1, "roles": ["B-A0", "B-V"]}\n'},
    ),
    "relation": (
        ("task=relation", "task.validation=dev.csv"),
        {
            "dev.csv": csv_of(
                (("<e1>wind</e1> broke the <e2>mast</e2>", "cause"), ("a <e1>leg</e1> of a <e2>chair</e2>", "part"))
            )
        },
    ),
    "qa": (
        ("task=qa", "task.validation=dev.jsonl", "task.max_length=64", "task.stride=16"),
        {
            "dev.jsonl": '{"question": "When?", "context": "In 1700.", '
            '"answers": {"text": ["1700"], "answer_start": [3]}}\n'
        },
    ),
    "generation": (
        ("task=generation", "task.validation=dev.csv", "task.max_length=24", "task.max_target_length=16"),
        {"dev.csv": csv_of((("good evening", "bonsoir"), ("thank you", "merci")), ("source", "target"))},
    ),
    "lm": (("task=lm", "task.validation=dev.txt"), {"dev.txt": "the film was dull and far too long for us\n"}),
    "images": (("task=images", "task.validation_share=0.5"), {}),
    "image-text": (("task=image-text", "task.validation_share=0.5"), {}),
    "triples": (
        ("task=triples", "model=transe", "task.validation=dev.tsv"),
        {"dev.tsv": "head\trelation\ttail\nlyon\tin\tfrance\n"},
    ),
}
"""What is typed for each kind besides the train file, and the files that go with it."""
