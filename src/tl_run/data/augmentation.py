"""Pictures changed at random for training: a part of the picture at full size, and its mirror image."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@lru_cache(maxsize=1)
def draw(count: int, seed: int, epoch: int) -> np.ndarray:
    """Four numbers from 0 to 1 for each of `count` pictures: (pictures, 4). A function of seed, epoch and picture."""
    return np.random.default_rng([seed, epoch, 2]).random((count, 4), np.float32)


def augment(pictures: torch.Tensor, draws: np.ndarray, *, smallest: float, flip: bool) -> torch.Tensor:
    """Pictures (batch, channels, height, width), each changed as its four draws say, at the size they have.

    A square part, whose side is a share from `smallest` to 1, brought to full size (bilinear); then, of every second
    picture, the mirror image if `flip`. A picture's change depends on its own draws alone.
    """
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    size, across, down, mirror = torch.from_numpy(draws).to(pictures.dtype).unbind(1)
    if smallest < 1:
        side = smallest + (1 - smallest) * size
        zero = torch.zeros_like(side)
        across, down = (1 - side) * (2 * across - 1), (1 - side) * (2 * down - 1)
        places = torch.stack([side, zero, across, zero, side, down], 1).view(-1, 2, 3)
        grid = affine_grid(places, [*pictures.shape], align_corners=False)
        pictures = grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    if flip:
        pictures = torch.where((mirror < 0.5)[:, None, None, None], pictures.flip(-1), pictures)
    return pictures
