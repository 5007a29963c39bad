"""State of a run to disk and back: safetensors and JSON in a folder that is whole or not there at all."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from tl_run import durable, manifest
from tl_run.errors import BadCheckpoint
from tl_run.freeze import moves
from tl_run.fsdp import like, whole
from tl_run.training import State, require_finite

NAME = re.compile(r"step-(\d{8})")


def save(
    folder: Path | None,
    *,
    model: nn.Module,
    ever: frozenset[str],
    optimizer: torch.optim.Optimizer,
    state: State,
    identity: str,
    frozen: str,
    metrics_bytes: int,
    keep: int,
    ids: Callable[[int], Sequence[str]],
) -> Path | None:
    """Write `folder/step-N`, then let go of all but the `keep` newest.

    Without a folder nothing is written: a rank that holds its part of each tensor gives it to the one that writes.

    Holds of the weights only what may have moved, and `frozen`, the hash of the rest; the optimizer's moments by
    parameter name, the best weights so far, the counters, and how long metrics.jsonl was.
    Raises: NonFinite, and writes nothing, when a weight is not finite any more; `ids(step)` names a step's examples.
    """
    weights = {name: whole(tensor).detach().cpu().contiguous() for name, tensor in moves(model, ever).items()}
    require_finite({name: weights[name] for name in ever}, state.step, ids)
    moments = _moments(model, optimizer)
    if folder is None:
        return None
    counters = {name: value for name, value in _shallow(state).items() if name != "best_weights"}
    target = folder / f"step-{state.step:08d}"
    sets = {"weights": weights, "optimizer": moments, "best": state.best_weights}
    durable.write_folder(
        target,
        {
            "state.json": json.dumps(counters, indent=1).encode(),
            **{f"{name}.safetensors": _writer(tensors) for name, tensors in sets.items()},
        },
        {"step": state.step, "identity": identity, "frozen": frozen, "metrics_bytes": metrics_bytes},
        expect_bytes=sum(t.nbytes for tensors in sets.values() for t in tensors.values()),
    )
    # Newer ones were damaged and passed over: they do not count, or they would push out what is good.
    for old in [path for path in _all(folder) if path.name <= target.name][keep:]:
        durable.remove_folder(old)
    return target


def restore(
    folder: Path,
    *,
    model: nn.Module,
    ever: frozenset[str],
    optimizer: torch.optim.Optimizer,
    identity: str,
    frozen: str,
) -> tuple[State, int, list[str]]:
    """Bring model and optimizer to the newest good checkpoint.

    Returns the state, the length of metrics.jsonl then, and a warning for each checkpoint that was damaged. Without a
    good one: a new State, 0. Every byte is verified before any file is parsed; nothing changes before all is read.
    """
    warnings: list[str] = []
    for path in _all(folder):
        try:
            facts = manifest.read_folder(path)
            if facts.get("identity") != identity:
                raise BadCheckpoint(f"{path}: belongs to another run")
            if facts.get("frozen") != frozen:
                raise BadCheckpoint(f"{path}: its frozen weights are not those that were loaded now")
            state = State(**json.loads((path / "state.json").read_bytes()))
            weights = load_file(path / "weights.safetensors")
            moments = load_file(path / "optimizer.safetensors")
            state.best_weights = load_file(path / "best.safetensors")
            _match(path, weights, moves(model, ever))
        except (BadCheckpoint, SafetensorError, ValueError, TypeError, OSError) as problem:
            warnings.append(f"{problem}; an older checkpoint is used, or the run begins again")
            continue
        with torch.no_grad():
            for name, tensor in moves(model, ever).items():
                tensor.copy_(like(weights[name], tensor))
        _restore_moments(model, optimizer, moments)
        return state, facts["metrics_bytes"], warnings
    return State(), 0, warnings


def load_weights(model: nn.Module, ever: frozenset[str], weights: dict[str, torch.Tensor]) -> None:
    """Put weights, such as the best ones, into the model."""
    with torch.no_grad():
        for name, tensor in moves(model, ever).items():
            tensor.copy_(like(weights[name], tensor))


def _all(folder: Path) -> list[Path]:
    """Checkpoint folders, newest first; only exact names count."""
    found = [path for path in folder.iterdir() if NAME.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, reverse=True)


def _shallow(state: State) -> dict[str, Any]:
    return {f.name: getattr(state, f.name) for f in fields(State)}


def _writer(tensors: dict[str, torch.Tensor]) -> Callable[[Path], None]:
    return lambda path: save_file(tensors, path)


def _names(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, nn.Parameter]:
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return {name: p for name, p in model.named_parameters() if id(p) in held}


def _moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    moments = {}
    for name, parameter in _names(model, optimizer).items():
        for key, value in optimizer.state.get(parameter, {}).items():
            if value is not None:
                moments[f"{name}/{key}"] = whole(torch.as_tensor(value)).detach().cpu().contiguous()
    return moments


def _restore_moments(model: nn.Module, optimizer: torch.optim.Optimizer, moments: dict[str, torch.Tensor]) -> None:
    """Fill the optimizer's state, its step counters on the device where the optimizer itself would keep them."""
    for name, parameter in _names(model, optimizer).items():
        own = {key.rpartition("/")[2]: value for key, value in moments.items() if key.rpartition("/")[0] == name}
        if own:
            fused = optimizer.defaults.get("fused")
            optimizer.state[parameter] = {
                key: _moment(key, value, parameter, bool(fused)) for key, value in own.items()
            }


def _moment(key: str, value: torch.Tensor, parameter: nn.Parameter, fused: bool) -> torch.Tensor:
    if value.shape == parameter.shape and value.ndim:
        return like(value, parameter)
    return value if key == "step" and not fused else value.to(parameter.device)


def _match(path: Path, weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    if weights.keys() != expected.keys() or any(weights[name].shape != expected[name].shape for name in weights):
        raise BadCheckpoint(f"{path}: its tensors are not those of this model")
