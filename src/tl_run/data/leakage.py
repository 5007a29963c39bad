"""Examples of one split that stand in another too: word for word, or but for case, blanks and punctuation."""

import unicodedata
from collections.abc import Hashable, Mapping, Sequence
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
            words = isinstance(part, tuple) and all(isinstance(word, str) for word in part)
            known[part] = plain(part) if isinstance(part, str) else plain(" ".join(part)) if words else part
        return known[part]

    return [tuple(map(of, key)) for key in seen]


def told(
    seen: Mapping[str, Sequence[Seen]],
    alike: Mapping[str, Sequence[Seen]],
    lines: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    held_out: bool,
) -> list[str]:
    """A sentence for each two splits that share examples; `alike` is the likeness of what is `seen`, `lines` are the
    examples as a predictions file shows them. What is empty is not counted."""
    found = []
    for split, other in PAIRS:
        exact, near = {*seen[other]}, {*alike[other]}
        shared = [i for i, key in enumerate(alike[split]) if key in near and any(key)]
        if not shared:
            continue
        same = sum(seen[split][i] in exact for i in shared)
        copies = held_out and "validation" in (split, other)
        remedy = "it is held out from a file with copies: remove them there" if copies else f"take them out of {other}"
        found.append(
            f"{split}: {len(shared):,} of {len(seen[split]):,} examples stand in {other} too ({same:,} word for word, "
            f"{len(shared) - same:,} but for case, blanks and punctuation), as {shown(lines[split][shared[0]])}: the "
            f"score is too good; {remedy}"
        )
    return found


def shown(line: Mapping[str, Any]) -> str:
    """What is read of an example, for a message."""
    first = next(value for name, value in line.items() if name not in ("id", "gold"))
    return quoted(" ".join(map(str, first)) if isinstance(first, list) else str(first))
