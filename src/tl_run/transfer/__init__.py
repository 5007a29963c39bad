"""How knowledge moves from the pretrained model to the task: one method per file."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

WITHIN = "transfer"
"""Under this name a method's own modules lie in the model while it trains."""

METHODS = {
    "finetune": "tl_run.transfer.finetune:FineTune",
    "l2sp": "tl_run.transfer.l2sp:L2sp",
    "mixout": "tl_run.transfer.mixout:Mixout",
    "rdrop": "tl_run.transfer.rdrop:Rdrop",
    "distill": "tl_run.transfer.distill:Distill",
    "distill_relations": "tl_run.transfer.distill_relations:DistillRelations",
    "instance_weighting": "tl_run.transfer.instance_weighting:InstanceWeighting",
    "self_training": "tl_run.transfer.self_training:SelfTraining",
    "fedavg": "tl_run.transfer.fedavg:FedAvg",
    "fedprox": "tl_run.transfer.fedavg:FedProx",
    "multitask": "tl_run.transfer.multitask:Multitask",
    "mmd": "tl_run.transfer.mmd:Mmd",
    "coral": "tl_run.transfer.coral:Coral",
    "dann": "tl_run.transfer.dann:Dann",
    "cdan": "tl_run.transfer.cdan:Cdan",
    "features": "tl_run.transfer.features:Features",
    "protonet": "tl_run.transfer.protonet:Protonet",
    "reptile": "tl_run.transfer.reptile:Reptile",
    "maml": "tl_run.transfer.maml:Maml",
}
OF_EPISODES = {"finetune": "tl_run.transfer.finetune_shots:FineTuneShots"}
"""What is another method where the task is episodes."""


def kind(options: Any, task: Any) -> Any:
    """The class of the method for its checked options, and those of the task."""
    methods = METHODS | OF_EPISODES if task.kind == "episodes" else METHODS
    module, name = methods[options.name].split(":")
    return getattr(import_module(module), name)


def put_in(model: Any, modules: Mapping[str, Any]) -> frozenset[str]:
    """Let a method's own modules learn with the model; returns the names of their parameters there."""
    if modules:
        from torch import nn

        setattr(model, WITHIN, nn.ModuleDict(modules))
    return frozenset(name for name, _ in model.named_parameters() if name.startswith(f"{WITHIN}."))


def take_out(model: Any) -> None:
    """The model without what a method has put in, as it is saved."""
    if hasattr(model, WITHIN):
        delattr(model, WITHIN)
