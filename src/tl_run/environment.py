"""What a run was made with: versions, code, device, data and weights, so that one can tell if it can be repeated."""

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from tl_run import __version__
from tl_run.errors import BadCheckpoint
from tl_run.hardware import Hardware
from tl_run.prepare import Job

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "hydra-core",
    "omegaconf",
    "numpy",
    "safetensors",
    "peft",
)


def describe(job: Job, hardware: Hardware) -> dict[str, Any]:
    """The content of environment.json."""
    return {
        "identity": job.identity,
        "tl_run": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in PACKAGES},
        "git": _git(),
        "device": hardware.device.type,
        "device_name": torch.cuda.get_device_name() if hardware.device.type == "cuda" else platform.processor(),
        "precision": hardware.precision,
        "threads": torch.get_num_threads(),
        "hub_commits": job.commits,
        "data": job.data,
        "weights": job.weights,
    }


def compare(path: Path, now: dict[str, Any]) -> list[str]:
    """What differs from an earlier start, as warnings.

    Raises: BadCheckpoint when device or precision differ: the figures before and after would not belong together.
    """
    before = json.loads(path.read_bytes())
    for key in ("device", "precision"):
        if before[key] != now[key]:
            raise BadCheckpoint(
                f"{path.parent} was begun with hardware.{key}={before[key]}, here it would go on with {now[key]}; "
                f"nothing was touched.\n  Type hardware.{key}={before[key]} where there is one"
            )
    old, new = ({**e["versions"], "threads": e["threads"], "machine": e["platform"]} for e in (before, now))
    differing = [f"{name} was {old.get(name)}, now {new[name]}" for name in new if old.get(name) != new[name]]
    return [f"the result may differ in its last digits: {'; '.join(differing)}"] if differing else []


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Commit and dirty flag of the folder that the command was typed in, when it is a checkout."""
    try:
        commit = _ask("git", "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_ask("git", "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
