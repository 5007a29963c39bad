"""What learns and what stays. Frozen means frozen: no gradient, eval mode, a hash of every tensor before and after."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tl_run.errors import BadOption
from tl_run.model.anatomy import Anatomy


@dataclass(frozen=True)
class Phase:
    """From now on `learns` learns, at `lr_factor` times the scheduled rates."""

    learns: frozenset[str]
    lr_factor: float = 1.0


def none(anatomy: Anatomy, options: Any) -> Iterable[str]:
    """Everything learns."""
    return ()


def trunk(anatomy: Anatomy, options: Any) -> Iterable[str]:
    """All that the checkpoint brought stays (linear probing)."""
    return anatomy.trunk


def embeddings(anatomy: Anatomy, options: Any) -> Iterable[str]:
    """Word, position and type embeddings stay."""
    return anatomy.embeddings


def bottom(anatomy: Anatomy, options: Any) -> Iterable[str]:
    """Embeddings and the lowest layers stay; a number below 1 is a share of the layers."""
    total = len(anatomy.layers)
    count = options.layers if isinstance(options.layers, int) else round(options.layers * total)
    if count > total:
        raise BadOption(f"freeze.layers={count}, but the model has {total} layers: type a number from 1 to {total}")
    return [*anatomy.embeddings, *(name for layer in anatomy.layers[:count] for name in layer)]


def pattern(anatomy: Anatomy, options: Any) -> Iterable[str]:
    """Whatever matches the regular expression stays."""
    names = [*anatomy.trunk, *anatomy.head]
    matched = [name for name in names if re.search(options.pattern, name)]
    if not matched:
        examples = ", ".join(dict.fromkeys([names[0], names[len(names) // 2], names[-1]]))
        raise BadOption(f"freeze.pattern: '{options.pattern}' matches no parameter; names look like {examples}")
    return matched


def all_but_bias(anatomy: Anatomy, options: Any) -> Iterable[str]:
    """BitFit (arXiv:2106.10199): of the trunk only biases learn, and the head."""
    return [name for name in anatomy.trunk if not name.endswith("bias")]


STRATEGIES: Mapping[str, Callable[[Anatomy, Any], Iterable[str]]] = {
    "none": none,
    "trunk": trunk,
    "embeddings": embeddings,
    "bottom": bottom,
    "pattern": pattern,
    "all_but_bias": all_but_bias,
}


class Freeze:
    """What learns at each step of a run.

    `ever` is what learns at any time: the optimizer holds it. What is never in it must not move, and is audited.
    `base` stays whatever the strategy says: weights that an adapter was put beside.
    """

    def __init__(self, anatomy: Anatomy, options: Any, base: frozenset[str] = frozenset()) -> None:
        stays = base | frozenset(STRATEGIES[options.name](anatomy, options))
        self.ever = frozenset([*anatomy.trunk, *anatomy.head]) - stays
        if not self.ever:
            raise BadOption(f"freeze={options.name} leaves nothing that learns: type another freeze, or freeze=none")
        self._phase = Phase(self.ever)

    def at(self, step: int) -> Phase:
        """The phase of an optimizer step; the same object for as long as nothing changes."""
        return self._phase


def apply(model: nn.Module, phase: Phase) -> None:
    """Set what requires a gradient, and train or eval mode block by block.

    A module in which nothing learns is in eval mode (no dropout, fixed statistics); one without parameters, such as a
    dropout, does as its parent does.
    """
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in phase.learns)
    _set_mode(model, True)


def _set_mode(module: nn.Module, parent: bool) -> None:
    parameters = list(module.parameters())
    module.training = any(p.requires_grad for p in parameters) if parameters else parent
    for child in module.children():
        _set_mode(child, module.training)


def fingerprints(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """sha256 of each tensor's bytes."""
    return {
        name: hashlib.sha256(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data).hexdigest()
        for name, tensor in tensors.items()
    }


def digest(prints: Mapping[str, str]) -> str:
    """One sha256 for many fingerprints."""
    return hashlib.sha256("".join(f"{name} {prints[name]}\n" for name in sorted(prints)).encode()).hexdigest()


def stays(model: nn.Module, ever: frozenset[str]) -> dict[str, torch.Tensor]:
    """The parameters that must not move in this run."""
    return {name: parameter for name, parameter in model.named_parameters() if name not in ever}


def moves(model: nn.Module, ever: frozenset[str]) -> dict[str, torch.Tensor]:
    """What may move: parameters that learn, and floating-point buffers (running statistics)."""
    state = model.state_dict(keep_vars=True)
    parameters = {name: p for name, p in model.named_parameters() if name in ever}
    buffers = {name: b for name, b in model.named_buffers() if name in state and b.is_floating_point()}
    return parameters | buffers


def audit(
    before: Mapping[str, str], model: nn.Module, ever: frozenset[str], initial: Mapping[str, str]
) -> dict[str, Any]:
    """Which tensors were to stay and did, which were to learn and moved.

    `before` holds the fingerprints of what stays, `initial` those of what learns.
    """
    after = fingerprints(stays(model, ever))
    broken = sorted(name for name in before if after[name] != before[name])
    now = fingerprints({name: p for name, p in model.named_parameters() if name in ever})
    return {
        "frozen": len(before),
        "frozen_moved": broken,
        "learning": len(initial),
        "learning_moved": sum(now[name] != initial[name] for name in initial),
    }
