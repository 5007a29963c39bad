"""Dropout: whether a model has any, and faster masks on a CPU.

There torch draws every mask bit in a slow way: the mask takes most of the time of a dropout.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from transformers import PreTrainedModel

LEVELS = 1 << 16  # a mask bit is drawn from 16 random bits; the scale is that of the share which results


def use(model: nn.Module) -> None:
    """Let the dropouts of a model draw their masks here."""
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = Dropout


def drawn(model: nn.Module) -> bool:
    """Whether a module in train mode has dropout: one of torch's, or a number of its own, or of its config.

    Layers of transformers may hand a number to a function instead: BART its `dropout`, Llama its `attention_dropout`,
    Falcon `config.hidden_dropout`. What a config says of heads is not looked at: they have modules.
    """
    return any(module.training and any(_shares(module)) for module in model.modules())


def _shares(module: nn.Module) -> Iterator[bool]:
    if isinstance(module, _DropoutNd):
        yield module.p > 0
    yield from (_is_share(name, value) for name, value in vars(module).items())
    config = None if isinstance(module, PreTrainedModel) else vars(module).get("config")
    for name, value in getattr(config, "__dict__", {}).items():
        yield ("att" in name or "hidden" in name) and _is_share(name, value)


def _is_share(name: str, value: Any) -> bool:
    return "drop" in name and isinstance(value, float) and value > 0


class Dropout(nn.Dropout):
    """nn.Dropout by `noise`; elsewhere than on a CPU torch's own."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Any shape; in eval mode the input itself."""
        if not self.training or not 0 < self.p < 1 or input.device.type != "cpu":
            return super().forward(input)
        return input * noise(input.shape, self.p, input.dtype)


def noise(shape: torch.Size, share: float, dtype: torch.dtype) -> torch.Tensor:
    """What dropout multiplies with, drawn from torch's generator: 0, or the factor on what stays."""
    cut, count = min(round(share * LEVELS), LEVELS - 1), shape.numel()
    seed = int(torch.randint(1 << 62, ()))
    bits = np.random.SFC64(seed).random_raw(-(-count // 4)).view(np.int16)[:count]
    return (torch.from_numpy(bits).view(shape) >= cut - LEVELS // 2).to(dtype).mul_(LEVELS / (LEVELS - cut))
