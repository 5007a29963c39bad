"""How knowledge moves from the pretrained model to the task: one dataclass for each method."""

from dataclasses import dataclass
from typing import Annotated, Literal

from tl_run.config.options.ranges import Count, NotNegative, Positive, Share
from tl_run.config.schema import Range


@dataclass(frozen=True)
class Method:
    """What every method has."""

    divisible = True
    """Whether its loss is a sum over examples, so that a batch may be cut and shared."""

    name: str

    @property
    def takes_domain(self) -> bool:
        """Whether it learns from unlabelled examples of another domain (task.domain.train)."""
        return False


@dataclass(frozen=True)
class FineTune(Method):
    """Training goes on from the pretrained weights on the task's labels."""

    name: Literal["finetune"]


@dataclass(frozen=True)
class Adaptation(Method):
    """Beside the task's loss a term that makes the vectors of both domains alike."""

    weight: NotNegative
    """What the term counts beside the task's loss."""
    schedule: Literal["ramp", "constant"]
    """ramp: the weight rises from 0 as 2 / (1 + exp(-10 p)) - 1, where p goes from 0 to 1 over the run
    (arXiv:1505.07818, section 5.2.2)."""

    @property
    def takes_domain(self) -> bool:
        """Always."""
        return True


@dataclass(frozen=True)
class Mmd(Adaptation):
    """Maximum mean discrepancy (arXiv:1502.02791)."""

    divisible = False

    name: Literal["mmd"]
    bandwidths: list[Positive]
    """A kernel for each: exp(-distance^2 / (bandwidth * mean distance^2 of the batch)); their mean is taken."""


@dataclass(frozen=True)
class Coral(Adaptation):
    """Distance of second-order statistics (arXiv:1607.01719)."""

    divisible = False

    name: Literal["coral"]


@dataclass(frozen=True)
class Dann(Adaptation):
    """A domain classifier with the gradient reversed below it (arXiv:1505.07818)."""

    name: Literal["dann"]
    hidden: Count
    """Units of the domain classifier's hidden layer."""


@dataclass(frozen=True)
class Cdan(Adaptation):
    """As dann, and the domain classifier sees vector and prediction together (arXiv:1705.10667)."""

    name: Literal["cdan"]
    hidden: Count
    """Units of the domain classifier's hidden layer."""
    entropy: bool
    """Whether examples with sure predictions count more: 1 + exp(-entropy)."""


@dataclass(frozen=True)
class FrozenFeatures(Method):
    """Features of the frozen trunk, prepared for a head that is solved on them."""

    name: Literal["features"]
    select: Literal["none", "anova", "l1"]
    """Which are kept: those with the largest F between labels, or the largest coefficients with an L1 penalty."""
    keep: Annotated[int, Range(at_least=1)] | Share
    """How many: a whole number, or a share of them such as 0.5."""
    autoencoder: Count | None
    """To so many dimensions features are reduced by an autoencoder, after the selection; null: they are not."""
    tfidf: bool
    """Whether TF-IDF of the model's tokens stands beside the features."""
    align: Literal["none", "coral"]
    """coral: features of the new domain (task.domain.train) get the statistics of the old one (arXiv:1511.05547)."""

    @property
    def takes_domain(self) -> bool:
        """Where it aligns."""
        return self.align != "none"


Transfer = FineTune | Mmd | Coral | Dann | Cdan | FrozenFeatures
