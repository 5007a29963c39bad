"""tl-run: one command runs one transfer-learning experiment from one config."""

from os import PathLike
from typing import Any

__version__ = "0.1.0"


def load_model(folder: str | PathLike[str]) -> tuple[Any, Any]:
    """The model that a run has saved, in eval mode on the CPU, and its tokenizer (of pictures: its image processor;
    of a graph: its names).

    `folder` is the `model` folder of a run. Heads of every kind load, also those that transformers has no class for:

        model, tokenizer = tl_run.load_model("outputs/.../model")
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits  # (texts, labels)

    `model.config.id2label` names the labels. Nothing is downloaded or executed.
    Raises: BadInput when the folder holds no model, or a damaged one.
    """
    from pathlib import Path

    from tl_run.model import saved

    return saved.load_model(Path(folder))


def register() -> None:
    """Make our own models (rnn, transformer-small, separable-cnn) known to transformers.

        tl_run.register()
        transformers.pipeline("text-generation", model="outputs/.../model")

    `load_model` does it too. transformers is imported here, not before.
    """
    from tl_run.model import scratch

    scratch.register()
