"""The files by which sentence-transformers knows a folder and gives the vectors that were trained."""

import json
from pathlib import Path
from typing import Any

from tl_run.model.design import Design

NAMES = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens", "last": "lasttoken"}
"""What it calls poolings."""
POOLING = "1_Pooling"


def write(folder: Path, design: Design, hidden: int) -> None:
    """Into a folder with the trunk and its tokenizer; `design` is that of towers."""
    steps = [("", "Transformer"), (POOLING, "Pooling"), *([("2_Normalize", "Normalize")] if design.normalize else [])]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(steps)
    ]
    modes = {f"pooling_mode_{name}": pooling == design.pooling for pooling, name in NAMES.items()}
    _json(folder / "modules.json", modules)
    _json(folder / POOLING / "config.json", {"word_embedding_dimension": hidden, **modes})
    _json(folder / "sentence_bert_config.json", {"max_seq_length": design.max_length, "do_lower_case": False})
    _json(folder / "config_sentence_transformers.json", {"prompts": {}, "similarity_fn_name": "cosine"})


def pooling(folder: Path) -> str | None:
    """The pooling that a folder of sentence-transformers asks for; None for another folder, or a pooling unknown here."""
    try:
        config = json.loads((folder / POOLING / "config.json").read_text(encoding="utf-8"))
        modes = [config.get("pooling_mode"), *(name for name in NAMES.values() if config.get(f"pooling_mode_{name}"))]
    except (OSError, ValueError, AttributeError):
        return None
    known = {**{name: pooling for pooling, name in NAMES.items()}, **{pooling: pooling for pooling in NAMES}}
    found = [known.get(mode) for mode in modes if mode]
    return found[0] if len(found) == 1 else None


def _json(path: Path, data: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
