"""How training examples are changed, and no others: one dataclass for each augmentation."""

from dataclasses import dataclass
from typing import Annotated, Literal

from tl_run.config.options.ranges import Count, Positive
from tl_run.config.schema import Range

Part = Annotated[float, Range(at_least=0, at_most=1)]


@dataclass(frozen=True)
class AnyAugmentation:
    """What every augmentation has."""

    anew = False
    """Whether the model reads other inputs in each epoch, so that nothing of them can be stored."""

    name: str


@dataclass(frozen=True)
class NoAugmentation(AnyAugmentation):
    """Training examples are read as they are."""

    name: Literal["none"]


@dataclass(frozen=True)
class Eda(AnyAugmentation):
    """Easy data augmentation (arXiv:1901.11196): one of four changes of words, drawn for each text and epoch."""

    anew = True

    name: Literal["eda"]
    share: Part
    """The part of the training texts that is changed in an epoch; the others are read as they are."""
    swap: Part
    """Two words change places, so often: this share of the number of words."""
    delete: Part
    """How likely each word is left out."""
    insert: Part
    """Synonyms put in at any place, as a share of the number of words; needs `synonyms`."""
    replace: Part
    """Words replaced by synonyms, as a share of the number of words; needs `synonyms`."""
    synonyms: str | None
    """Text file in UTF-8 with a group of words on each line, any of which may stand for the others; spaces or commas
    stand between them."""


@dataclass(frozen=True)
class TokenDropout(AnyAugmentation):
    """Some of the model's tokens are hidden or left out (blanking, arXiv:1703.02573)."""

    anew = True

    name: Literal["token_dropout"]
    rate: Part
    """How likely each token is chosen, drawn anew in each epoch."""
    how: Literal["mask", "unk", "drop"]
    """What becomes of it: the token that hides one (mask), the one for unknown words (unk), or nothing (drop)."""


@dataclass(frozen=True)
class Mixup(AnyAugmentation):
    """Each training text is mixed with another one, and so are their losses (arXiv:1905.08941)."""

    name: Literal["mixup"]
    alpha: Positive
    """Shares are drawn from Beta(alpha, alpha): 1 is any share alike, less is mostly one of both texts."""
    at: Literal["sentence", "embeddings"]
    """What is mixed: what enters the last layer (senMixup), or the embeddings of the words (wordMixup)."""

    @property
    def anew(self) -> bool:  # type: ignore[override]
        """Of whole texts the states are those of each."""
        return self.at == "embeddings"


@dataclass(frozen=True)
class BackTranslation(AnyAugmentation):
    """Training texts are read as two models have translated them, there and back (arXiv:1511.06709)."""

    anew = True

    name: Literal["back_translation"]
    there: str
    """Hub id or folder of an encoder-decoder that translates into another language."""
    back: str
    """Hub id or folder of an encoder-decoder that translates back."""
    share: Part
    """The part of the training texts whose translation is read in an epoch."""
    beams: Count
    """Texts that are followed while one is written."""
    max_length: Annotated[int, Range(at_least=4)]
    """Tokens that are read of a text, and written at most."""


@dataclass(frozen=True)
class PictureChanges(AnyAugmentation):
    """Training pictures are cropped and mirrored: what task.flip and task.crop are, unless they are typed."""

    name: Literal["images"]
    flip: bool
    """Whether every second training picture is mirrored, drawn anew each epoch."""
    crop: Annotated[float, Range(above=0, at_most=1)]
    """Training pictures are square parts, drawn anew each epoch, with a side of this share of the picture's or more."""


Augment = NoAugmentation | Eda | TokenDropout | Mixup | BackTranslation | PictureChanges
