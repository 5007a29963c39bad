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
    between: Callable[[], None] = lambda: None,
    forward: Callable[..., Any] = whole,
) -> Evaluation:
    """Score a split in eval mode, in batches of equal length; leaves the model in eval mode.

    `forward` is `whole`, or what takes the output of frozen layers from the store. `between` is called before each
    batch and may raise: nothing has been changed by then that would have to be undone.
    Raises: NonFinite when the loss of a batch is no number: a model that has exploded still scores, by chance.
    """
    model.eval()
    predictions: list[Any] = [None] * len(encoded)
    loss, weight = 0.0, 0.0
    with torch.inference_mode(), hardware.autocast():
        for indices in by_length(encoded.lengths, batch_size):
            between()
            batch = {name: t.to(hardware.device) for name, t in task.collate(encoded, indices, pad).items()}
            outputs = forward(model, encoded, indices, batch)
            if encoded.labelled[indices].all():
                part = task.loss(outputs, batch).item()
                if not math.isfinite(part):
                    ids = [encoded.ids[i] for i in indices]
                    raise NonFinite.at("the loss is not a finite number in evaluation", ids)
                loss += part
                weight += task.weight(encoded, indices)
            for i, prediction in zip(indices, task.decode(outputs, batch, model), strict=True):
                predictions[i] = prediction
    predictions = task.gather(predictions, encoded)
    if not weight:
        return Evaluation({}, {}, predictions)
    scores = {**task.metrics(predictions, encoded), "loss": loss / weight}
    return Evaluation(scores, task.tables(predictions, encoded), predictions)
