"""A teacher: a model that has learned the task, and what it says of the training examples, computed once."""

import hashlib
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from tl_run import cache
from tl_run.data.batches import by_length
from tl_run.data.encoded import Encoded
from tl_run.transfer.domains import Inputs
from tl_run.transfer.finetune import FineTune
from tl_run.transfer.method import Batches

BATCH = 64  # examples that a teacher reads at once


@dataclass(frozen=True)
class Teacher:
    """A model with the training examples as its own tokenizer makes them."""

    model: Any
    last: nn.Linear | None
    """The layer that gives its logits."""
    encoded: Encoded
    pad: Mapping[str, int]
    order: list[int]
    """Where its logits have each label of the task."""
    key: str
    """What tells its weights from others."""

    def says(self, task: Any, hardware: Any) -> dict[str, np.ndarray]:
        """In eval mode of each example the logits (examples, labels), and the vector before them where there is one.

        From the cache where the same was asked before.
        """
        digest = hashlib.sha256(f"{self.key} {self.order} {hardware.device.type} {hardware.precision}".encode())
        for name, array in [("offsets", self.encoded.offsets), *sorted(self.encoded.columns.items())]:
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return cache.arrays("teachers", digest.hexdigest(), lambda: self._asked(task, hardware))

    def _asked(self, task: Any, hardware: Any) -> dict[str, np.ndarray]:
        model, found = self.model.to(hardware.device).eval(), {}
        for indices in by_length(self.encoded.lengths, BATCH):
            batch = task.collate(self.encoded, indices, self.pad)
            inputs = {name: tensor.to(hardware.device) for name, tensor in batch.items() if name != "labels"}
            last = Inputs(self.last, model) if self.last is not None else nullcontext()
            with torch.inference_mode(), hardware.autocast(), last as seen:
                said = {"logits": model(**inputs).logits[:, self.order]}
            said |= {"vectors": seen.vectors} if seen else {}
            for name, tensor in said.items():
                array = tensor.float().cpu().numpy()
                found.setdefault(name, np.zeros((len(self.encoded), array.shape[1]), np.float32))[indices] = array
        self.model.to("cpu")
        return found


class Taught(FineTune):
    """Fine-tuning that knows of every training example what a teacher says."""

    said: dict[str, torch.Tensor] | None = None

    def __init__(self, options: Any, **given: Any) -> None:
        super().__init__(options, **given)
        size = sum(p.numel() for p in self.teacher.model.parameters())
        self.words = f"{options.name}: from a {self.teacher.model.config.model_type} of {size:,} parameters"

    def prepare(self, model: nn.Module, step: int, progress: float) -> None:
        """The teacher is asked before the first step that this process takes."""
        if self.said is None:
            self.said = {name: torch.from_numpy(a) for name, a in self.teacher.says(self.task, self.hardware).items()}

    def taught(self, name: str, indices: np.ndarray) -> torch.Tensor:
        """What the teacher says of these examples: `logits` or `vectors`, on the device."""
        assert self.said is not None
        return self.said[name][torch.from_numpy(indices)].to(self.hardware.device)

    def seen(
        self, model: nn.Module, batches: Batches, step: int
    ) -> tuple[Any, dict[str, torch.Tensor], torch.Tensor | None]:
        """Outputs, the batch, and the vectors before the logits (examples, width) where there is such a layer."""
        if self.last is None:
            return *self.outputs(model, "train", batches["train"], step), None
        with Inputs(self.last, model) as inputs:
            outputs, batch = self.outputs(model, "train", batches["train"], step)
        return outputs, batch, inputs.vectors.float()
