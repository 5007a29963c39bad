"""One vector for a text from the states of its tokens; from a text of one token, exactly that token's bits."""

from collections.abc import Callable, Mapping

import torch
from torch import nn

Pooling = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""State (batch, tokens, hidden) and mask (batch, tokens; True for tokens that are no padding) to (batch, hidden)."""


def first(state: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The first token, wherever padding stands: an encoder's cls token."""
    return _at(state, mask.int().argmax(1))


def last(state: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The last token, the only one of a decoder that has seen the whole text."""
    return _at(state, mask.shape[1] - 1 - mask.flip(1).int().argmax(1))


def mean(state: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over tokens, summed in float32."""
    counts = mask.sum(1, keepdim=True)
    total = state.float().masked_fill(~mask[..., None], 0).sum(1)
    # A sum begins with +0 and would make one of a lone token's -0.
    return torch.where(counts == 1, first(state, mask), (total / counts).to(state.dtype))


def largest(state: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The largest value over tokens of each dimension."""
    return state.masked_fill(~mask[..., None], -torch.inf).amax(1)


def entities(state: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
    """The tokens where two entities begin, side by side ("entity start", arXiv:1906.03158): (batch, 2 * hidden).

    In place of the mask `marks` (batch, tokens) has 1 at the first of them, 2 at the second, else 0.
    """
    if state.shape[1] == 1:
        return first(state, marks)
    return torch.cat([_at(state, (marks & which).argmax(1)) for which in (1, 2)], -1)


POOLINGS: Mapping[str, Pooling] = {"cls": first, "last": last, "mean": mean, "max": largest, "entities": entities}
"""Those without parameters; `attention` has some and belongs to the head."""


class Attention(nn.Module):
    """A weighted mean over tokens by learned weights: softmax over tokens of w . state (arXiv:1703.03130, one hop)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.score = nn.Linear(hidden, 1, bias=False)  # a bias would drop out of the softmax

    def forward(self, state: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """State (batch, tokens, hidden), mask (batch, tokens) -> (batch, hidden)."""
        scores = self.score(state).squeeze(-1).float().masked_fill(~mask, -torch.inf)
        return torch.einsum("bt,bth->bh", scores.softmax(1).to(state.dtype), state)


def _at(state: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    return state[torch.arange(len(state), device=state.device), positions]
