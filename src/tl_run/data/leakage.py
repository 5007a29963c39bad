"""The same example in several splits, or with several labels: word for word, or but for case, blanks, punctuation."""

import unicodedata
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tl_run.data.table import quoted

PAIRS = (("validation", "train"), ("test", "train"), ("test", "validation"))
Seen = tuple[Hashable, ...]
"""What is read of an example: texts, tuples of words, whatever else can be compared."""


class _Plain(dict[int, int | None]):
    """For str.translate: no punctuation, no blanks, no control characters; filled as characters occur."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.category(chr(code))[0] in "PZC" else code
        return self[code]


_PLAIN = _Plain()


def plain(text: str) -> str:
    """The text in small letters, without blanks and punctuation; what is nothing else stays as it is."""
    return text.lower().translate(_PLAIN) or text.strip()


def likeness(seen: Sequence[Seen]) -> list[Seen]:
    """All of it made plain; each different text once."""
    known: dict[Any, Any] = {}

    def of(part: Any) -> Any:
        if part not in known:
            known[part] = (
                plain(part) if isinstance(part, str) else tuple(map(of, part)) if isinstance(part, tuple) else part
            )
        return known[part]

    return [tuple(map(of, key)) for key in seen]


@dataclass(frozen=True)
class Read:
    """The examples of a split, as they are compared."""

    seen: list[Seen]
    alike: list[Seen]
    """The same made plain."""
    gold: list[Any]
    shown: Callable[[int], str]
    """An example in words, for a message."""

    @classmethod
    def of(cls, kind: Any, examples: Sequence[Any]) -> "Read":
        """By what the kind of task says of its examples."""
        seen = [kind.seen(example) for example in examples]
        gold = [kind.inputs(example).get("gold") for example in examples]
        return cls(seen, likeness(seen), gold, lambda i: _shown(kind.inputs(examples[i])))


def told(splits: Mapping[str, Read], *, held_out: bool) -> list[str]:
    """A sentence for each two splits that share examples. What is empty is not counted."""
    found = []
    for split, other in PAIRS:
        own, exact, near = splits[split], {*splits[other].seen}, {*splits[other].alike}
        shared = [i for i, key in enumerate(own.alike) if key in near and any(key)]
        if not shared:
            continue
        same = sum(own.seen[i] in exact for i in shared)
        copies = held_out and "validation" in (split, other)
        remedy = "it is held out from a file with copies: remove them there" if copies else f"take them out of {other}"
        found.append(
            f"{split}: {len(shared):,} of {len(own.seen):,} examples stand in {other} too ({same:,} word for word, "
            f"{len(shared) - same:,} but for case, blanks and punctuation), as {own.shown(shared[0])}: their scores "
            f"are too good; {remedy}"
        )
    return found


def torn(splits: Mapping[str, Read]) -> list[str]:
    """A sentence where what is the same, but for case, blanks and punctuation, has several labels in whatever split."""
    labels: dict[Seen, Any] = {}
    several: dict[Seen, str] = {}
    for read in splits.values():
        for i, (key, label) in enumerate(zip(read.alike, read.gold, strict=True)):
            if label is None or labels.setdefault(key, label) == label or not any(key):
                continue
            several.setdefault(key, f"{quoted(str(labels[key]))} and {quoted(str(label))} for {read.shown(i)}")
    if not several:
        return []
    rows = sum(key in several for read in splits.values() for key in read.alike)
    what = f"{len(several):,} texts" if len(several) > 1 else "1 text"
    first = next(iter(several.values()))
    return [f"{what} ({rows:,} rows) with other labels in another row, as {first}: nothing can learn both"]


def _shown(line: Mapping[str, Any]) -> str:
    """What is read of an example."""
    first = next(value for name, value in line.items() if name not in ("id", "gold"))
    return quoted(" ".join(map(str, first)) if isinstance(first, list) else str(first))
