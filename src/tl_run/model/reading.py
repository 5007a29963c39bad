"""What lies in a model folder, as transformers reads it. Nothing is downloaded or executed."""

import inspect
import logging
from pathlib import Path
from typing import Any

import transformers

from tl_run.errors import BadInput
from tl_run.model import scratch
from tl_run.model.scratch.graph import Names

# Nothing is fetched, and code in the folder is not run; left to itself, transformers would ask on the terminal.
DATA_ONLY: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


MOST_LAYERS = 10_000


def read_config(folder: Path) -> Any:
    """The config of the model in a folder. Raises: BadInput when it cannot be read."""
    quiet()
    scratch.register()
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **DATA_ONLY)
    except Exception as problem:  # transformers raises OSError, ValueError, KeyError and its backends' own
        raise BadInput(f"model.path: {folder} cannot be loaded: {first_line(problem)}") from problem
    for name, value in config.to_dict().items():  # they are made one by one, before any weight is read
        if "layer" in name and isinstance(value, int) and value > MOST_LAYERS:
            raise BadInput(f"model.path: {folder}: its config.json says {name}={value}, and no model has so many")
    return config


def processor(folder: Path, what: str) -> Any:
    """The tokenizer, image processor or names of a graph, a key of model.folder.FILES."""
    if what == "names":
        return Names.read(folder)
    if what == "image processor":  # PIL's, also where torchvision is installed: its numbers differ in the last bits
        return transformers.AutoImageProcessor.from_pretrained(folder, backend="pil", **DATA_ONLY)
    return transformers.AutoTokenizer.from_pretrained(folder, **DATA_ONLY)


def padding(processor: Any) -> dict[str, int]:
    """The value that pads each input column of what the processor makes: pictures and triples are not padded."""
    processor = getattr(processor, "tokenizer", processor)  # of two that stand side by side
    if isinstance(processor, transformers.BaseImageProcessor | Names):
        return {}
    return {"input_ids": processor.pad_token_id, "token_type_ids": processor.pad_token_type_id}


def no_pooler(auto: Any, config: Any) -> dict[str, Any]:
    """A trunk alone leaves out BERT's pooler, which would hold weights that no head of ours reads."""
    kind: Any = transformers.MODEL_MAPPING.get(type(config), None) if auto is transformers.AutoModel else None
    has_one = isinstance(kind, type) and "add_pooling_layer" in inspect.signature(kind).parameters
    return {"add_pooling_layer": False} if has_one else {}


def quiet() -> None:
    """What transformers would print is told by ourselves, or is not."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)


def first_line(problem: Exception) -> str:
    """An exception in a line."""
    lines = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {lines[0] if lines else 'no reason given'}"
