"""Examples of one split that stand in another too: word for word, or but for case, blanks and punctuation."""

import unicodedata
from collections.abc import Hashable, Iterator, Mapping, Sequence
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


def plain_all(seen: Sequence[Seen]) -> list[Seen]:
    """All of it made plain; each different text once."""
    known: dict[Any, Any] = {}

    def of(part: Any) -> Any:
        if part not in known:
            words = isinstance(part, tuple) and all(isinstance(word, str) for word in part)
            known[part] = plain(part) if isinstance(part, str) else plain(" ".join(part)) if words else part
        return known[part]

    return [tuple(of(part) for part in key) for key in seen]


def told(seen: Mapping[str, Sequence[Seen]], *, held_out: bool) -> Iterator[str]:
    """A sentence for each pair of splits that share examples; what is empty is not counted."""
    likeness = {split: plain_all(keys) for split, keys in seen.items()}
    for split, other in PAIRS:
        exact, near = {*seen[other]}, {*likeness[other]}
        own = [
            (key, key in exact)
            for key, alike in zip(seen[split], likeness[split], strict=True)
            if alike in near and any(alike)
        ]
        if not own:
            continue
        same = sum(exactly for _, exactly in own)
        first = next((part for part in own[0][0] if part), "")
        shown = quoted(" ".join(first) if isinstance(first, tuple) and isinstance(first[0], str) else str(first))
        copies = held_out and "validation" in (split, other)
        remedy = "held out from a file with copies: remove them there" if copies else f"take them out of {other}"
        yield (
            f"{split}: {len(own):,} of {len(seen[split]):,} examples stand in {other} too ({same:,} word for word, "
            f"{len(own) - same:,} but for case, blanks and punctuation), as {shown}: the score is too good; {remedy}"
        )
