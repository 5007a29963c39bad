"""What a model is made of, found by structure: embeddings, layers from the bottom up, what lies above, and the head."""

from collections.abc import Collection
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Anatomy:
    """Names of parameters. Trunk: what the checkpoint brought (pooler included); head: what is new."""

    embeddings: tuple[str, ...]
    layers: tuple[tuple[str, ...], ...]
    top: tuple[str, ...]
    head: tuple[str, ...]
    base: str = ""
    """What the names of the base model's parameters begin with, `bert.` for one; empty when the model is the base."""
    path: str | None = None
    """The name of the list of layers."""

    @property
    def trunk(self) -> tuple[str, ...]:
        """Every parameter but the head's."""
        return (*self.embeddings, *(name for layer in self.layers for name in layer), *self.top)


def anatomy(model: nn.Module, new: Collection[str] = ()) -> Anatomy:
    """Take a transformers model apart: `new` names the parameters that the checkpoint did not bring.

    The layers are the longest list of equal blocks in the base model; what is registered before them embeds, what comes
    after (pooler, final norm) is the top. Parameters outside the base model, and new ones, are the head.
    """
    base = getattr(model, "base_model", model)
    prefix = "" if base is model else next(name + "." for name, module in model.named_modules() if module is base)
    lists = [(name, m) for name, m in base.named_modules() if isinstance(m, nn.ModuleList) and len(m) and _alike(m)]
    found = max(lists, key=lambda item: len(item[1]), default=None)
    parts: dict[str, list[str]] = {"embeddings": [], "top": [], "head": []}
    layers: list[list[str]] = [[] for _ in found[1]] if found else []
    blocks, reached = prefix + found[0] + "." if found else "", False
    for name, _ in model.named_parameters():
        inside = bool(found) and name.startswith(blocks)
        reached |= inside
        if name in new or not name.startswith(prefix):
            parts["head"].append(name)
        elif inside:
            layers[int(name.removeprefix(blocks).split(".", 1)[0])].append(name)
        else:
            parts["top" if reached else "embeddings"].append(name)
    return Anatomy(
        tuple(parts["embeddings"]),
        tuple(tuple(layer) for layer in layers),
        tuple(parts["top"]),
        tuple(parts["head"]),
        prefix,
        blocks.removesuffix(".") or None,
    )


def _alike(blocks: nn.ModuleList) -> bool:
    return len({type(block) for block in blocks}) == 1 and any(True for _ in blocks[0].parameters())
