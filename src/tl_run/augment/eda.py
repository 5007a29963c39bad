"""Easy data augmentation: words of a text change places, are left out, put in, or replaced (arXiv:1901.11196)."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tl_run.augment.augmented import Anew
from tl_run.data.encoded import Encoded
from tl_run.data.perturbation import UNSPACED, WORD

SALT = 5  # tells these draws from others of the same seed and epoch
INSIDE = re.compile(r"(\W*)(.*?)(\W*)", re.DOTALL)  # of a word what its punctuation surrounds
Words = list[tuple[str, str]]
"""Each with the space behind it."""


class Eda(Anew):
    """In each epoch one of the changes whose rate is not 0 is drawn for each text, of a `share` of the examples.

    Of l words n = max(1, round(rate * l)) are swapped, put in or replaced, and each is left out with the rate itself.
    Where we differ from the paper: texts are drawn anew in each epoch instead of added to the data once, so that epochs
    are as long as without; every word with a synonym may be taken, for what is no stop word is up to the list.
    """

    def __init__(self, options: Any, *, synonyms: Mapping[str, Sequence[str]], **given: Any) -> None:
        super().__init__(options, **given)
        self.synonyms = synonyms
        rates = {name: getattr(options, name) for name in CHANGES}
        shown = ", ".join(f"{name} {rate:g}" for name, rate in rates.items() if rate)
        self.words = f"eda: {options.share:.0%} of the training texts in each epoch: {shown or 'nothing'}"

    def make(self, encoded: Encoded, seed: int, epoch: int) -> Encoded:
        """Changed texts, encoded by the task itself."""
        made = []
        for number, example in enumerate(self.originals[id(encoded)]):
            draw = np.random.default_rng([seed, epoch, SALT, number])
            changed = draw.random() < self.augment.share
            made.append(
                self.task.disturbed(example, Changer(self.augment, self.synonyms, draw)) if changed else example
            )
        return self.task.encode(made, self.tokenizer)


@dataclass(frozen=True)
class Changer:
    """Changes one text after the other by its generator."""

    rates: Any
    synonyms: Mapping[str, Sequence[str]]
    draw: np.random.Generator

    def text(self, text: str) -> str:
        """A text with one change; where no words are written apart (Chinese, Japanese) a character is a word."""
        before = text[: len(text) - len(text.lstrip())]
        words: Words = [(found[1], found[2]) for found in WORD.finditer(text)]
        possible = [name for name in CHANGES if getattr(self.rates, name)]
        if not possible or not words:
            return text
        name = possible[int(self.draw.integers(len(possible)))]
        changed = CHANGES[name](words, getattr(self.rates, name), self.draw, self.synonyms)
        made = before + "".join(word + space for word, space in changed)
        return made if text[-1:].isspace() else made.rstrip()


def swap(words: Words, rate: float, draw: np.random.Generator, synonyms: Any = None) -> Words:
    """n times two words change places, and the spaces stay."""
    made, spaces = [word for word, _ in words], [space for _, space in words]
    for _ in range(_count(words, rate) if len(words) > 1 else 0):
        one, other = draw.choice(len(made), 2, replace=False)
        made[one], made[other] = made[other], made[one]
    return [*zip(made, spaces, strict=True)]


def delete(words: Words, rate: float, draw: np.random.Generator, synonyms: Any = None) -> Words:
    """Each word is left out with the rate, and its space with it; one is left in any case."""
    chances = draw.random(len(words))
    left = [pair for pair, chance in zip(words, chances, strict=True) if chance >= rate]
    return left or [words[int(chances.argmax())]]


def insert(words: Words, rate: float, draw: np.random.Generator, synonyms: Mapping[str, Sequence[str]]) -> Words:
    """n times a synonym of a word that has one is put before some word, or behind all."""
    known, made = [others for word, _ in words if (others := _synonyms(word, synonyms)[1])], [*words]
    for _ in range(_count(words, rate) if known else 0):
        others = known[int(draw.integers(len(known)))]
        new, place = others[int(draw.integers(len(others)))], int(draw.integers(len(made) + 1))
        if place == len(made) and not made[-1][1]:
            made[-1] = (made[-1][0], _space(new))
        made.insert(place, (new, _space(new)))
    return made


def replace(words: Words, rate: float, draw: np.random.Generator, synonyms: Mapping[str, Sequence[str]]) -> Words:
    """n words that have synonyms, or all of them, become one each; punctuation and a capital letter stay."""
    made, places = [*words], [i for i, (word, _) in enumerate(words) if _synonyms(word, synonyms)[1]]
    for i in draw.permutation(places)[: _count(words, rate)].tolist():
        (before, inside, behind), others = _synonyms(words[i][0], synonyms)
        new = others[int(draw.integers(len(others)))]
        new = new[:1].upper() + new[1:] if inside[:1].isupper() else new
        made[i] = (before + new + behind, words[i][1])
    return made


CHANGES: dict[str, Callable[..., Words]] = {"swap": swap, "delete": delete, "insert": insert, "replace": replace}


def _count(words: Words, rate: float) -> int:
    return max(1, round(rate * len(words)))


def _space(word: str) -> str:
    return "" if re.match(rf"[{UNSPACED}]", word) else " "


def _synonyms(word: str, synonyms: Mapping[str, Sequence[str]]) -> tuple[tuple[str, str, str], Sequence[str]]:
    """The word in three parts (what stands before and behind it is no letter), and what it may become."""
    found = INSIDE.fullmatch(word)
    assert found
    before, inside, behind = found.groups()
    return (before, inside, behind), synonyms.get(inside.lower(), ())
