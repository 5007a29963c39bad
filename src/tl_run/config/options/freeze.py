"""What stays, and when."""

from dataclasses import dataclass
from typing import Annotated, Literal

from tl_run.config.options.ranges import Count, NotNegative, Positive, Share
from tl_run.config.schema import Range


@dataclass(frozen=True)
class FreezeNone:
    """Everything learns."""

    name: Literal["none"]
    lr_factor: Positive


@dataclass(frozen=True)
class FreezeTrunk:
    """Linear probing: all that the checkpoint brought stays, only the new head learns."""

    name: Literal["trunk"]
    lr_factor: Positive


@dataclass(frozen=True)
class FreezeEmbeddings:
    """Word, position and type embeddings stay."""

    name: Literal["embeddings"]
    lr_factor: Positive


@dataclass(frozen=True)
class FreezeBottom:
    """Embeddings and the lowest layers stay."""

    name: Literal["bottom"]
    lr_factor: Positive
    layers: Annotated[int, Range(at_least=1)] | Share
    """How many layers from the bottom: a whole number, or a share of them such as 0.5."""


@dataclass(frozen=True)
class FreezePattern:
    """Parameters whose name matches a regular expression stay."""

    name: Literal["pattern"]
    lr_factor: Positive
    pattern: str
    """Regular expression, searched for in parameter names."""


@dataclass(frozen=True)
class FreezeAllButBias:
    """BitFit (arXiv:2106.10199): only biases and the head learn."""

    name: Literal["all_but_bias"]
    lr_factor: Positive


@dataclass(frozen=True)
class FreezeAllButNorms:
    """Only weights and biases of normalization layers and the head learn."""

    name: Literal["all_but_norms"]
    lr_factor: Positive


@dataclass(frozen=True)
class FreezeGradual:
    """Gradual unfreezing (ULMFiT, arXiv:1801.06146): from the top down one layer more learns every time."""

    name: Literal["gradual"]
    lr_factor: Positive
    every: Positive
    """Epochs between one layer and the next; below 1: several layers in an epoch."""
    every_steps: Count | None
    """Optimizer steps between one layer and the next, instead of epochs."""
    head_first: NotNegative
    """Epochs in which only the head learns, before the first layer does."""


@dataclass(frozen=True)
class FreezePhase:
    """One entry of freeze.phases; what may be null may be left out."""

    until: Positive | None
    """Epoch at whose end the phase ends, counted from the beginning of the run; the last phase ends with the run."""
    until_steps: Count | None
    """Optimizer step at which it ends, instead of an epoch."""
    learns: int | float | str
    """all, head, so many layers from the top (a number, or a share such as 0.5), or a regular expression for names."""
    lr_factor: Positive | None
    """On the scheduled rates; null: 1."""
    patience: Count | None
    """Evaluations without gain within the phase after which the next begins; after the last training stops."""


@dataclass(frozen=True)
class FreezeSchedule:
    """Phases, one after the other."""

    name: Literal["schedule"]
    lr_factor: Positive
    phases: list[FreezePhase]
    """The phases in their order."""


Freeze = (
    FreezeNone
    | FreezeTrunk
    | FreezeEmbeddings
    | FreezeBottom
    | FreezePattern
    | FreezeAllButBias
    | FreezeAllButNorms
    | FreezeGradual
    | FreezeSchedule
)
