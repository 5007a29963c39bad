"""What a model is made of, found by structure: embeddings, layers from the bottom up, what lies above, and the head."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass(frozen=True)
class Anatomy:
    """Names of parameters. Trunk: the base model (pooler included); head: what is new above the layers."""

    embeddings: tuple[str, ...]
    layers: tuple[tuple[str, ...], ...]
    top: tuple[str, ...]
    head: tuple[str, ...]
    fresh: frozenset[str]
    """Of layers and embeddings what is new."""
    norms: frozenset[str]
    """Weights and biases of normalization layers, wherever they are."""
    statistics: frozenset[str]
    """Modules that normalize by statistics of the batch, and keep them for evaluation."""
    base: str
    """Name of the base module in the model; empty when it is the model itself."""
    path: str | None
    """Name of the nn.ModuleList that holds the layers; None when there is none, or one in encoder and decoder each."""
    frame: tuple[str, ...]
    """Modules that hold the layers, the base first, and those without parameters beside the layers.

    What they compute of their own goes into the layers: GPT-2's dropout, T5's, BART's functional one and its layerdrop.
    """
    repeats: int
    """How often the layers are run: above 1 where they are shared (ALBERT)."""

    @property
    def trunk(self) -> tuple[str, ...]:
        """Every parameter but the head's."""
        return (*self.embeddings, *(name for layer in self.layers for name in layer), *self.top)

    @property
    def brought(self) -> tuple[str, ...]:
        """Every parameter of the trunk that is not new: the checkpoint brought it."""
        return tuple(name for name in self.trunk if name not in self.fresh)

    @property
    def blocks(self) -> dict[str, tuple[str, ...]]:
        """The parameters of head, top, layer.N and embeddings, from the top down; what has none is left out."""
        layers = {f"layer.{number}": names for number, names in enumerate(self.layers)}
        found = {"head": self.head, "top": self.top, **dict(reversed(layers.items())), "embeddings": self.embeddings}
        return {block: names for block, names in found.items() if names}

    def words(self, names: Collection[str]) -> str:
        """In a few words which blocks these parameters make up: `head, top, layers 2-3, part of embeddings`."""
        counts = {block: sum(name in names for name in own) for block, own in self.blocks.items()}
        if all(count == len(self.blocks[block]) for block, count in counts.items()):
            return "everything"

        def kind(block: str) -> tuple[str, str | None]:
            part = "part of " if counts[block] < len(self.blocks[block]) else ""
            return block.partition(".")[0], part if counts[block] else None

        said = []
        for (name, part), alike in groupby(counts, kind):
            numbers = [block.partition(".")[2] for block in alike]  # of layers, the highest first
            if part is not None:
                said.append(part + (f"{name}s {numbers[-1]}-{numbers[0]}" if numbers[1:] else f"{name} {numbers[0]}"))
        return ", ".join(words.rstrip() for words in said)


