"""The vocabulary reduced to the tokens that occur: a row that is never looked up has no gradient, so it costs none.

Exact: such rows only decay, all alike, and a row of ones that is never looked up either shows by how much.
"""

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tl_run.model.several import alone


class Occurring(nn.Embedding):
    """Looks up ids of the whole vocabulary in a table of some of its rows; the last row is the witness of decay."""

    def __init__(self, whole: nn.Embedding, ids: torch.Tensor) -> None:
        """`ids` (rows,) are those that will be looked up, in ascending order."""
        weight = whole.weight.detach()
        rows = torch.cat([weight[ids], torch.ones_like(weight[:1])])
        row = torch.full((len(weight),), len(rows), dtype=torch.long)  # out of range, so that a stray id is an error
        row[ids] = torch.arange(len(ids))
        padding = None if whole.padding_idx is None else int(row[whole.padding_idx])
        super().__init__(*rows.shape, padding_idx=None if padding == len(rows) else padding, _weight=rows)
        self.weight.requires_grad_(whole.weight.requires_grad)
        self.row: torch.Tensor
        self.register_buffer("row", row, persistent=False)
        self.whole, self.ids = [whole], ids  # in a list: no submodule, its weight is no parameter of the model now

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """`input` (batch, tokens) of ids to (batch, tokens, width)."""
        return F.embedding(self.row[input], self.weight, self.padding_idx)

    @torch.no_grad()
    def expanded(self) -> nn.Embedding:
        """The whole embedding as it would be if it had been there all the time."""
        (whole,) = self.whole
        whole.to(self.weight.device)
        whole.weight.mul_(self.weight[-1])
        whole.weight[self.ids] = self.weight[:-1]
        return whole


def occurring(
    model: Any, used: Iterable[np.ndarray], pad: int, learns: Collection[str], options: Any
) -> tuple[torch.Tensor | None, list[str]]:
    """The ids that the model needs, or None where reducing it would not be exact or save nothing; and a note why.

    `used` are the ids of all splits, `pad` is looked up too, `learns` is what learns from the first step, `options` are
    the optimizer's.
    """
    whole = _embedding(model)
    if whole is None or not any(p is whole.weight and name in learns for name, p in model.named_parameters()):
        return None, []
    for own in alone(model):
        names = [name for name, p in own.named_parameters(remove_duplicate=False) if p is whole.weight]
        if len(names) > 1:
            return None, [f"the whole vocabulary is computed: its embeddings are {names[-1]} too"]
        if own.config.is_encoder_decoder and own.get_encoder().get_input_embeddings() is not whole:  # T5 1.1
            return None, ["the whole vocabulary is computed: encoder and decoder have embeddings of their own"]
    if options.name == "adam" and options.weight_decay:
        return None, ["the whole vocabulary is computed: in Adam weight decay moves every row in its own way"]
    found = np.unique(np.concatenate([*used, [pad]]))
    return torch.from_numpy(found.astype(np.int64)), []


def shrink(model: Any, ids: torch.Tensor | None) -> set[str]:
    """Leave the model only the rows of these ids; returns the names of the parameters that are others now."""
    if ids is None:
        return set()
    table = Occurring(model.base_model.get_input_embeddings(), ids)
    _put_in(model, table)
    return {name for name, parameter in model.named_parameters() if parameter is table.weight}


def expand(model: Any) -> None:
    """Give the model its whole vocabulary back."""
    if isinstance(embedding := _embedding(model), Occurring):
        _put_in(model, embedding.expanded())


def _put_in(model: Any, embedding: nn.Embedding) -> None:
    for own in alone(model):
        own.base_model.set_input_embeddings(embedding)


def _embedding(model: Any) -> nn.Embedding | None:
    try:
        found = model.base_model.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None
    plain = type(found) in (nn.Embedding, Occurring) and found.max_norm is None and not found.sparse
    return found if plain else None
