"""What a shelf of the store is called by: the hash of all that decides the bits of its states."""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

import torch
import transformers

from tl_run.audit import fingerprints
from tl_run.features.cut import Cut, Trunk
from tl_run.features.examples import STEP
from tl_run.hardware import Hardware

FORMAT = 2  # raise when stored states change meaning
# Of the config what no layer below the head reads.
NOT_BELOW = {"id2label", "label2id", "problem_type", "_name_or_path", "architectures", "transformers_version", "dtype"}


class Keys:
    """Keys of cuts of a model as it is now; `forget` after its weights have changed."""

    def __init__(self, trunk: Trunk, hardware: Hardware, tokens: int, prints: Mapping[str, str]) -> None:
        self.trunk, self.hardware, self.tokens = trunk, hardware, tokens
        self._prints = dict(prints)

    def forget(self, names: Collection[str]) -> None:
        """These parameters may have other values now."""
        self._prints = {name: value for name, value in self._prints.items() if name not in names}

    def of(self, cut: Cut) -> str:
        """sha256 over weights below the cut, architecture, shapes, kernels, machine and precision, in hex."""
        trunk, device = self.trunk, self.hardware.device.type
        names = trunk.below(cut)
        unknown = {*names} - self._prints.keys()
        self._prints |= fingerprints({n: p for n, p in trunk.model.named_parameters() if n in unknown})
        config = trunk.base.config
        kept = trunk.base.state_dict().keys()
        statistics = fingerprints({name: b for name, b in trunk.base.named_buffers() if name in kept})
        facts = {
            "format": FORMAT,
            "shapes": [STEP, self.tokens],
            "versions": [torch.__version__, transformers.__version__],
            "machine": _machine(device),
            "precision": self.hardware.precision,
            "model": type(trunk.base).__name__,
            "attention": config._attn_implementation,
            "config": {key: value for key, value in config.to_dict().items() if key not in NOT_BELOW},
            "weights": {name.removeprefix(f"{trunk.anatomy.base}."): self._prints[name] for name in names} | statistics,
            "cut": [
                cut.layers,
                cut.reading,
                getattr(trunk.model, "pooling", None) if cut.reading == "layers" else None,
            ],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _machine(device: str) -> list[Any]:
    if device == "cuda":
        return [torch.cuda.get_device_name(), torch.version.cuda, torch.backends.cuda.matmul.allow_tf32]
    return [device, torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()]
