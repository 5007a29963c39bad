"""Domain adaptation: the task's loss on the old domain, and a term that makes the vectors of both domains alike."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from tl_run.data.batches import Stream
from tl_run.errors import BadOption
from tl_run.transfer.finetune import FineTune
from tl_run.transfer.method import Batches


class Adaptation(FineTune):
    """Two streams: labelled examples of the old domain, and examples of the new one, whose labels nobody reads.

    The vectors are what enters the layer that gives the logits. A batch is a sample of its domain, not bucketed by
    length: the domains are to be told apart by what they say.
    """

    @classmethod
    def modules(cls, options: Any, *, last: nn.Linear | None, **given: Any) -> dict[str, nn.Module]:
        """None. Raises: BadOption where the model has no vector for each example before its logits."""
        if last is None:
            raise BadOption(
                f"transfer={options.name}: the head of this model has no last linear layer, whose input could be "
                "compared: type model.head=linear"
            )
        return {}

    @property
    def words(self) -> str:
        """For the plan."""
        factor = f"weight {self.options.weight:g}, {self.options.schedule}"
        return f"{self.options.name}: {len(self.data['domain']):,} examples of the new domain, {factor}"

    def stream_of(self, name: str) -> Stream:
        """Without buckets."""
        salt = (1,) if name == "domain" else ()
        return Stream(self.data[name].lengths, self.batch_size, self.seed, salt=salt, bucketed=False)

    def streams(self) -> dict[str, Stream]:
        """Old and new domain."""
        if "domain" not in self.__dict__:
            self.domain = self.stream_of("domain")
        return {"train": self.stream, "domain": self.domain}

    def factor(self, progress: float) -> float:
        """What the term counts at this part of the run, 0 to 1 (DANN, arXiv:1505.07818, section 5.2.2)."""
        rise = 2 / (1 + math.exp(-10 * progress)) - 1 if self.options.schedule == "ramp" else 1.0
        return self.options.weight * rise

    def scalars(self, step: int, progress: float) -> dict[str, float]:
        """The factor."""
        return {f"{self.options.name}/factor": self.factor(progress)}

    def terms(
        self, model: nn.Module, batches: Batches, step: int, progress: float
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """The task's loss, and what `compare` says of the vectors."""
        found, seen = {}, {}
        for name, indices in batches.items():
            with Inputs(self.last) as inputs:
                outputs, batch = self.outputs(model, name, indices, step)
            seen[name] = (inputs.vectors, outputs)
            if name == "train":
                found["task"] = (1.0, self.task.loss(outputs, batch))
        return found | self.compare({name: (v.float(), o) for name, (v, o) in seen.items()}, self.factor(progress))

    def compare(
        self, seen: Mapping[str, tuple[torch.Tensor, Any]], factor: float
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """The terms of vectors (examples, width), in fp32, and outputs of each stream."""
        raise NotImplementedError


class Inputs:
    """`with Inputs(layer) as inputs: model(...)`; then `inputs.vectors` is what went into the layer."""

    def __init__(self, layer: nn.Module | None) -> None:
        assert layer is not None
        self._layer = layer
        self.vectors: torch.Tensor

    def __enter__(self) -> "Inputs":
        self._hook = self._layer.register_forward_pre_hook(self._keep)
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _keep(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.vectors = inputs[0]
