"""Scoring a split: in eval mode, without gradients, sorted by length, and back in the split's order."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from tl_run.data.batches import by_length
from tl_run.data.encoded import Encoded
from tl_run.distributed import ALONE, Group
from tl_run.errors import NonFinite
from tl_run.hardware import Hardware


@dataclass(frozen=True)
class Evaluation:
    """Scores (with the mean loss), tables, and one prediction per example in the split's order."""

    scores: dict[str, float]
    tables: dict[str, Any]
    predictions: list[Any]


def whole(model: nn.Module, encoded: Encoded, indices: np.ndarray, batch: Mapping[str, torch.Tensor]) -> Any:
    """The model's outputs for a collated batch: all of the model is run."""
    return model(**{name: tensor for name, tensor in batch.items() if name != "labels"})


def evaluate(
    model: nn.Module,
    task: Any,
    encoded: Encoded,
    *,
    batch_size: int,
    pad: Mapping[str, int],
    hardware: Hardware,
    between: Callable[[], object] = lambda: None,
    forward: Callable[..., Any] = whole,
    group: Group = ALONE,
) -> Evaluation:
    """Score a split in eval mode, in batches of equal length; leaves the model in eval mode.

    Several processes take the batches in turn, and each gets what all have found: the same as one would.

    `forward` is `whole`, or what takes the output of frozen layers from the store. `between` is called before each
    batch, on all ranks as often, and may raise: nothing has been changed by then that would have to be undone.
    Raises: NonFinite when the loss of a batch is no number: a model that has exploded still scores, by chance.
    """
    model.eval()
    predictions: list[Any] = [None] * len(encoded)
    loss, weight = 0.0, 0.0
    batches = by_length(encoded.lengths, batch_size)
    found: list[tuple[int, float, float, list[Any]]] = []  # number of a batch, its loss, weight and predictions
    # FSDP gathers weights in the forward pass, and what is made in inference mode could not be trained with later.
    without_gradient = torch.no_grad() if group.lockstep else torch.inference_mode()
    with without_gradient, hardware.autocast():
        for first in range(0, len(batches), group.size):
            between()
            number = first + group.rank
            if number >= len(batches) and not group.lockstep:
                continue
            indices = batches[min(number, len(batches) - 1)]
            batch = {name: t.to(hardware.device) for name, t in task.collate(encoded, indices, pad).items()}
            outputs = forward(model, encoded, indices, batch)
            if number >= len(batches):
                continue
            part, items = 0.0, 0.0
            if encoded.labelled[indices].all():
                part = task.loss(outputs, batch).item()
                if not math.isfinite(part):
                    ids = [encoded.ids[i] for i in indices]
                    raise NonFinite.at("the loss is not a finite number in evaluation", ids)
                items = task.weight(encoded, indices)
            found.append((number, part, items, list(task.decode(outputs, batch, model))))
    for number, part, items, decoded in sorted(group.gather(found), key=lambda each: each[0]):
        loss, weight = loss + part, weight + items
        for i, prediction in zip(batches[number], decoded, strict=True):
            predictions[i] = prediction
    predictions = task.gather(predictions, encoded)
    if not weight:
        return Evaluation({}, {}, predictions)
    scores = {**task.metrics(predictions, encoded), "loss": loss / weight}
    return Evaluation(scores, task.tables(predictions, encoded), predictions)
