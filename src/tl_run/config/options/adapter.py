"""What is put into the trunk."""

from dataclasses import dataclass
from typing import Annotated, Literal

from tl_run.config.options.ranges import Count, Positive
from tl_run.config.schema import Range


@dataclass(frozen=True)
class NoAdapter:
    """Nothing is put in."""

    name: Literal["none"]
    lr_factor: Positive


@dataclass(frozen=True)
class Lora:
    """LoRA (arXiv:2106.09685): beside chosen weights of the trunk a product of two small matrices learns."""

    name: Literal["lora"]
    lr_factor: Positive
    rank: Count
    """Width between the two matrices."""
    alpha: Positive
    """What is learned counts alpha / rank times."""
    dropout: Annotated[float, Range(at_least=0, below=1)]
    """On the input of the two matrices."""
    targets: list[Literal["query", "key", "value", "output", "feed_forward"]]
    """Beside which weights of a layer, by role: the same for every architecture."""


Adapter = NoAdapter | Lora
