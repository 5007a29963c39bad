"""Words, and how many of them two samples share."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*"
"""Scripts that put no space between words: a character, with its marks, is a word."""


def parts(texts: Sequence[str]) -> list[list[str]]:
    """The words and punctuation marks of each text, in lower case.

    BERT's way without its vocabulary (arXiv:1810.04805): a text is cut at spaces, around punctuation, and around each
    character of UNSPACED.
    """
    normalize, cut = _cutter()
    return [[part for part, _ in cut.pre_tokenize_str(normalize.normalize_str(text))] for text in texts]


def words(texts: Sequence[str]) -> list[str]:
    """The words of all texts, one after the other: parts with a letter or digit."""
    return [part for text in parts(texts) for part in text if any(map(str.isalnum, part))]


def out_of_vocabulary(source: Sequence[str], target: Sequence[str]) -> float | None:
    """The share of the target's words that occur nowhere in the source, repeated ones counted each time."""
    known = {*source}
    return sum(word not in known for word in target) / len(target) if target else None


def overlap(first: Sequence[str], second: Sequence[str], count: int, seed: int) -> float | None:
    """Jaccard's index of the types in `count` words of each: those in both, as a share of those in either.

    Of more words there are more types: only samples with as many words can be compared.
    """
    drawn = [
        {words[i] for i in np.random.default_rng([seed, number]).permutation(len(words))[:count]}
        for number, words in enumerate((first, second))
    ]
    either = drawn[0] | drawn[1]
    return len(drawn[0] & drawn[1]) / len(either) if either else None


@lru_cache(maxsize=1)
def _cutter() -> tuple[Any, Any]:
    from tokenizers import Regex, normalizers, pre_tokenizers

    alone = pre_tokenizers.Split(Regex(UNSPACED), "isolated")
    return (
        normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()]),
        pre_tokenizers.Sequence([alone, pre_tokenizers.BertPreTokenizer()]),
    )
