"""How knowledge moves from the pretrained model to the task: one method per file."""

from importlib import import_module
from typing import Any

METHODS = {"finetune": "tl_run.transfer.finetune:FineTune"}


def load(options: Any, **parts: Any) -> Any:
    """The method for its checked options."""
    module, name = METHODS[options.name].split(":")
    return getattr(import_module(module), name)(options, **parts)
