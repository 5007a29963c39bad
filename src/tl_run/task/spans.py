"""Tags that mark spans (IOB1, IOB2, BIOES), and F1 over spans as conlleval and seqeval count it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

# Other letters for the same: BMES has M inside, BILOU has L for the last token and U for a token alone.
LETTERS = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S"}
ALLOWED = {"iob1": "BI", "iob2": "BI", "bioes": "BIMELSU"}


class Span(NamedTuple):
    """Tokens from `start` up to `end`, which is not in it."""

    type: str
    start: int
    end: int


@cache
def parse(tag: str) -> tuple[str, str] | None:
    """Letter and type of a tag; ("O", "") outside; None if it marks no span."""
    if tag == "O":
        return "O", ""
    letter, dash, kind = tag.partition("-")
    return (LETTERS[letter], kind) if letter in LETTERS and dash and kind else None


def recognise(sentences: Iterable[Sequence[str]]) -> str:
    """The scheme of these tags: none when no tag marks a span, iob1 when an entity begins with I-."""
    sentences = [*sentences]
    found = {tag: parse(tag) for tags in sentences for tag in tags}
    letters = {tag[0] for tag, parsed in found.items() if parsed and tag != "O"}
    if not letters:
        return "none"
    if letters - {"B", "I"}:
        return "bioes"
    return "iob1" if any(_loose(tags) for tags in sentences) else "iob2"


def fault(tags: Sequence[str], scheme: str) -> str | None:
    """What of these tags is not of the scheme, in words, or None."""
    for i, tag in enumerate(tags, 1):
        if parse(tag) is None or (tag != "O" and tag[0] not in ALLOWED[scheme]):
            marks = " or ".join(f"{letter}-" for letter in ("BIES" if scheme == "bioes" else "BI"))
            return f"tag {i} is '{tag}', in {scheme} it is O or begins with {marks}: mend it, or type task.scheme=none"
    if scheme == "iob2" and (loose := _loose(tags)):
        return (
            f"tag {loose} is '{tags[loose - 1]}' and begins a span, in iob2 B- does: mend it, or type task.scheme=iob1"
        )
    return None


def broken(sentences: Iterable[Sequence[str]]) -> str | None:
    """In words, where some spans begin with I- and others with a B- that IOB1 would not have: it may be broken IOB2."""
    loose = needless = total = 0
    for tags in sentences:
        for before, tag, iob2 in zip(["O", *tags], tags, to_iob2(tags), strict=False):
            total += iob2[0] == "B"
            loose += iob2[0] == "B" and tag[0] == "I"
            needless += tag[0] == "B" and before[2:] != tag[2:]
    if not (loose and needless):
        return None
    return (
        f"{loose:,} of {total:,} spans begin with I-, others with B-: and each is read as one: mend them (task.scheme)"
    )


def to_iob2(tags: Sequence[str]) -> list[str]:
    """The same spans in IOB2, from any scheme: B and S begin one, and so does all that continues none."""
    made, last, before = [], "O", ""
    for tag in tags:
        letter, kind = parse(tag) or ("O", "")
        begins = letter in "BS" or kind != before or last in "ES"
        made.append("O" if letter == "O" else f"{'B' if begins else 'I'}-{kind}")
        last, before = letter, kind
    return made


def spans(tags: Sequence[str]) -> list[Span]:
    """The spans of tags in IOB2; an I- that continues none begins one, as conlleval has it."""
    found: list[Span] = []
    for i, tag in enumerate(tags):
        if tag == "O":
            continue
        kind = tag[2:]
        if tag[0] == "I" and found and found[-1].end == i and found[-1].type == kind:
            found[-1] = found[-1]._replace(end=i + 1)
        else:
            found.append(Span(kind, i, i + 1))
    return found


def count(gold: Iterable[Sequence[Span]], found: Iterable[Sequence[Span]]) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support of each type, sentence by sentence, and under "" of all types together.

    A span is right when type, start and end are; where there is nothing to divide by the score is 0.
    """
    right, predicted, support = Counter[str](), Counter[str](), Counter[str]()
    for truth, answer in zip(gold, found, strict=True):
        for counter, some in ((support, truth), (predicted, answer), (right, {*truth} & {*answer})):
            counter.update(span.type for span in some)
    rows = {kind: _scores(right[kind], predicted[kind], support[kind]) for kind in sorted({*support, *predicted})}
    return {"": _scores(right.total(), predicted.total(), support.total()), **rows}


def _scores(right: int, predicted: int, support: int) -> dict[str, float]:
    precision, recall = right / predicted if predicted else 0.0, right / support if support else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "support": support}


def _loose(tags: Sequence[str]) -> int:
    """The number, from 1, of the first I- that continues no span, or 0."""
    for i, (tag, iob2) in enumerate(zip(tags, to_iob2(tags), strict=True), 1):
        if tag[:2] == "I-" and iob2[0] == "B":
            return i
    return 0
