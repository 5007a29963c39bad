"""The task's loss of some examples of a batch, or of each."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch


def part(task: Any, outputs: Any, batch: Mapping[str, torch.Tensor], which: Any) -> torch.Tensor:
    """The loss of the examples that `which` (a slice, or bool (examples,)) takes: a scalar, their sum."""
    return task.loss(SimpleNamespace(logits=outputs.logits[which]), {"labels": batch["labels"][which]})


def each(task: Any, outputs: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The loss of each example: (examples,)."""
    return torch.stack([part(task, outputs, batch, slice(i, i + 1)) for i in range(len(outputs.logits))])
