"""Dropout on a CPU, where torch draws every mask bit in a slow way: the mask takes most of the time of a dropout."""

import numpy as np
import torch
from torch import nn

LEVELS = 1 << 16  # a mask bit is drawn from 16 random bits; the scale is that of the share which results


def use(model: nn.Module) -> None:
    """Let the dropouts of a model draw their masks here."""
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = Dropout


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
