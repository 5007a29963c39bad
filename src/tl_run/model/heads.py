"""Heads that no stock class of transformers holds: other poolings, other layers, a mix of layers, solved ones."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput

from tl_run.errors import BadInput, BadOption
from tl_run.model import sentences
from tl_run.model.bag import Bag
from tl_run.model.design import DESIGN, TOWERS, Design, read_design
from tl_run.model.pooling import POOLINGS, Attention
from tl_run.model.towers import Tower, Vectors

WEIGHTS = "head.safetensors"


class Headed(nn.Module):
    """A trunk, of which only the states of `layers` are read, and a head on what `pooling` makes of them.

    Layer 0 is the output of the embeddings. Everything outside `base_model` is the head, and is new.
    """

    def __init__(self, base: Any, design: Design) -> None:
        """`design` is settled."""
        super().__init__()
        self.design = design
        self.layers = design.reads(base.config.num_hidden_layers)
        self.base = base
        kind, hidden = Tower if design.kind == TOWERS else Head, base.config.hidden_size * self.width
        self.head: Any = kind(design, hidden, len(self.layers), base.config.num_labels)
        if design.tfidf:
            self.head.bag = Bag(base.config.vocab_size, base.config.num_labels)

    @property
    def base_model(self) -> Any:
        """The trunk; it is called as a module, and only its states are used."""
        return self.base

    @property
    def config(self) -> Any:
        """The trunk's config, with the task's labels."""
        return self.base.config

    @property
    def pooling(self) -> str:
        """Name of the pooling: a key of POOLINGS, or attention."""
        assert self.design.pooling
        return self.design.pooling

    @property
    def width(self) -> int:
        """How many tokens' states the pooling puts side by side."""
        return 2 if self.pooling == "entities" else 1

    def pooled(self, state: torch.Tensor, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The state of a layer (batch, tokens, hidden) to (batch, width * hidden); for attention as it is."""
        if self.pooling not in POOLINGS:
            return state
        where = inputs["entities"] if self.pooling == "entities" else inputs["attention_mask"].bool()
        return POOLINGS[self.pooling](state, where)

    def states(self, **inputs: torch.Tensor) -> list[torch.Tensor]:
        """The state of each layer in `layers`, pooled: (batch, width * hidden), or for attention not yet."""
        depth = self.config.num_hidden_layers
        outputs = self.base_model(**for_trunk(inputs), output_hidden_states=self.layers != (depth,))
        states = [outputs.last_hidden_state if n == depth else outputs.hidden_states[n] for n in self.layers]
        return [self.pooled(state, inputs) for state in states]

    def forward(self, **inputs: torch.Tensor) -> SequenceClassifierOutput | Vectors:
        """Inputs (batch, tokens) with `attention_mask`, and `entities` for that pooling -> what the head gives: logits
        (batch, labels), or vectors."""
        found = self.head(self.states(**inputs), inputs["attention_mask"].bool())
        if self.design.tfidf:
            found.logits = found.logits + self.head.bag.weigh(
                inputs["words"] if "words" in inputs else self.words(inputs)
            )
        return found

    def words(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """TF-IDF of each text, which a cut takes from all tokens before it leaves one: (batch, vocabulary)."""
        return self.head.bag(inputs["input_ids"], inputs["attention_mask"].bool())

    def save_pretrained(self, folder: Path) -> None:
        """The trunk as transformers saves it, and beside it the head."""
        self.base.save_pretrained(folder)
        save_file({name: t.contiguous() for name, t in self.head.state_dict().items()}, folder / WEIGHTS)
        (folder / DESIGN).write_text(json.dumps(asdict(self.design), indent=2) + "\n", encoding="utf-8")
        if self.design.kind == TOWERS:
            sentences.write(folder, self.design, self.config.hidden_size)


class Head(nn.Module):
    """States of some layers to logits: pooled by attention if the design says so, mixed, and then a linear layer."""

    def __init__(self, design: Design, hidden: int, count: int, labels: int) -> None:
        super().__init__()
        by_attention = design.pooling == "attention"
        self.attention = nn.ModuleList(Attention(hidden) for _ in range(count)) if by_attention else None
        self.mix = Weighted(count) if design.kind == "weighted" else None
        dropout = design.dropout or 0.0
        self.hidden = None
        if design.kind == "mlp":
            self.hidden = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.Tanh())
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden * count if design.kind == "dense" else hidden, labels)

    def forward(self, states: Sequence[torch.Tensor], mask: torch.Tensor) -> SequenceClassifierOutput:
        """States (batch, hidden), or (batch, tokens, hidden) for attention, and mask (batch, tokens) -> logits."""
        if self.attention is not None:
            states = [pool(state, mask) for pool, state in zip(self.attention, states, strict=True)]
        vector = self.mix(states) if self.mix is not None else torch.cat([*states], -1)
        if self.hidden is not None:
            vector = self.hidden(vector)
        return SequenceClassifierOutput(logits=self.classifier(self.dropout(vector)))


class Weighted(nn.Module):
    """ELMo's mix of layers (arXiv:1802.05365, equation 1): scale * sum over layers of softmax(weights) * state."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(count))
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        """So many states (batch, hidden) -> (batch, hidden)."""
        return self.scale * torch.einsum("l,lbh->bh", self.weights.softmax(0), torch.stack([*states]))


def last_layer(model: Any) -> nn.Linear | None:
    """The linear layer that gives the logits, where the head ends in one."""
    base = {id(module) for module in model.base_model.modules()}
    outputs = model.config.num_labels
    found = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == outputs and id(m) not in base]
    return found[-1] if found else None


