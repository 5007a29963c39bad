"""Fine-tuning: training goes on from the pretrained weights on the task's labels. One stream, one term."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from tl_run.data.batches import Stream
from tl_run.data.encoded import Encoded
from tl_run.evaluation import whole
from tl_run.transfer.method import Batches, Method


class FineTune(Method):
    """The task's own loss on its training examples; also linear probing, when the trunk is frozen."""

    def __init__(
        self,
        options: Any,
        *,
        task: Any,
        train: Encoded,
        batch_size: int,
        seed: int,
        pad: Mapping[str, int],
        hardware: Any,
        forward: Callable[..., Any] = whole,
    ) -> None:
        self.task, self.train, self.pad, self.hardware, self.forward = task, train, pad, hardware, forward
        self.divisible = task.options.divisible
        self.seed, self.stream = seed, Stream(train.lengths, batch_size, seed)

    def streams(self) -> dict[str, Stream]:
        """The training examples."""
        return {"train": self.stream}

    def weights(self, batches: Batches) -> dict[str, float]:
        """Labelled items in the batch."""
        return {"loss": self.task.weight(self.train, batches["train"])}

    def terms(
        self, model: nn.Module, batches: Batches, step: int, progress: float
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """The task's loss, summed."""
        epoch = step // self.stream.steps_per_epoch
        batch = self.task.collate_training(self.train, batches["train"], self.pad, self.seed, epoch)
        batch = {name: tensor.to(self.hardware.device, non_blocking=True) for name, tensor in batch.items()}
        with self.hardware.autocast():
            outputs = self.forward(model, self.train, batches["train"], batch)
        return {"loss": (1.0, self.task.loss(outputs, batch))}
