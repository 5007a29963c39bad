"""Freeze strategies by name: each makes the phases of a run from the parts of a model and its options."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tl_run.errors import BadOption
from tl_run.model.anatomy import Anatomy


@dataclass(frozen=True)
class End:
    """A moment of a run: so many epochs, which may be broken, and steps from its beginning."""

    epochs: float
    steps: int = 0

    def step(self, per_epoch: int) -> int:
        """The optimizer step, where an epoch has `per_epoch`."""
        return round(self.epochs * per_epoch) + self.steps


@dataclass(frozen=True)
class Phase:
    """For a while `learns` learns, at `lr_factor` times the scheduled rates."""

    learns: frozenset[str]
    end: End | None = None
    """None: when its patience is over, or with the run."""
    lr_factor: float = 1.0
    patience: int | None = None
    """So many evaluations without a gain within the phase end it."""
    words: str = ""
    """What learns, for people."""
    still: frozenset[str] = frozenset()
    """Modules in eval mode though they or others in their parent learn: what they do lies below all that learns, or is
    to stay as it is."""


def none(anatomy: Anatomy, options: Any) -> list[Phase]:
    """Everything learns."""
    return _all_but(anatomy, ())


def trunk(anatomy: Anatomy, options: Any) -> list[Phase]:
    """All that the checkpoint brought stays (linear probing)."""
    return _all_but(anatomy, anatomy.brought)


def embeddings(anatomy: Anatomy, options: Any) -> list[Phase]:
    """Word, position and type embeddings stay."""
    _layers(anatomy, "freeze=embeddings")
    return _all_but(anatomy, anatomy.embeddings)


def bottom(anatomy: Anatomy, options: Any) -> list[Phase]:
    """Embeddings and the lowest layers stay; a number below 1 is a share of the layers."""
    count = _count(anatomy, options.layers, "freeze.layers")
    return _all_but(anatomy, [*anatomy.embeddings, *(name for layer in anatomy.layers[:count] for name in layer)])


def pattern(anatomy: Anatomy, options: Any) -> list[Phase]:
    """Whatever matches the regular expression stays."""
    return _all_but(anatomy, _matches(anatomy, options.pattern, "freeze.pattern"))


def all_but_bias(anatomy: Anatomy, options: Any) -> list[Phase]:
    """BitFit (arXiv:2106.10199): of the trunk only biases learn, and the head."""
    return _all_but(anatomy, [name for name in anatomy.brought if not name.endswith("bias")])


def all_but_norms(anatomy: Anatomy, options: Any) -> list[Phase]:
    """Of the trunk only the weights and biases of normalization layers learn, and the head (arXiv:2211.08682)."""
    return _all_but(anatomy, [name for name in anatomy.brought if name not in anatomy.norms])


def gradual(anatomy: Anatomy, options: Any) -> list[Phase]:
    """Gradual unfreezing (ULMFiT, arXiv:1801.06146, section 3.3): from the top down one layer more learns every time.

    The head alone for `head_first` epochs, then also the top and the last layer, ..., at last the embeddings. Where we
    differ: the rate follows one schedule over the whole run.
    """
    _layers(anatomy, "freeze=gradual")
    thawed = {*anatomy.head, *anatomy.fresh}
    phases = [Phase(frozenset(thawed), End(options.head_first))] if options.head_first else []
    thawed.update(anatomy.top)
    blocks = [names for names in (*reversed(anatomy.layers), anatomy.embeddings) if not anatomy.fresh.issuperset(names)]
    for number, names in enumerate(blocks, 1):
        thawed.update(names)
        steps = number * options.every_steps if options.every_steps else 0
        end = End(options.head_first + (0 if options.every_steps else number * options.every), steps)
        phases.append(Phase(frozenset(thawed), end if number < len(blocks) else None))
    return phases


def schedule(anatomy: Anatomy, options: Any) -> list[Phase]:
    """Phases as the user lists them."""
    return [
        Phase(
            frozenset(_learns(anatomy, phase.learns, f"freeze.phases[{number}].learns")),
            None if phase.until is phase.until_steps is None else End(phase.until or 0, phase.until_steps or 0),
            lr_factor=phase.lr_factor or 1.0,
            patience=phase.patience,
        )
        for number, phase in enumerate(options.phases)
    ]


STRATEGIES: Mapping[str, Callable[[Anatomy, Any], list[Phase]]] = {
    "none": none,
    "trunk": trunk,
    "embeddings": embeddings,
    "bottom": bottom,
    "pattern": pattern,
    "all_but_bias": all_but_bias,
    "all_but_norms": all_but_norms,
    "gradual": gradual,
    "schedule": schedule,
}


def _all_but(anatomy: Anatomy, stays: Iterable[str]) -> list[Phase]:
    """One phase in which these stay."""
    return [Phase(frozenset([*anatomy.trunk, *anatomy.head]) - frozenset(stays))]


def _learns(anatomy: Anatomy, what: str | float, option: str) -> Collection[str]:
    """`all`, `head`, so many layers (or a share of them) from the top with all above, or a regular expression."""
    if what in ("all", "head"):
        return anatomy.head if what == "head" else [*anatomy.trunk, *anatomy.head]
    if isinstance(what, str):
        return _matches(anatomy, what, option)
    below = len(anatomy.layers) - _count(anatomy, what, option)
    return [*(name for layer in anatomy.layers[below:] for name in layer), *anatomy.top, *anatomy.head]


def _count(anatomy: Anatomy, wanted: float, option: str) -> int:
    total = _layers(anatomy, option)
    count = wanted if isinstance(wanted, int) else round(wanted * total)
    if count > total:
        raise BadOption(f"{option}={count}, but the model has {total} layers: type a number from 1 to {total}")
    return count


def _layers(anatomy: Anatomy, option: str) -> int:
    """How many layers there are. Raises: BadOption when none were found."""
    if not anatomy.layers:
        raise BadOption(
            f"{option}: no list of equal layers was found in this model: type freeze=pattern with "
            f"freeze.pattern='<regular expression>' for what stays; names look like {_examples(anatomy)}"
        )
    return len(anatomy.layers)


def _matches(anatomy: Anatomy, pattern: str, option: str) -> list[str]:
    matched = [name for name in [*anatomy.trunk, *anatomy.head] if re.search(pattern, name)]
    if not matched:
        words = "; or type all, head, or a number of layers" if option.endswith("learns") else ""
        raise BadOption(f"{option}: '{pattern}' matches no parameter; names look like {_examples(anatomy)}{words}")
    return matched


def _examples(anatomy: Anatomy) -> str:
    names = [*anatomy.trunk, *anatomy.head]
    return ", ".join(dict.fromkeys([names[0], names[len(names) // 2], names[-1]]))
