"""One trunk and several heads: each head's model is whole, and what it has of the trunk is that of all the others."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from tl_run.errors import BadOption
from tl_run.model.pretrained import Pretrained
from tl_run.model.start import Start, tensors


class SeveralHeads(nn.Module):
    """`heads[task]` is a model with its own class, config and head; the modules of their trunks are the same ones.

    It is no model that could be called: a task's own is. Parameters are named `base.*` and `heads.<task>.*`.
    """

    def __init__(self, models: Mapping[str, Any]) -> None:
        """The trunk that has the most (a pooler) is the one that all share. Raises: BadOption for a name that is
        taken."""
        super().__init__()
        if taken := [name for name in models if name == "loss" or hasattr(nn.ModuleDict(), name)]:
            raise BadOption(
                f"transfer.tasks: '{taken[0]}' is taken here: type another name, as in transfer.tasks="
                "'{mine:classification,yours:tagging}'"
            )
        self.base: Any = max((model.base_model for model in models.values()), key=lambda trunk: len(tensors(trunk)))
        for model in models.values():
            share(self.base, model.base_model)
        self.heads = nn.ModuleDict(dict(models))

    @property
    def base_model(self) -> Any:
        """The trunk."""
        return self.base

    @property
    def config(self) -> Any:
        """The trunk's; what it says of labels is that of one task."""
        return self.base.config


def share(trunk: Any, other: Any) -> None:
    """Let `other`, a trunk of the same architecture, have the modules and tensors of `trunk`, where it has any there.

    Raises: BadOption when they are of different architectures.
    """
    if trunk is other:
        return
    if type(trunk) is not type(other):
        kinds = " and ".join(type(each).__name__ for each in (trunk, other))
        raise BadOption(
            f"transfer=multitask: the tasks' heads stand on trunks of two kinds ({kinds}): type another model"
        )
    for name, module in trunk.named_children():
        if getattr(other, name, None) is not None:
            setattr(other, name, module)
    for own in (trunk._parameters, trunk._buffers):
        for name, tensor in own.items():
            setattr(other, name, tensor)


def joined(found: Mapping[str, Pretrained]) -> Pretrained:
    """The models of all tasks, loaded from one folder, as one."""
    first = next(iter(found.values()))
    copied = {
        id(tensor)
        for own in found.values()
        for name, tensor in tensors(own.model).items()
        if name in {*own.start.copied}
    }
    left = set.intersection(*({*own.start.left} for own in found.values()))
    model = SeveralHeads({name: own.model for name, own in found.items()})
    fresh = [name for name, tensor in tensors(model).items() if id(tensor) not in copied]
    notes = [f"{name}: {note}" for name, own in found.items() for note in own.notes]
    return replace(first, model=model.eval(), start=Start.of(model, fresh, left), notes=notes)


def alone(model: Any) -> Collection[Any]:
    """The models that are called: of several heads each with its own."""
    return [*model.heads.values()] if isinstance(model, SeveralHeads) else [model]
