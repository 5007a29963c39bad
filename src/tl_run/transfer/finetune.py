"""Fine-tuning: training goes on from the pretrained weights on the task's labels. One stream, one term."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from tl_run.data.batches import Stream
from tl_run.data.encoded import Encoded
from tl_run.evaluation import whole
from tl_run.transfer.method import Batches, Fit, Method


class FineTune(Method):
    """The task's own loss on its training examples; also linear probing, when the trunk is frozen."""

    def __init__(
        self,
        options: Any,
        *,
        task: Any,
        data: Mapping[str, Encoded],
        batch_size: int,
        seed: int,
        pad: Mapping[str, int],
        hardware: Any,
        model: nn.Module,
        new: Collection[str] = (),
        learns: Collection[str] = (),
        last: nn.Linear | None = None,
        modules: Mapping[str, Any] | None = None,
        teacher: Any = None,
        fit: Fit | None = None,
        forward: Callable[..., Any] = whole,
    ) -> None:
        """`last`: the layer that gives the logits, where there is one; `modules`: what `Method.modules` has made.

        `model` is as it was loaded, whatever a checkpoint will bring, `new` names what is drawn in it, and `learns`
        what ever learns.
        """
        self.options, self.task, self.data, self.pad, self.hardware = options, task, data, pad, hardware
        self.last, self.own, self.forward, self.teacher, self.fit = last, modules or {}, forward, teacher, fit
        self.divisible = options.divisible and task.options.divisible
        self.seed, self.batch_size = seed, batch_size
        self.stream = self.stream_of("train")

    def stream_of(self, name: str) -> Stream:
        """Batches of a split in the method's own order."""
        return Stream(self.data[name].lengths, self.batch_size, self.seed)

    def streams(self) -> dict[str, Stream]:
        """The training examples."""
        return {"train": self.stream}

    def epoch(self, stream: str, step: int) -> int:
        """Which time a stream is seen: what is drawn at random for an example follows it."""
        return step // self.streams()[stream].steps_per_epoch

    def weights(self, batches: Batches) -> dict[str, float]:
        """Labelled items in the batch."""
        return {"task": self.task.weight(self.data["train"], batches["train"])}

    def terms(
        self, model: nn.Module, batches: Batches, step: int, progress: float
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """The task's loss, summed."""
        outputs, batch = self.outputs(model, "train", batches["train"], step)
        return {"task": (1.0, self.task.loss(outputs, batch))}

    def outputs(
        self, model: nn.Module, stream: str, indices: np.ndarray, step: int
    ) -> tuple[Any, dict[str, torch.Tensor]]:
        """What the model says of these examples of a stream, and the batch as it was collated, on the device."""
        epoch = self.epoch(stream, step)
        batch = self.task.collate_training(self.data[stream], indices, self.pad, self.seed, epoch)
        batch = {name: tensor.to(self.hardware.device, non_blocking=True) for name, tensor in batch.items()}
        with self.hardware.autocast():
            return self.forward(model, self.data[stream], indices, batch), batch
