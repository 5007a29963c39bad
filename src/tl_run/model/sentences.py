"""The files by which sentence-transformers knows a folder and gives the vectors that were trained."""

import json
from pathlib import Path
from typing import Any

from tl_run.errors import BadOption
from tl_run.model.design import Design
from tl_run.stored_files import read_json

NAMES = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens", "last": "lasttoken"}
"""What it calls poolings."""
POOLING = "1_Pooling"
PREFIX = "pooling_mode_"


def write(folder: Path, design: Design, hidden: int) -> None:
    """Into a folder with the trunk and its tokenizer; `design` is that of towers."""
    steps = [("", "Transformer"), (POOLING, "Pooling"), *([("2_Normalize", "Normalize")] if design.normalize else [])]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(steps)
    ]
    modes = {f"{PREFIX}{name}": pooling == design.pooling for pooling, name in NAMES.items()}
    _json(folder / "modules.json", modules)
    _json(folder / POOLING / "config.json", {"word_embedding_dimension": hidden, **modes})
    _json(folder / "sentence_bert_config.json", {"max_seq_length": design.max_length, "do_lower_case": False})
    _json(folder / "config_sentence_transformers.json", {"prompts": {}, "similarity_fn_name": "cosine"})


def encoder(folder: Path) -> bool:
    """Whether sentence-transformers knows it as an encoder of sentences."""
    return (folder / POOLING / "config.json").is_file()


def pooling(folder: Path) -> str | None:
    """The pooling that a folder of sentence-transformers asks for; None when it is no such folder.

    Raises: BadOption when it asks for a pooling that there is not here.
    """
    path = folder / POOLING / "config.json"
    try:
        config = read_json(path)
    except (OSError, ValueError, TypeError):
        return None
    asked = [name.removeprefix(PREFIX) for name, on in config.items() if name.startswith(PREFIX) and on is True]
    if mode := config.get("pooling_mode"):  # from version 5 on in one word
        asked = [mode] if isinstance(mode, str) else list(mode)
    known = {**{name: pooling for pooling, name in NAMES.items()}, **{pooling: pooling for pooling in NAMES}}
    if len(asked) != 1 or asked[0] not in known:
        raise BadOption(f"{path} asks for the pooling {' and '.join(asked)}: type model.pooling={' or '.join(NAMES)}")
    return known[asked[0]]


def _json(path: Path, data: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
