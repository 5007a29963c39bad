"""Two entities in a text: found from tags, marked with symbols that every tokenizer has, and found among the tokens.

The marks are `@` around the first entity and `#` around the second (arXiv:2102.01373, "entity marker (punct)"). New
special tokens, as in arXiv:1906.03158, scored no better there, and what is new in the table of embeddings could not
learn under a frozen trunk: with symbols of the checkpoint nothing is new but the head, whatever is frozen or stored.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tl_run import cache
from tl_run.data import encoded
from tl_run.errors import BadInput, BadOption

Span = tuple[int, int]
"""First character of an entity and the one after its last."""

TAGS = ("<e1>", "</e1>", "<e2>", "</e2>")
MARKS = ("@", "#")
COLUMN = "entities"
"""What the model is given beside token ids: 1 where the first entity's first mark stands, 2 for the second, else 0."""


def untagged(text: str) -> tuple[str, tuple[Span, Span]]:
    """`a <e1>b</e1> c <e2>d</e2>` to the text without tags, and both entities. Raises: ValueError with the reason."""
    plain, places = "", dict[str, int]()
    for part in re.split("(</?e[12]>)", text):
        if part not in TAGS:
            plain += part
        elif part in places:
            raise ValueError(f"{part} twice")
        else:
            places[part] = len(plain)
    if lacking := [tag for tag in TAGS if tag not in places]:
        raise ValueError(f"no {' and no '.join(lacking)}")
    first, second = (_trimmed(plain, (places[f"<e{n}>"], places[f"</e{n}>"]), f"<e{n}>") for n in (1, 2))
    return plain, (first, second)


def _trimmed(text: str, span: Span, name: str) -> Span:
    inside = text[slice(*span)]
    if not inside.strip():
        raise ValueError(f"nothing in {name}" if span[0] <= span[1] else f"{name} after its end")
    start = span[0] + len(inside) - len(inside.lstrip())
    return start, start + len(inside.strip())


def marked(text: str, spans: tuple[Span, Span]) -> tuple[str, tuple[int, int]]:
    """The text with both entities between their marks, and where the first mark of each stands.

    Marks stand apart from words, so that they are tokens of their own. One entity may lie within the other.
    """
    edges = [(start, 1, -end, number) for number, (start, end) in enumerate(spans)]
    edges += [(end, 0, -start, number) for number, (start, end) in enumerate(spans)]
    made, last, places = "", 0, [0, 0]
    for at, opens, _, number in sorted(edges):
        made, last = made + text[last:at], at
        made += "" if not made or made[-1].isspace() else " "
        if opens:
            places[number] = len(made)
        made += MARKS[number] + ("" if not text[at:] or text[at].isspace() else " ")
    return made + text[last:], (places[0], places[1])


def encode(texts: Sequence[str], places: Sequence[tuple[int, int]], tokenizer: Any, max_length: int) -> dict[str, Any]:
    """Marked texts as flat columns with their `offsets`, from the cache when the same was encoded before.

    Of a text with more than `max_length` tokens those are kept that are nearest to one of the two first marks.
    Raises: BadOption when the tokenizer does not say where its tokens come from, BadInput when it drops a mark.
    """
    if not tokenizer.is_fast:
        raise BadOption(f"task.kind=relation: a {type(tokenizer).__name__} does not say where its tokens come from")

    def make() -> dict[str, np.ndarray]:
        out = tokenizer(list(texts), return_special_tokens_mask=True)
        names = [name for name in ("input_ids", "token_type_ids") if name in out]
        flat: dict[str, list[np.ndarray]] = {name: [] for name in (*names, COLUMN)}
        for i, pair in enumerate(places):
            at = [out.char_to_token(i, place) for place in pair]
            if None in at:
                raise BadInput(f"the model's tokenizer makes no token of the mark {MARKS[at.index(None)]}")
            kept = _nearest(at, np.array(out["special_tokens_mask"][i], bool), max_length)
            for name in names:
                flat[name].append(np.array(out[name][i], np.int32)[kept])
            flat[COLUMN].append((1 * (kept == at[0]) + 2 * (kept == at[1])).astype(np.int32))
        offsets = np.cumsum([0, *map(len, flat[COLUMN])], dtype=np.int64)
        return {"offsets": offsets, **{name: np.concatenate(parts) for name, parts in flat.items()}}

    return cache.arrays("encoded", encoded.key(tokenizer, f"{max_length} marked", texts, [*map(str, places)]), make)


def _nearest(at: Sequence[int], special: np.ndarray, room: int) -> np.ndarray:
    """Which tokens are kept, in their order: the special ones, and those nearest to the places `at`."""
    tokens = np.arange(len(special))
    distance = np.minimum(abs(tokens - at[0]), abs(tokens - at[1]))
    distance[special] = -1
    return np.sort(np.argsort(distance, kind="stable")[:room])
