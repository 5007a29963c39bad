"""Domain adaptation: the task's loss on the old domain, and a term that makes the vectors of both domains alike."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import nn

from tl_run.data.batches import Stream
from tl_run.errors import BadOption
from tl_run.transfer import WITHIN
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

    @classmethod
    def require(cls, options: Any, **given: Any) -> None:
        """Raises: BadOption where the vectors stay as they are."""
        require_vectors(f"transfer={options.name}", "vectors that shall become alike", **given)

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
            with Inputs(self.last, model) as inputs:
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


def require_vectors(
    transfer: str,
    which: str,
    *,
    model: nn.Module,
    last: nn.Linear | None,
    learns: Collection[str],
    freeze: str,
    instead: str = "",
    **others: Any,
) -> None:
    """Raises: BadOption where nothing of the model learns but the layer that gives the logits."""
    above = {id(parameter) for parameter in last.parameters()} if last is not None else set()
    own = {name: p for name, p in model.named_parameters() if not name.startswith(f"{WITHIN}.")}
    if not any(name in learns and id(parameter) not in above for name, parameter in own.items()):
        raise BadOption(
            f"{transfer}: with freeze={freeze} nothing below the last layer learns, and the {which} would stay as they "
            f"are: type freeze=none, or freeze=bottom{instead}"
        )


class Inputs:
    """`with Inputs(layer, model) as inputs: model(...)`; then `inputs.vectors` went into the layer: (batch, width).

    A decoder's stock head gives logits of every token, and the model selects those of one: its vector is taken.
    """

    def __init__(self, layer: nn.Module | None, model: nn.Module) -> None:
        assert layer is not None
        self._layer, self._model = layer, model
        self.vectors: torch.Tensor

    def __enter__(self) -> "Inputs":
        self._hooks = [
            self._model.register_forward_pre_hook(self._read, with_kwargs=True),
            self._layer.register_forward_pre_hook(self._keep),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _read(self, model: nn.Module, _: tuple[object, ...], inputs: dict[str, torch.Tensor]) -> None:
        self._ids = inputs.get("input_ids")

    def _keep(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        (states,) = inputs
        if states.dim() == 3 and self._ids is not None:
            states = states[torch.arange(len(states), device=states.device), selected(self._ids, self._model.config)]
        self.vectors = states


def selected(ids: torch.Tensor, config: Any) -> torch.Tensor:
    """Of `ids` (batch, tokens) the token whose logits a decoder with transformers' own head gives: (batch,).

    The last one that does not pad, wherever padding is; where a decoder reads from an encoder, its texts begin one
    token later (T5Gemma).
    """
    numbers = torch.arange(ids.shape[1], device=ids.device, dtype=torch.int32)
    last = ((ids != config.get_text_config().pad_token_id) * numbers).argmax(-1)
    return (last + 1).clamp(max=ids.shape[1] - 1) if config.is_encoder_decoder else last
