"""What a pretrained model's folder must hold, in the layout of `save_pretrained`. No pickle is ever read."""

from collections.abc import Sequence
from pathlib import Path

from tl_run.stored_files import read_json

FILES = {
    "config": ("config.json",),
    "weights": ("*.safetensors",),
    "tokenizer": ("tokenizer.json", "vocab.txt", "vocab.json", "*.model", "tokenizer_config.json"),
    "image processor": ("preprocessor_config.json",),
    "names": ("names.json",),
}
NO_PICKLE = "no safetensors there, and no pickle (.bin) is read"
CONVERT = (
    'cd {folder} && python -c "import torch, safetensors.torch as s; w = torch.load('
    "'pytorch_model.bin', weights_only=True); s.save_file({{k: v.clone().contiguous() for k, v in w.items()}}, "
    "'model.safetensors', {{'format': 'pt'}})\""
)


def lacks(folder: Path, files: Sequence[str]) -> list[str]:
    """What the folder lacks of these (keys of FILES), in words. Weights in parts must all be there."""
    lacking = [f"{needed} ({FILES[needed][0]})" for needed in files if not _any(folder, FILES[needed])]
    if "weights" not in files:
        return lacking
    if lacking and _any(folder, ["*.bin"]) and not _any(folder, FILES["weights"]):
        how = f"if you trust it, convert it once:\n  {CONVERT.format(folder=folder)}"
        return [*(each for each in lacking if not each.startswith("weights")), f"weights: {NO_PICKLE}; {how}"]
    for index in folder.glob("*.safetensors.index.json"):
        try:
            parts = set(read_json(index)["weight_map"].values())
        except (ValueError, KeyError, AttributeError):
            return [*lacking, f"a readable {index.name}"]
        lacking += sorted(part for part in parts if not (folder / part).is_file())
    return lacking


def another(folder: Path) -> str:
    """What the folder is instead, where it is none of a model, and what to type."""
    if (folder / "adapter_config.json").is_file():
        return "; it is an adapter alone: type the folder of its base model, or of a run that has merged it"
    if (folder / "environment.json").is_file():
        return f"; it is a run folder: type model.path={folder / 'model'}"
    if (folder / "manifest.json").is_file() and (folder / "state.json").is_file():
        run = folder.parent.parent
        return f"; it is a checkpoint of a run: type resume={run} alone, or model.path={run / 'model'}"
    return ""


def _any(folder: Path, patterns: Sequence[str]) -> bool:
    return any(path.is_file() for pattern in patterns for path in folder.glob(pattern))
