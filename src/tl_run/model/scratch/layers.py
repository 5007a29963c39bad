"""The layers of our own models: recurrent cells, self-attention, depthwise separable convolutions.

Each takes states (batch, tokens, hidden) and a mask (batch, tokens), 1 where there is a token, and returns states. What
a token's state becomes never depends on the padding behind it, nor on other texts of the batch; where the config says
causal, nor on what stands behind it in its own text.
"""

import math
from typing import Any

import torch
from torch import nn


class Layer(nn.Module):
    """What a kind of layer says beside what it computes."""

    @staticmethod
    def embedded(states: torch.Tensor) -> torch.Tensor:
        """Embeddings as the first layer wants them."""
        return states

    @staticmethod
    def pooled(states: torch.Tensor, mask: torch.Tensor, config: Any) -> torch.Tensor:
        """The vector that stands for a text: the state of its first token."""
        return states[:, 0]

    @staticmethod
    def notes(config: Any) -> list[str]:
        """For the plan."""
        return []


CELLS = {"simple": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class Recurrent(Layer):
    """A simple (tanh), LSTM or GRU cell from left to right; bidirectional: half of it from right to left."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        cell, width = CELLS[config.cell], config.hidden_size // (2 if config.bidirectional else 1)
        self.right = cell(config.hidden_size, width, batch_first=True)
        self.left = cell(config.hidden_size, width, batch_first=True) if config.bidirectional else None
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The texts are not packed: shapes, and with them the bits of a state, do not depend on the neighbours."""
        found = self.right(states)[0]
        if self.left is not None:
            place = turned(mask)[..., None]
            back = self.left(states.gather(1, place.expand_as(states)))[0]
            found = torch.cat([found, back.gather(1, place.expand_as(back))], -1)
        return self.dropout(found) * mask[..., None]

    @staticmethod
    def pooled(states: torch.Tensor, mask: torch.Tensor, config: Any) -> torch.Tensor:
        """The last valid state of each direction: not that of the padding."""
        end = last(states, mask)
        if not config.bidirectional:
            return end
        half = states.shape[-1] // 2
        return torch.cat([end[:, :half], states[:, 0, half:]], -1)


def last(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The state of each text's last token: (batch, hidden)."""
    return states[torch.arange(len(states), device=states.device), mask.sum(1).long() - 1]


def turned(mask: torch.Tensor) -> torch.Tensor:
    """For each place the one that it changes with when the text, and not its padding, is read backwards."""
    places, lengths = torch.arange(mask.shape[1], device=mask.device)[None], mask.sum(1, keepdim=True).long()
    return torch.where(places < lengths, lengths - 1 - places, places)


class SelfAttention(Layer):
    """A transformer's encoder layer (arXiv:1706.03762), its norms before what they feed (arXiv:2002.04745).

    Causal, a token attends to itself and what stands before it.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads, self.causal = config.num_attention_heads, config.causal
        self.attention_norm, self.forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.wide, self.narrow = nn.Linear(width, config.intermediate_size), nn.Linear(config.intermediate_size, width)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    @staticmethod
    def embedded(states: torch.Tensor) -> torch.Tensor:
        """sqrt(hidden) times the embedding, and its place as sines and cosines."""
        _, tokens, width = states.shape
        return states * math.sqrt(width) + positions(tokens, width).to(states)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        states = states + self.dropout(self.attend(self.attention_norm(states), mask))
        wide = nn.functional.gelu(self.wide(self.forward_norm(states)))
        return (states + self.dropout(self.narrow(wide))) * mask[..., None]

    @staticmethod
    def pooled(states: torch.Tensor, mask: torch.Tensor, config: Any) -> torch.Tensor:
        """The first token's state; causal, the last one's, the only one that has seen the whole text."""
        return last(states, mask) if config.causal else states[:, 0]

    def attend(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Multi-head attention: for each head softmax(Q K' / sqrt(its width)) V, put together by a last matrix."""
        query, key, value = (self._split(part(states)) for part in (self.query, self.key, self.value))
        weights = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        seen = mask[:, None, None] != 0
        if self.causal:
            seen = seen & seen.new_ones(seen.shape[-1], seen.shape[-1]).tril()
        weights = weights.masked_fill(~seen, torch.finfo(weights.dtype).min).softmax(-1)
        mixed = self.dropout(weights.to(value.dtype)) @ value
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _split(self, states: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, hidden) to (batch, heads, tokens, hidden / heads)."""
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def positions(tokens: int, width: int) -> torch.Tensor:
    """Sines and cosines of each place (arXiv:1706.03762, section 3.5): (tokens, width)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    angles = torch.arange(tokens)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width]


class SeparableConvolution(Layer):
    """A convolution over tokens in two steps (arXiv:1706.03059): each channel by itself, then all at one place.

    Its kernel has the token in its middle; causal, at its end.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        width, kernel = config.hidden_size, config.kernel_size
        self.norm = nn.LayerNorm(width)
        around = kernel - 1 if config.causal else kernel // 2
        self.depthwise = nn.Conv1d(width, width, kernel, padding=around, groups=width)
        self.pointwise = nn.Linear(width, width)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        known = self.norm(states) * mask[..., None]  # beyond the last token there is nothing, as beyond the first
        mixed = self.depthwise(known.transpose(1, 2))[..., : states.shape[1]].transpose(1, 2)
        return (states + self.dropout(nn.functional.gelu(self.pointwise(mixed)))) * mask[..., None]

    @staticmethod
    def pooled(states: torch.Tensor, mask: torch.Tensor, config: Any) -> torch.Tensor:
        """The largest value of each channel over the text (arXiv:1408.5882)."""
        return states.masked_fill(mask[..., None] == 0, torch.finfo(states.dtype).min).amax(1)

    @staticmethod
    def notes(config: Any) -> list[str]:
        width, kernel, layers = config.hidden_size, config.kernel_size, config.num_hidden_layers
        own, plain = layers * (width * (kernel + 1) + width * (width + 1)), layers * width * (width * kernel + 1)
        return [f"separable convolutions: {own:,} parameters, where plain ones of the same kernel take {plain:,}"]


LAYERS: dict[str, type[Layer]] = {
    "rnn": Recurrent,
    "transformer": SelfAttention,
    "separable_cnn": SeparableConvolution,
}
