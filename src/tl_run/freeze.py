"""What learns and what stays. Frozen means frozen: no gradient, eval mode, a hash of every tensor before and after."""

from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import nn

from tl_run.errors import BadOption
from tl_run.model.anatomy import Anatomy
from tl_run.strategies import STRATEGIES, Phase


class Position(Protocol):
    """What of a run's state says what learns now."""

    phase: int


class Freeze:
    """What learns at each step of a run: its phases, known from the start.

    `ever` is what learns at any time: the optimizer holds it. What is never in it must not move, and is audited.
    `base` stays whatever the strategy says: weights that an adapter was put beside. With `fixed_statistics` batch
    normalization is in eval mode all the time, though its weights may learn.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        options: Any,
        base: frozenset[str] = frozenset(),
        fixed_statistics: bool = False,
    ) -> None:
        fixed = anatomy.statistics if fixed_statistics else frozenset()
        lowest = {*[*anatomy.blocks.values()][-1]}
        self.phases = tuple(
            replace(
                phase,
                learns=(learns := phase.learns - base),
                words=anatomy.words(learns),
                still=fixed if learns & lowest else fixed.union(anatomy.frame),
            )
            for phase in STRATEGIES[options.name](anatomy, options)
        )
        if not all(phase.learns for phase in self.phases):
            raise BadOption(f"freeze={options.name} leaves nothing that learns: {_remedy(anatomy, options)}")
        self.ever = frozenset[str]().union(*(phase.learns for phase in self.phases))

    def learns_in(self, module: str) -> bool:
        """Whether something within a module learns at any time."""
        return any(name.startswith(f"{module}.") for name in self.ever)

    def at(self, state: Position) -> Phase:
        """The phase of a run in this state; the same object for as long as nothing changes."""
        return self.phases[state.phase]

    def learned(self, state: Position) -> frozenset[str]:
        """What has learned up to this state: less than `ever` where the run is too short for all phases."""
        return frozenset[str]().union(*(phase.learns for phase in self.phases[: state.phase + 1]))


def _remedy(anatomy: Anatomy, options: Any) -> str:
    if anatomy.head:
        return "type another freeze, or freeze=none"
    if not anatomy.layers:
        return "nothing in the model is new: type freeze=pattern freeze.pattern=<what stays>, or freeze=none"
    why = "the model has no head, it writes with its embeddings"
    if options.name == "gradual":
        return f"{why}: type freeze.head_first=0"
    return f"{why}: type freeze=bottom freeze.layers={max(1, len(anatomy.layers) - 1)}, or freeze=none adapter=lora"


def apply(model: nn.Module, phase: Phase) -> None:
    """Set what requires a gradient, and train or eval mode block by block.

    A module in which nothing learns is in eval mode (no dropout, fixed statistics); one without parameters, such as a
    dropout, does as its parent does, but for those whose place is below all that learns.
    """
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in phase.learns)
    _set_mode(model, True)
    for name in phase.still:
        model.get_submodule(name).training = False


def _set_mode(module: nn.Module, parent: bool) -> None:
    parameters = list(module.parameters())
    module.training = any(p.requires_grad for p in parameters) if parameters else parent
    for child in module.children():
        _set_mode(child, module.training)


def moves(model: nn.Module, ever: frozenset[str]) -> dict[str, torch.Tensor]:
    """What may move: parameters that learn, and buffers (running statistics, and of how many batches)."""
    state = model.state_dict(keep_vars=True)
    parameters = {name: p for name, p in model.named_parameters() if name in ever}
    buffers = {name: b for name, b in model.named_buffers() if name in state}
    return parameters | buffers
