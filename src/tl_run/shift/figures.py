"""All figures of a shift: source against target, and the same of two halves of the source, drawn alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tl_run.shift import distances, words
from tl_run.shift.sides import Sample


@dataclass(frozen=True)
class Portrait:
    """A sample by itself."""

    words_per_text: float
    tokens_per_word: float
    """Of the model's tokenizer, and punctuation marks count as words (fertility, arXiv:2012.15613)."""
    unknown_tokens: float
    """Share of tokens."""
    cut_texts: float
    """Share of texts of which the model does not see the end."""
    labels: dict[str, float] | None
    """Share of each; None where there are none."""


@dataclass(frozen=True)
class Apart:
    """The second of two samples beside the first; None is told where there is nothing to count."""

    domain_error: float
    a_distance: float
    mmd: float
    """MMD^2."""
    mmd_p: float
    vocabulary_overlap: float | None
    out_of_vocabulary: float | None
    differ: bool
    """Whether the vectors allow to say so."""
    label_total_variation: float | None
    label_jensen_shannon: float | None


@dataclass(frozen=True)
class Shift:
    """What is told, and what it is told of."""

    texts: int
    """Of each of three samples: source, source again (`half`), target."""
    shared_texts: int
    """Of the target's sample, those that are in the source's too."""
    words: int
    """Of each sample, for the overlap."""
    source: Portrait
    half: Portrait
    target: Portrait
    shift: Apart
    """Source to target."""
    yardstick: Apart
    """Source to the other half of the source."""


Vectors = Callable[[Sequence[str]], np.ndarray]
Pieces = Callable[[Sequence[str]], tuple[int, float, float]]


def measure(drawn: tuple[Sample, Sample, Sample], vectors: Vectors, pieces: Pieces, seed: int) -> Shift:
    """All figures of source, source again, and target. `vectors` and `pieces` are as in shift.vectors."""
    found = [words.words(sample.texts) for sample in drawn]
    count = min(map(len, found))
    made = [vectors(sample.texts) for sample in drawn]
    width = distances.width_of(np.concatenate(made))  # one kernel, for figures that can be compared
    portraits = [_portrait(sample, own, pieces) for sample, own in zip(drawn, found, strict=True)]

    def apart(other: int) -> Apart:
        error = distances.domain_error(made[0], made[other], seed)
        mmd, p = distances.mmd(made[0], made[other], width, seed)
        shares = portraits[0].labels, portraits[other].labels
        both = distances.label_shift(shares[0], shares[1]) if shares[0] and shares[1] else (None, None)
        return Apart(
            domain_error=error,
            a_distance=distances.a_distance(error),
            mmd=mmd,
            mmd_p=p,
            vocabulary_overlap=words.overlap(found[0], found[other], count, seed),
            out_of_vocabulary=words.out_of_vocabulary(found[0], found[other]),
            differ=distances.differ(error, len(made[0]) + len(made[other]), p),
            label_total_variation=both[0],
            label_jensen_shannon=both[1],
        )

    source, half, target = portraits
    known = {*drawn[0].texts}
    return Shift(
        texts=len(drawn[0].texts),
        shared_texts=sum(text in known for text in drawn[2].texts),
        words=count,
        source=source,
        half=half,
        target=target,
        shift=apart(2),
        yardstick=apart(1),
    )


def _portrait(sample: Sample, found: Sequence[str], pieces: Pieces) -> Portrait:
    tokens, unknown, cut = pieces(sample.texts)
    return Portrait(
        words_per_text=len(found) / len(sample.texts),
        tokens_per_word=tokens / max(sum(map(len, words.parts(sample.texts))), 1),
        unknown_tokens=unknown,
        cut_texts=cut,
        labels=(distances.label_shares(sample.labels) or None) if sample.labels else None,
    )
