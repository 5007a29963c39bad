"""How steps are made of gradients."""

from dataclasses import dataclass
from typing import Annotated, Literal

from tl_run.config.options.ranges import NotNegative, Positive
from tl_run.config.schema import Range

Schedule = Literal[
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "slanted_triangular",
]


@dataclass(frozen=True)
class Adam:
    """Adam, or AdamW (decoupled weight decay, arXiv:1711.05101)."""

    name: Literal["adamw", "adam"]
    lr: Positive
    """Peak learning rate of what lies at the top of the trunk."""
    head_lr: Positive | None
    """Learning rate of the new head; null: the same as lr."""
    layer_decay: Annotated[float, Range(above=0, at_most=1)]
    """Each layer further down learns at this factor of the one above; 1: all alike."""
    weight_decay: NotNegative
    """Not applied to biases and norms."""
    schedule: Schedule
    warmup: NotNegative
    """Steps (1 or more) or share of all steps (below 1) in which the rate rises from 0."""
    betas: list[Annotated[float, Range(at_least=0, below=1)]]
    eps: Positive


@dataclass(frozen=True)
class Sgd:
    """Stochastic gradient descent."""

    name: Literal["sgd"]
    lr: Positive
    head_lr: Positive | None
    layer_decay: Annotated[float, Range(above=0, at_most=1)]
    weight_decay: NotNegative
    schedule: Schedule
    warmup: NotNegative
    momentum: Annotated[float, Range(at_least=0, below=1)]
    nesterov: bool


Optimizer = Adam | Sgd
