"""A model folder for a network that begins with nothing: its config, and a vocabulary built from texts. Torch-free."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tl_run import cache, durable, manifest
from tl_run.errors import BadCheckpoint
from tl_run.model.scratch import vocabulary

MODEL_TYPE = "tl_run_scratch"
FORMAT = 1  # raise when the same options and texts would give another folder


def made(options: Any, texts: Sequence[str], max_length: int, auto_class: str) -> Path:
    """The folder for these options and texts, as `auto_class` reads them: from the cache, or made now.

    Raises: BadInput, MachineFault.
    """
    facts = {name: value for name, value in vars(options).items() if name not in ("name", "lr", "head", "dropout")}
    digest = hashlib.sha256(
        json.dumps([FORMAT, facts, max_length, vocabulary.around(auto_class)], sort_keys=True).encode()
    )
    for text in texts:
        digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    folder = cache.folder() / "scratch" / digest.hexdigest()
    try:
        manifest.read_folder(folder)
    except (BadCheckpoint, OSError):
        files = vocabulary.build(options.tokenizer, texts, options.vocabulary, max_length, auto_class)
        size = len(json.loads(files["tokenizer.json"])["model"]["vocab"])
        files["config.json"] = json.dumps({"model_type": MODEL_TYPE} | options.config(size, max_length), indent=2)
        folder.parent.mkdir(parents=True, exist_ok=True)
        writers = {name: _writer(text) for name, text in files.items()}
        durable.write_folder(folder, writers, {})
    return folder


def _writer(text: str) -> Any:
    return lambda path: Path(path).write_text(text, encoding="utf-8")
