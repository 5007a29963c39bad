"""The answers of a question as a row holds them, each with its place in the context, which is checked."""

from dataclasses import dataclass
from typing import Any

from tl_run.data.table import quoted
from tl_run.data.windows import Span
from tl_run.task.kind import kind_of

NOWHERE = -1
UNITS = (("bytes of UTF-8", "utf-8"), ("UTF-16 units, as JavaScript and Java do", "utf-16-le"))
FORM = '{"text": ["..."], "answer_start": [0]}'


@dataclass(frozen=True)
class Gold:
    """One of the answers that are right; in CMRC 2018 some stand nowhere in the context, at -1: they only score."""

    text: str
    start: int
    moved: bool = False
    """Whether it stands elsewhere than the data says."""

    @property
    def span(self) -> Span | None:
        """Its characters, without white space around."""
        if self.start == NOWHERE:
            return None
        start, end = trimmed(self.text, 0, len(self.text))
        return self.start + start, self.start + end


def golds(value: Any, context: Any, *, nearest: bool) -> tuple[Gold, ...]:
    """The answers of a cell, as the hub's rows have them or as SQuAD's own files do; none: there is no answer.

    With `nearest` an answer that does not stand where the data says is taken where it stands nearest.
    Raises: ValueError in words, where the cell is no answers or one of them does not stand where it says.
    """
    found = []
    for text, start in _pairs(value):
        if not isinstance(text, str) or not text.strip():
            raise ValueError("an answer has no text; write empty lists where there is no answer")
        if not isinstance(start, int) or isinstance(start, bool):
            raise ValueError(f"the answer {quoted(text)} has no place; answer_start counts characters from 0")
        there = isinstance(context, str) and (context.startswith(text, start) if start >= 0 else text not in context)
        if not isinstance(context, str) or (there and start >= NOWHERE):  # a context that is no text is told elsewhere
            found.append(Gold(text, start))
        elif nearest and text in context:
            found.append(Gold(text, _nearest(text, start, context), moved=True))
        else:
            raise ValueError(_misplaced(text, start, context))
    return tuple(found)


def trimmed(text: str, start: int, end: int) -> Span:
    """The part of a text without white space around."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return [(each.get("text"), each.get("answer_start")) for each in value]
    texts, starts = (value.get("text"), value.get("answer_start")) if isinstance(value, dict) else (None, None)
    if not isinstance(texts, list) or not isinstance(starts, list):
        raise ValueError(f"the answers are {kind_of(value)}; write {FORM}, or empty lists where there is no answer")
    if len(texts) != len(starts):
        raise ValueError(f"{len(texts)} answers with {len(starts)} places; as many are needed")
    return list(zip(texts, starts, strict=True))


def _misplaced(text: str, start: int, context: str) -> str:
    there = f", where the context has {quoted(context[start : start + len(text)])}" if start >= 0 else ""
    there = f", the context has {len(context)} characters" if start >= len(context) else there
    said = f"the answer {quoted(text)} does not stand at {start}{there}"
    if text not in context:
        return (
            f"{said}, nor anywhere else; write it as the context does, or {NOWHERE} for its place: then it only scores"
        )
    unit = next(
        (f" (it seems to count {what}, not characters)" for what, form in UNITS if _at(text, start, context, form)), ""
    )
    return f"{said}, but at {_nearest(text, start, context)}{unit}: mend it, or type task.misplaced=nearest"


def _at(text: str, start: int, context: str, form: str) -> bool:
    """Whether the text stands at `start` where the units of an encoding are counted."""
    size = len("a".encode(form))
    whole, part = (each.encode(form, "surrogatepass") for each in (context, text))
    return start >= 0 and whole.startswith(part, start * size)


def _nearest(text: str, start: int, context: str) -> int:
    places = (i for i in range(len(context)) if context.startswith(text, i))
    return min(places, key=lambda place: abs(place - start))