def anatomy(model: nn.Module, new: Collection[str] = ()) -> Anatomy:
    """Take a transformers model apart: `new` names the parameters that the checkpoint did not bring.

    The layers are the longest list of equal blocks in the base model, with an encoder's before its decoder's; what is
    registered before them embeds, what comes after (pooler, final norm) is the top. Parameters outside the base model,
    and new ones above the layers, are the head; a T5 is its own base model, and its output layer the head where it has
    one of its own.
    """
    base: nn.Module = getattr(model, "base_model", model)
    paths = {id(module): name for name, module in model.named_modules()}
    inside = f"{paths[id(base)]}." if base is not model else ""
    lists = [(paths[id(blocks)], blocks) for blocks in _lists(base)]
    beside = [name for path, _ in lists for name in _feeding(model, path)]
    layers: list[list[str]] = [[] for _, blocks in lists for _ in blocks]
    embeddings: list[str] = []
    top: list[str] = []
    head: list[str] = []
    new = {*new, *(_output(model) if base is model else ())}
    reached = 0  # layers up to the end of the list that was last seen
    for name, _ in model.named_parameters():
        number, reached = _place(name, lists) or (None, reached)
        if not name.startswith(inside) or (name in new and reached == len(layers) and number is None):
            head.append(name)
        elif number is not None:
            layers[number].append(name)
        elif not reached or "embed" in name.removeprefix(inside) or name.startswith(tuple(beside)):
            embeddings.append(name)
        elif reached < len(layers):  # an encoder's final norm lies below the decoder's layers
            layers[reached - 1].append(name)
        else:
            top.append(name)
    depth = getattr(getattr(model, "config", None), "num_hidden_layers", None) or 0
    return Anatomy(
        tuple(embeddings),
        tuple(tuple(layer) for layer in layers),
        tuple(top),
        tuple(head),
        fresh=frozenset(new).intersection([*embeddings, *(name for layer in layers for name in layer)]),
        norms=frozenset(_norms(model)),
        statistics=frozenset(name for name, m in model.named_modules() if isinstance(m, _BatchNorm)),
        base=inside.rstrip("."),
        path=lists[0][0] if len(lists) == 1 else None,
        frame=tuple(dict.fromkeys(name for path, _ in lists for name in _frame(model, inside.rstrip("."), path))),
        repeats=max(1, depth // len(layers)) if layers else 1,
    )


def _lists(base: nn.Module) -> list[nn.ModuleList]:
    """The list of the layers; of an encoder-decoder two. Lists within layers (experts) do not count."""
    towers: list[Any] = [base]
    if getattr(getattr(base, "config", None), "is_encoder_decoder", False) and hasattr(base, "decoder"):
        towers = [base.encoder, base.decoder]
    found = []
    for tower in towers:
        outermost: dict[str, nn.ModuleList] = {}
        for name, module in tower.named_modules():
            within = any(name.startswith(f"{other}.") for other in outermost)
            if isinstance(module, nn.ModuleList) and len(module) and _alike(module) and not within:
                outermost[name] = module
        found += [max(outermost.values(), key=len)] if outermost else []
    return found if len(found) == len(towers) else []


def _alike(blocks: nn.ModuleList) -> bool:
    return len({type(block) for block in blocks}) == 1 and any(True for _ in blocks[0].parameters())


def _output(model: nn.Module) -> list[str]:
    """The parameters of the layer that words are written with, where they are not those of the embeddings."""
    layer = getattr(model, "lm_head", None)
    embeddings = getattr(model, "get_input_embeddings", lambda: None)()
    if layer is None or embeddings is None:
        return []
    own = {id(p) for p in layer.parameters()} - {id(p) for p in embeddings.parameters()}
    return [name for name, parameter in model.named_parameters() if id(parameter) in own]


def _place(name: str, lists: list[tuple[str, nn.ModuleList]]) -> tuple[int, int] | None:
    """The number of the layer that a parameter lies in, and how many there are up to the end of its list."""
    first = 0
    for path, blocks in lists:
        if name.startswith(f"{path}."):
            return first + int(name.removeprefix(f"{path}.").split(".", 1)[0]), first + len(blocks)
        first += len(blocks)
    return None


def _norms(model: nn.Module) -> Iterator[str]:
    for path, module in model.named_modules():
        if "norm" in type(module).__name__.lower():
            yield from (f"{path}.{name}".lstrip(".") for name, _ in module.named_parameters(recurse=False))


def _feeding(model: nn.Module, path: str) -> Iterator[str]:
    """Beside the layers, an embedding registered after them, and what follows it, goes into all of them.

    DeBERTa has its relative positions there, with their norm; MPNet its position bias.
    """
    parent, _, own = path.rpartition(".")
    after = embedding = False
    for name, module in model.get_submodule(parent).named_children():
        embedding |= after and isinstance(module, nn.Embedding)
        after |= name == own
        if embedding:
            yield f"{parent}.{name}.".lstrip(".")


def _frame(model: nn.Module, base: str, path: str) -> Iterator[str]:
    """The base module, what lies between it and the layers, and their children without parameters."""
    steps = path.removeprefix(base).lstrip(".").split(".")[:-1]
    for i in range(len(steps) + 1):
        holder = ".".join([*filter(None, [base]), *steps[:i]])
        yield holder
        for name, child in model.get_submodule(holder).named_children():
            if next(child.parameters(), None) is None:
                yield from (f"{holder}.{name}.{inner}".strip(".") for inner, _ in child.named_modules())
