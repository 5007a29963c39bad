"""Proof that the frozen stayed: fingerprints of tensors, taken only where a phase or the run begins or ends."""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import nn

from tl_run.fsdp import whole


def fingerprints(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """sha256 of each tensor's bytes."""
    return {
        name: hashlib.sha256(whole(t).detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data).hexdigest()
        for name, t in tensors.items()
    }


def digest(prints: Mapping[str, str]) -> str:
    """One sha256 for many fingerprints."""
    return hashlib.sha256("".join(f"{name} {prints[name]}\n" for name in sorted(prints)).encode()).hexdigest()


def of_parameters(model: nn.Module, names: Collection[str]) -> dict[str, str]:
    """Fingerprints of the parameters with these names."""
    return fingerprints({name: p for name, p in model.named_parameters() if name in names})


def end_of_phase(
    model: nn.Module, learns: Collection[str], prints: Mapping[str, str], began: int, first_moved: Mapping[str, int]
) -> tuple[dict[str, str], dict[str, int]]:
    """New `prints`, and `first_moved` with what moved for the first time in the phase that began at step `began`.

    Raises: AssertionError when something moved that was to stay in this phase.
    """
    now = of_parameters(model, prints)
    moved = [name for name in prints if now[name] != prints[name]]
    broken = sorted(set(moved) - set(learns))
    assert not broken, f"frozen tensors moved: {', '.join(broken[:3])}"
    return now, dict.fromkeys(moved, began) | dict(first_moved)


def report(
    before: Mapping[str, str],
    model: nn.Module,
    learning: int,
    first_moved: Mapping[str, int],
    blocks: Mapping[str, Collection[str]],
) -> dict[str, Any]:
    """Which tensors were to stay and did, which were to learn and moved, and since when each block did.

    `before` holds the fingerprints of what stays all the time, `first_moved` for what moved the step at which the phase
    began in which it first did. A block that never moved has None.
    """
    after = of_parameters(model, before)
    return {
        "frozen": len(before),
        "frozen_moved": sorted(name for name in before if after[name] != before[name]),
        "learning": learning,
        "learning_moved": len(first_moved),
        "moves_from_step": {
            block: min((first_moved[name] for name in names if name in first_moved), default=None)
            for block, names in blocks.items()
        },
    }
