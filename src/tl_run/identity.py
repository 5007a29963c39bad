"""Which run is this? The hash of all that decides its result: config, data, starting weights, our own version."""

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tl_run import manifest
from tl_run.data.table import Table

RESULTS_VERSION = 4
"""Raise it when the same config would give other figures than before."""

# What cannot change the result: where things lie (their content is hashed), what is printed and how often it is saved.
NOT_PART = {
    "task": {"name", "train", "validation", "test", "dataset", "domain", "revision", "epochs"},
    "model": {"name", "path", "vision", "from_run", "revision", "lr"},
    "freeze": {"lr_factor"},
    "transfer": {"teacher"},
    "augment": {"synonyms", "there", "back"},
    "adapter": {"lr_factor"},
    "hardware": {"name", "threads", "processes", "nodes", "endpoint", "shard", "elastic"},
    "training": {"checkpoint_every", "keep_checkpoints"},
    "features": None,  # what is stored has the bits of what is computed
    "sweep": None,
    "resume": None,
    "plan": None,
}


def essence(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a resolved config that can change the result."""
    kept = {}
    for key, value in config.items():
        drop = NOT_PART.get(key, set())
        if drop is None or (key == "augment" and value["name"] in ("none", "images")):
            continue  # what images says, task.flip and task.crop say too; and before there could be none either
        kept[key] = _without(value, drop) if isinstance(value, dict) else value
    if "tasks" in kept.get("task", {}):  # each is left what a single one is
        kept["task"]["tasks"] = {name: _without(own, NOT_PART["task"]) for name, own in kept["task"]["tasks"].items()}
    if "hardware" in kept:
        kept["hardware"] |= _processes(config["hardware"])
    return kept


def _without(options: dict[str, Any], drop: set[str] | None) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key not in (drop or ())}


def _processes(hardware: dict[str, Any]) -> dict[str, Any]:
    """How many share a batch, wherever they run; nothing for one alone, as before there could be more."""
    processes = hardware.get("processes", 1) * hardware.get("nodes", 1)
    shard = {"shard": True} if hardware.get("shard") else {}
    return {} if processes == 1 else {"processes": processes, **shard}


def identity(config: dict[str, Any], data: dict[str, str], weights: dict[str, str]) -> str:
    """sha256 over everything that decides the result, as hex."""
    facts = {"version": RESULTS_VERSION, "config": essence(config), "data": data, "weights": weights}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def of_tables(tables: dict[str, Table]) -> dict[str, str]:
    """A checksum of the rows of each split: the same rows from another file or format are the same data."""
    return {
        split: hashlib.sha256(
            json.dumps([table.class_names, table.rows], sort_keys=True, ensure_ascii=True, default=str).encode()
        ).hexdigest()
        for split, table in tables.items()
    }


def of_words(words: Mapping[str, Sequence[str]]) -> str:
    """A checksum of lists of words by their names, whatever file they came from."""
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


def together(tasks: dict[str, dict[str, str]]) -> dict[str, str]:
    """A checksum of each split from those of several tasks."""
    splits = dict.fromkeys(split for own in tasks.values() for split in own)
    return {
        split: hashlib.sha256(json.dumps([[name, own.get(split)] for name, own in tasks.items()]).encode()).hexdigest()
        for split in splits
    }


def of_model(folder: Path) -> dict[str, str]:
    """Checksums of a model folder's files that decide what is loaded."""
    suffixes = {".json", ".safetensors", ".model", ".txt"}
    files = sorted(path for path in folder.iterdir() if path.suffix in suffixes and path.is_file())
    return {path.name: _sum(path, *_marks(path)) for path in files if path.name != manifest.MANIFEST}


def of_others(folders: Mapping[str, Path | None]) -> dict[str, str]:
    """Checksums of the models that stand beside a run's own, under their names: a teacher's, a translator's."""
    return {
        f"{what}/{name}": checksum
        for what, folder in folders.items()
        for name, checksum in (of_model(folder) if folder else {}).items()
    }


def without_others(weights: Mapping[str, str]) -> dict[str, str]:
    """Of the checksums of a run's weights those of its own model."""
    return {name: checksum for name, checksum in weights.items() if "/" not in name}


def _marks(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@functools.lru_cache(maxsize=256)
def _sum(path: Path, size: int, changed: int) -> str:
    """The jobs of a sweep start from the same few files: each is read once."""
    return manifest.sha256_file(path)
