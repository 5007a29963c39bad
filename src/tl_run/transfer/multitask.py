"""Several tasks at once: a shared trunk and a head for each (Caruana 1997; MT-DNN, arXiv:1901.11504)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from tl_run.data.batches import Stream
from tl_run.data.encoded import Encoded
from tl_run.transfer import WITHIN
from tl_run.transfer.method import Batches, Method
from tl_run.transfer.sampling import Apportioned, Portion, parts


class Multitask(Method):
    """Every step sees examples of several tasks, and its loss is sum over tasks of n / N * weight * L.

    Of the N examples of a step n are of the task, and L is the mean of its own loss over them. So an example counts the
    same whatever is beside it, and a task that is sampled more often counts more, as where each batch is of one task.
    """

    @classmethod
    def modules(cls, options: Any, *, task: Any, **given: Any) -> dict[str, nn.Module]:
        """The logarithms of the tasks' variances, where they are learned."""
        return {"uncertainty": Uncertainty(len(task.kinds))} if options.weighting != "fixed" else {}

    def __init__(
        self,
        options: Any,
        *,
        task: Any,
        data: Mapping[str, Any],
        batch_size: int,
        seed: int,
        pad: Mapping[str, int],
        hardware: Any,
        modules: Mapping[str, Any],
        **others: Any,
    ) -> None:
        self.options, self.kinds, self.pad, self.hardware, self.seed = options, task.kinds, pad, hardware, seed
        self.data: Mapping[str, Encoded] = data["train"].parts
        self.factors = {name: (options.weights or {}).get(name, 1.0) for name in self.data}
        self.batch_size, self.uncertainty = batch_size, modules.get("uncertainty")
        sizes = [len(part) for part in self.data.values()]
        per_epoch = -(-sum(sizes) // batch_size)
        self.places = Apportioned(batch_size, lambda step: self.parts_at(sizes, step // per_epoch))
        typical = self.parts_at(sizes, 0) * batch_size
        self._streams = {
            name: Portion(
                part.lengths, max(1, round(typical[i])), seed, task=i, places=self.places, per_epoch=per_epoch
            )
            for i, (name, part) in enumerate(self.data.items())
        }
        shares = ", ".join(
            f"{name} {size:,} ({share:.0%})"
            for name, size, share in zip(self.data, sizes, self.parts_at(sizes, 0), strict=True)
        )
        self.words = f"multitask: {options.sampling} parts of each step, {shares}; weights {self._weighting()}"

    def parts_at(self, sizes: Sequence[int], epoch: int) -> Any:
        """What part of a step is of each task in an epoch, counted from 0."""
        return parts(sizes, self.options.sampling, self.options.temperature, epoch + 1, self.options.epochs)

    def _weighting(self) -> str:
        if self.uncertainty is not None:
            return "by uncertainty"
        return ", ".join(f"{name} {factor:g}" for name, factor in self.factors.items())

    @property
    def rates(self) -> dict[str, float]:
        """That of s: at a rate for fine-tuning it would never get anywhere."""
        return {f"{WITHIN}.uncertainty": self.options.uncertainty_lr} if self.uncertainty is not None else {}

    def streams(self) -> dict[str, Stream]:
        """One for each task."""
        return {**self._streams}

    def facts(self, steps: int) -> dict[str, Any]:
        """How many examples of each task were seen."""
        return {"seen": dict(zip(self.data, self.places.before(steps).tolist(), strict=True))}

    def weights(self, batches: Batches) -> dict[str, float]:
        """Labelled items of each task that the step sees; what its s is multiplied by is shown as its own term."""
        counts = {
            name: self.kinds[name].weight(self.data[name], indices) for name, indices in batches.items() if len(indices)
        }
        shown = {f"{name}/s": count for name, count in counts.items()} if self.uncertainty is not None else {}
        return counts | shown

    def terms(
        self, model: nn.Module, batches: Batches, step: int, progress: float
    ) -> dict[str, tuple[float | torch.Tensor, torch.Tensor]]:
        """Of each task its loss; by uncertainty (arXiv:1705.07115, equation 10) exp(-s) L + s / 2, as two terms.

        Where we differ: of a squared error the paper takes half as much, which is another s by log 2.
        """
        found: dict[str, tuple[float | torch.Tensor, torch.Tensor]] = {}
        shares = dict(zip(self.data, (self.places.at(step) / self.batch_size).tolist(), strict=True))
        for name, indices in batches.items():
            loss, share = self._loss(model, name, indices, step), shares[name]
            if self.uncertainty is None:
                found[name] = (share * self.factors[name], loss)
                continue
            s = self.uncertainty.s[[*self.data].index(name)]
            found[name] = (share * torch.exp(-s), loss)
            found[f"{name}/s"] = (share / 2, s * self.kinds[name].weight(self.data[name], indices))
        return found

    def _loss(self, model: Any, name: str, indices: Any, step: int) -> torch.Tensor:
        kind, own, device = self.kinds[name], model.heads[name], self.hardware.device
        own.base_model.training = model.base.training
        epoch = self._streams[name].epoch(step)
        batch = kind.collate_training(self.data[name], indices, self.pad, self.seed, epoch)
        batch = {key: tensor.to(device, non_blocking=True) for key, tensor in batch.items()}
        with self.hardware.autocast():
            outputs = own(**{key: tensor for key, tensor in batch.items() if key != "labels"})
        return kind.loss(outputs, batch)


class Uncertainty(nn.Module):
    """s = log sigma^2 of each task: (tasks,), 0 at the beginning."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.s = nn.Parameter(torch.zeros(tasks))