def draw(head: nn.Module, spread: float) -> None:
    """New weights as stock heads get them: linear layers from a normal distribution, biases 0."""
    for module in head.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=spread)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def for_trunk(inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Of a model's inputs those that its trunk knows: where entities stand, and words, are for the head alone."""
    return {name: tensor for name, tensor in inputs.items() if name not in ("entities", "words")}


def make(base: Any, design: Design, seed: int) -> Headed:
    """A head drawn from `seed` on the trunk; `design` is settled."""
    model = Headed(base, design)
    torch.manual_seed(seed)
    draw(model.head, getattr(base.config, "initializer_range", 0.02))
    return model


def notes(model: Headed) -> list[str]:
    """What a user of this head should know."""
    if model.design.kind == TOWERS:
        return []
    depth = model.config.num_hidden_layers
    said = ["pipeline() cannot load this head: tl-predict and tl_run.load_model do"]
    if max(model.layers) < depth:
        said.append(f"what lies above layer {max(model.layers)} of {depth} is not read, and learns nothing")
    return said


def set_dropout(model: Any, share: float, name: str) -> None:
    """Set the dropout of a stock head. Raises: BadOption when it has none."""
    inside = {id(module) for module in model.base_model.modules()}
    own = [m for m in model.modules() if isinstance(m, nn.Dropout) and id(m) not in inside]
    if not own:
        raise BadOption(
            f"model.dropout={share:g}: the stock head of {name} has no dropout: type model.head=linear, or leave it out"
        )
    for module in own:
        module.p = share


def restore(base: Any, folder: Path) -> Headed:
    """The head that lies in a model folder, on its trunk. Raises: BadInput when it cannot be read."""
    model = Headed(base, read_design(folder))
    _fill(model.head, folder)
    return model


def keep(model: Headed, folder: Path) -> bool:
    """Go on with the head that lies in a model folder if it is of the same design; whether it is.

    Raises: BadInput when it cannot be read.
    """
    there, wanted = (astuple(replace(d, dropout=None, max_length=None)) for d in (read_design(folder), model.design))
    if there == wanted:
        _fill(model.head, folder)
    return there == wanted


def names(folder: Path) -> list[str]:
    """The tensors of the head that lies in a model folder; none where there is no head of ours."""
    if not (folder / WEIGHTS).is_file():
        return []
    with _told(folder), safe_open(folder / WEIGHTS, "pt") as file:
        return [f"head.{name}" for name in file.keys()]  # noqa: SIM118


def _fill(head: nn.Module, folder: Path) -> None:
    with _told(folder):
        head.load_state_dict(load_file(folder / WEIGHTS))


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as problem:
        raise BadInput(f"{folder / WEIGHTS} cannot be loaded: {str(problem).splitlines()[0]}") from problem
