"""Texts disturbed on purpose: typing mistakes, other letter case, words left out. To ask a model how much it bears.

What becomes of a word is a function of seed, kind and the words of its text: neither the order of a file nor its other
rows matter. The word that is disturbed at one rate is disturbed in the same way at every higher one.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise

import numpy as np

Span = tuple[int, int]
"""First character and the one after the last."""
KINDS = ("typos", "case", "drop")

# A word is what stands between spaces; where none are written (Chinese, Japanese) a character is one.
UNSPACED = "\u2e80-\ua4cf\uf900-\ufaff\U00020000-\U0003fa1f"
WORD = re.compile(rf"([{UNSPACED}]|[^\s{UNSPACED}]+)(\s*)")
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
NEIGHBOURS = {
    key: [
        ROWS[row][at]
        for row, at in ((y, x - 1), (y, x + 1), (y - 1, x), (y - 1, x + 1), (y + 1, x - 1), (y + 1, x))
        if 0 <= row < len(ROWS) and 0 <= at < len(ROWS[row])
    ]
    for y, keys in enumerate(ROWS)
    for x, key in enumerate(keys)
}
"""The keys beside a key: each row of the keyboard is half a key further right than the one above."""


@dataclass(frozen=True)
class Disturbance:
    """What is done to texts: `kind`, a key of KINDS, to a share `rate` of their words, drawn by `seed`."""

    kind: str
    rate: float
    seed: int

    def words(self, words: Sequence[str], kept: Collection[int] = ()) -> list[str | None]:
        """The same number of words, None for those that are left out; never those numbered in `kept`, and never all."""
        text = "\0".join([self.kind, *words])
        key = [self.seed, *np.frombuffer(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), np.uint32)]
        draws = np.random.default_rng(key).random(len(words))
        chosen = np.flatnonzero(draws < self.rate).tolist()
        if self.kind == "drop":
            out = {*chosen} - {*kept}
            if words and len(out) == len(words):
                out -= {int(draws.argmax())}
            return [None if i in out else word for i, word in enumerate(words)]
        change, letters = CHANGES[self.kind], [c for c in "".join(words) if c.isalpha() and c.lower() not in NEIGHBOURS]
        made: list[str | None] = [*words]
        for i in chosen:
            made[i] = change(words[i], letters, np.random.default_rng([*key, i]))
        return made

    def text(self, text: str) -> str:
        """A text, its words disturbed and what stands between them left."""
        made = self.marked(text, ())[0]
        return made if text[-1:].isspace() else made.rstrip()

    def marked(self, text: str, spans: Sequence[Span]) -> tuple[str, list[Span]]:
        """A text and where its spans are now; no word of a span is left out, with others the space behind them is."""
        edges = sorted({0, len(text), *chain.from_iterable(spans)})
        within = [*pairwise(edges)]
        found = [(word[1], part) for part in within for word in WORD.finditer(text[slice(*part)])]
        inside = [i for i, (_, (start, end)) in enumerate(found) if any(a <= start and end <= b for a, b in spans)]
        words = iter(self.words([word for word, _ in found], inside))
        made = [
            WORD.sub(lambda found: f"{word}{found[2]}" if (word := next(words)) else "", text[a:b]) for a, b in within
        ]
        moved = dict(zip(edges, accumulate(map(len, made), initial=0), strict=True))
        return "".join(made), [(moved[start], moved[end]) for start, end in spans]


def _typo(word: str, letters: Sequence[str], draw: np.random.Generator) -> str:
    """One letter swapped with the next, left out, preceded or replaced by one of a neighbouring key.

    For a letter that is on no key (accents, other scripts) that is another letter of the same text. What has no letter
    stays, and no word is left empty.
    """
    places = [i for i, letter in enumerate(word) if letter.isalpha()]
    if not places:
        return word
    at = places[int(draw.integers(len(places)))]
    before, letter, behind = word[:at], word[at], word[at + 1 :]
    near = NEIGHBOURS.get(letter.lower(), letters)
    other = near[int(draw.integers(len(near)))]
    other = other.upper() if letter.isupper() else other
    made = [before + other + letter + behind, before + other + behind, before + behind]
    if behind[:1].isalpha():
        made.append(before + behind[0] + letter + behind[1:])
    made = [new for new in made if new and new != word]
    return made[int(draw.integers(len(made)))]


def _case(word: str, letters: Sequence[str], draw: np.random.Generator) -> str:
    """In capitals, in small letters, with a capital first, or each letter at random; one of those that differ."""
    flips = draw.random(len(word)) < 0.5
    mixed = "".join(c.swapcase() if flip else c for c, flip in zip(word, flips, strict=True))
    made = [new for new in (word.upper(), word.lower(), word.capitalize(), mixed) if new != word]
    return made[int(draw.integers(len(made)))] if made else word


CHANGES: dict[str, Callable[[str, Sequence[str], np.random.Generator], str]] = {"typos": _typo, "case": _case}
