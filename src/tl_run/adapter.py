"""LoRA (arXiv:2106.09685) through peft: put into a model's layers in place, saved alone, merged into the weights.

peft is imported only when an adapter is asked for: that takes seconds.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from tl_run.errors import BadOption
from tl_run.model.anatomy import Anatomy

FUSED = ("c_attn", "Wqkv", "query_key_value", "qkv_proj")
"""Query, key and value in one weight: GPT-2, ModernBERT, GPT-NeoX, Phi-3. LoRA beside it adapts all three."""

ROLES: Mapping[str, tuple[str, ...]] = {
    "query": ("query", "query_proj", "q_proj", "q_lin", "q", *FUSED),
    "key": ("key", "key_proj", "k_proj", "k_lin", "k", *FUSED),
    "value": ("value", "value_proj", "v_proj", "v_lin", "v", *FUSED),
    "output": ("attention.output.dense", "out_lin", "o_proj", "out_proj", "o", "attn.c_proj", "attn.Wo"),
    "feed_forward": (
        *("intermediate.dense", "output.dense", "lin1", "lin2", "fc1", "fc2", "c_fc", "mlp.c_proj"),
        *("gate_proj", "up_proj", "down_proj", "gate_up_proj", "wi", "wi_0", "wi_1", "wo", "Wi", "mlp.Wo"),
    ),
}
"""How the modules of a layer end, by role; the longest ending that fits counts (attention.output.dense)."""


@dataclass(frozen=True)
class Adapted:
    """What was put into a model."""

    config: Any
    """peft's LoraConfig."""
    modules: Mapping[str, int]
    """The adapted modules, and the layer in which each lies."""
    base: frozenset[str]
    """Parameters of the trunk, by their names now, that stay whatever `freeze` says."""
    head: tuple[str, ...]
    words: str
    notes: list[str]

    def files(self, model: nn.Module, base: str, revision: str | None) -> dict[str, bytes | Callable[[Path], None]]:
        """A folder in peft's layout with LoRA and the head; `base` is the folder or hub id that it goes onto.

        `peft.PeftModel.from_pretrained(model, folder)` loads it, where `model` is the base with as many labels.
        """
        whole = _modules_of(model, self.head)
        config = self.config.to_dict() | {
            "base_model_name_or_path": base,
            "revision": revision,
            "inference_mode": True,
            "modules_to_save": whole or None,
            "auto_mapping": {"base_model_class": type(model).__name__, "parent_library": type(model).__module__},
        }
        plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
        tensors = {
            f"base_model.model.{name.replace('.default.', '.') if _is_lora(name) else name}": tensor.contiguous()
            for name, tensor in model.state_dict().items()
            if _is_lora(name) or name.startswith(tuple(f"{module}." for module in whole))
        }
        return {
            "adapter_config.json": (json.dumps(plain, indent=2, sort_keys=True) + "\n").encode(),
            "adapter_model.safetensors": lambda path: save_file(tensors, path, {"format": "pt"}),
        }

    def merge(self, model: nn.Module) -> None:
        """Add what was learned to the weights beside it, in place: modules and names are as before `put_in`."""
        for name in self.modules:
            layer: Any = model.get_submodule(name)
            layer.merge(safe_merge=True)
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, layer.get_base_layer())
        del model.peft_config


def none(model: nn.Module, anatomy: Anatomy, learns: Collection[str], options: Any, seed: int) -> None:
    """Nothing is put in."""


def lora(model: nn.Module, anatomy: Anatomy, learns: Collection[str], options: Any, seed: int) -> Adapted:
    """For W of shape (out, in): W x + alpha / rank * B A x, A (rank, in) random from `seed`, B (out, rank) zero.

    Raises: BadOption when the model's layers have no module of a role, or when all of them stay frozen.
    """
    layer_of = {name: number for number, layer in enumerate(anatomy.layers) for name in layer}
    linear = {
        name: layer_of[f"{name}.weight"]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and f"{name}.weight" in layer_of.keys() - anatomy.fresh
    }
    wanted = {name for name in linear if {*_roles(name)} & {*options.targets}}
    _refuse_missing_roles(model, linear, options.targets)
    chosen = {name: number for name, number in linear.items() if name in wanted and f"{name}.weight" in learns}
    if not chosen:
        raise BadOption(
            f"adapter=lora: freeze keeps every {' and '.join(options.targets)} of the model as it is, so there is no "
            "place for LoRA: type freeze=none, or let freeze keep less"
        )
    import peft

    torch.manual_seed(seed)
    config = peft.LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=[*chosen],
        fan_in_fan_out=any(isinstance(model.get_submodule(name), Conv1D) for name in chosen),
    )
    peft.inject_adapter_in_model(config, model)  # type: ignore[arg-type]
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    learned = sum(size for name, size in sizes.items() if _is_lora(name))
    fused = sorted({name.rpartition(".")[2] for name in chosen} & {*FUSED})
    return Adapted(
        config=config,
        modules=chosen,
        base=frozenset(name for name in sizes if not _is_lora(name)) - {*anatomy.head} - anatomy.fresh,
        head=(*sorted(anatomy.fresh), *anatomy.head),
        words=f"lora rank {options.rank} alpha {options.alpha:g} on {', '.join(options.targets)} "
        f"of {_layers(chosen.values())}: {learned:,} parameters",
        notes=[f"{name} holds query, key and value in one: LoRA adapts all three" for name in fused],
    )


ADAPTERS: Mapping[str, Callable[..., Adapted | None]] = {"none": none, "lora": lora}


def put_in(model: nn.Module, anatomy: Anatomy, learns: Collection[str], options: Any, seed: int) -> Adapted | None:
    """Put the adapter beside those weights of the layers that are in `learns`, changing the model in place.

    The adapted modules' own parameters are then called `<module>.base_layer.<name>`: take the anatomy anew.
    """
    return ADAPTERS[options.name](model, anatomy, learns, options, seed)


def _roles(name: str) -> list[str]:
    endings = [end for ends in ROLES.values() for end in ends if f".{name}".endswith(f".{end}")]
    return [role for role, ends in ROLES.items() if endings and max(endings, key=len) in ends]


def _refuse_missing_roles(model: nn.Module, linear: Mapping[str, int], targets: Collection[str]) -> None:
    there = {role for name in linear for role in _roles(name)}
    missing = [role for role in targets if role not in there]
    if missing:
        inside = dict.fromkeys(name.partition(f".{number}.")[2] for name, number in linear.items())
        known = [role for role in ROLES if role in there]
        remedy = f"type 'adapter.targets=[{','.join(known)}]'" if known else "type adapter=none"
        raise BadOption(
            f"adapter.targets: no {' or '.join(missing)} is known in a {type(model).__name__}; its layers have "
            f"{', '.join(inside) or 'no linear modules'}: {remedy}"
        )


def _is_lora(name: str) -> bool:
    return ".lora_" in name


def _modules_of(model: nn.Module, parameters: Iterable[str]) -> list[str]:
    """The largest modules that hold nothing but these parameters."""
    found: list[str] = []
    for name, module in model.named_modules():
        own = {f"{name}.{inner}" for inner, _ in module.named_parameters()}
        if own and own <= {*parameters} and not name.startswith(tuple(f"{above}." for above in found)):
            found.append(name)
    return found


def _layers(numbers: Iterable[int]) -> str:
    """`layers 0-2, 5` for 0, 1, 2, 5."""
    parts: list[list[int]] = []
    for number in sorted({*numbers}):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    words = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
    return f"layers {words}" if len({*numbers}) > 1 else f"layer {words}"
