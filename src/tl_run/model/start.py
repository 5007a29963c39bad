"""Where each tensor of a model begins: copied from a checkpoint, or fresh; and what of the checkpoint goes nowhere."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

SHOWN = 4  # modules, in a line
NAMED = 50  # rows, in result.json
NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True)
class Start:
    """Names of tensors, in their order: the model's own that are copied and that are fresh, and those of the checkpoint
    that are left behind."""

    copied: tuple[str, ...]
    fresh: tuple[str, ...]
    left: tuple[str, ...]
    rows: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    """Where rows are copied one by one, as a graph's vectors are: for each kind of them which names are copied, fresh
    and left behind."""

    @classmethod
    def of(cls, model: nn.Module, fresh: Collection[str], left: Iterable[str]) -> "Start":
        """`fresh` may name what the model does not keep."""
        names = [*tensors(model)]
        return cls(
            tuple(name for name in names if name not in fresh),
            tuple(name for name in names if name in fresh),
            tuple(sorted(left)),
        )

    def under(self, prefix: str, model: nn.Module, copied: Iterable[str]) -> "Start":
        """The same when the model has become the part `prefix` of a larger one, of which also `copied` is copied."""
        known = {*(f"{prefix}.{name}" for name in self.copied), *copied}
        return Start.of(model, tensors(model).keys() - known, self.left)

    def leaving(self, names: Iterable[str]) -> "Start":
        """The same with more of the checkpoint that is left behind."""
        return replace(self, left=(*self.left, *names))

    def as_data(self) -> dict[str, list[str]]:
        """Every name, those that differ in their first number or last part together; of rows the count, and some."""
        if self.rows:
            counted = [
                (what, f"{kind} ({len(names):,}): {_some(names, NAMED)}")
                for kind, origin in self.rows.items()
                for what, names in origin.items()
                if names
            ]
            return {what: [words for w, words in counted if w == what] for what in ("copied", "fresh", "left_behind")}
        return {"copied": together(self.copied), "fresh": together(self.fresh), "left_behind": together(self.left)}

    def words(self) -> str:
        """In a line: how many tensors, and which modules are fresh or left behind; of rows how many of each kind."""
        if self.rows:
            return "; ".join(
                f"{kind}: "
                + ", ".join(f"{len(names):,} {what.replace('_', ' ')}" for what, names in origin.items() if names)
                for kind, origin in self.rows.items()
            )
        some = [f"{len(self.copied):,} tensors copied"] if self.copied else []
        for names, what in ((self.fresh, "fresh"), (self.left, "left behind")):
            modules = [module.rstrip(".") for module in together(dict.fromkeys(map(_module, names)))]
            more = ", ..." if len(modules) > SHOWN else ""
            named = f": {', '.join(modules[:SHOWN])}{more}" if self.copied else ""
            some += [f"{len(names):,} {what}{named}"] if names else []
        return "; ".join(some)


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers that are saved, by name; a tied one once."""
    found: dict[int, str] = {}
    every = model.state_dict(keep_vars=True)
    for name, tensor in every.items():
        found.setdefault(id(tensor), name)
    return {name: every[name] for name in found.values()}


def together(names: Iterable[str]) -> list[str]:
    """Names that differ in their first number, or then in their last part, as one: layer.{0-5}.query.{bias,weight}."""
    numbers: dict[str, list[int]] = {}
    for name in names:
        found = NUMBER.search(name)
        key = NUMBER.sub("{}", name, count=1) if found else name
        numbers.setdefault(key, []).extend([int(found[0])] if found else [])
    ends: dict[str, list[str]] = {}
    for key, found in numbers.items():
        whole = key.replace("{}", _numbers(sorted(found)), 1) if found else key
        stem, dot, end = whole.rpartition(".")
        ends.setdefault(stem + dot or whole, []).append(end if dot else "")
    return [stem + _braced(found) for stem, found in ends.items()]


def _some(names: Sequence[str], count: int) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def _module(name: str) -> str:
    """The layer that a tensor is in, or else its module: what stands before its last part."""
    found = NUMBER.search(name)
    return f"{name[: found.end()]}." if found else name.rpartition(".")[0]


def _numbers(found: list[int]) -> str:
    whole = len(found) > 1 and found[-1] - found[0] == len(found) - 1
    return f"{{{found[0]}-{found[-1]}}}" if whole else _braced([*map(str, found)])


def _braced(found: list[str]) -> str:
    return f"{{{','.join(found)}}}" if len(found) > 1 else found[0]
