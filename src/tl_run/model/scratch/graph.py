"""A model folder for the vectors of a graph: its names, and of a source graph the vectors of names that both have.

Torch-free.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tl_run import cache, durable, manifest
from tl_run.errors import BadCheckpoint, BadInput, BadOption
from tl_run.stored_files import read_json

MODEL_TYPE = "tl_run_transe"
NAMES = "names.json"
FORMAT = 1  # raise when the same options, names and vectors would give another folder
KINDS = ("entities", "relations")


@dataclass(frozen=True)
class Origin:
    """Names by where their vectors begin, each in the order of the rows of its table."""

    copied: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    """Of the source, and of no use here."""

    @property
    def names(self) -> list[str]:
        """Those that have a vector here, in the order of their numbers."""
        return [*self.copied, *self.fresh]


@dataclass(frozen=True)
class Names:
    """The names of a graph's vectors: what a tokenizer is to a model of texts."""

    origins: Mapping[str, Origin]
    """Of entities and of relations."""

    @classmethod
    def read(cls, folder: Path) -> "Names":
        """Those of a model folder. Raises: OSError, ValueError."""
        data = read_json(folder / NAMES)
        try:
            return cls({kind: Origin(**data[kind]) for kind in KINDS})
        except (KeyError, TypeError) as problem:
            raise ValueError(f"{NAMES} holds no names of entities and relations ({problem})") from problem

    def save_pretrained(self, folder: str | Path) -> None:
        """Write names.json."""
        Path(folder, NAMES).write_text(self.json(), encoding="utf-8")

    def json(self) -> str:
        """What names.json holds."""
        return json.dumps({kind: asdict(self.origins[kind]) for kind in KINDS}, ensure_ascii=False, indent=1)

    @cached_property
    def entities(self) -> list[str]:
        """In the order of their numbers."""
        return self.origins["entities"].names

    @cached_property
    def relations(self) -> list[str]:
        """In the order of their numbers."""
        return self.origins["relations"].names

    def numbers(self, kind: str) -> dict[str, int]:
        """The number of each entity or relation."""
        return {name: number for number, name in enumerate(getattr(self, kind))}

    def rows(self, pretrained: bool) -> dict[str, dict[str, list[str]]]:
        """Where each vector begins, as `model.start.Start` tells it; all are fresh where nothing is taken over."""
        origins = {kind: self.origins[kind] for kind in reversed(KINDS)}
        return {kind: asdict(own) if pretrained else {"fresh": own.names} for kind, own in origins.items()}


def made(options: Any, entities: Sequence[str], relations: Sequence[str], source: Path | None) -> Path:
    """The folder for these options and names, with what `source`, a model folder, brings: from the cache, or made now.

    Raises: BadInput, BadOption when the source does not fit, MachineFault.
    """
    wanted: dict[str, Sequence[str]] = dict(zip(KINDS, (entities, relations), strict=True))
    if source is None:
        names, tensors = Names({kind: Origin(fresh=[*own]) for kind, own in wanted.items()}), {}
    else:
        names, tensors = _copied(options, wanted, source)
    config = {
        "model_type": MODEL_TYPE,
        "dimension": options.dimension,
        "norm": options.norm,
        **{kind: [len(origin.copied), len(origin.fresh)] for kind, origin in names.origins.items()},
    }
    digest = hashlib.sha256(json.dumps([FORMAT, config, names.json()]).encode())
    for name, tensor in tensors.items():
        digest.update(name.encode() + tensor.tobytes())
    folder = cache.folder() / "scratch" / digest.hexdigest()
    try:
        manifest.read_folder(folder)
    except (BadCheckpoint, OSError):
        from safetensors.numpy import save_file

        folder.parent.mkdir(parents=True, exist_ok=True)
        writers: dict[str, Any] = {
            "config.json": lambda path: Path(path).write_text(json.dumps(config, indent=2), encoding="utf-8"),
            NAMES: lambda path: Path(path).write_text(names.json(), encoding="utf-8"),
        }
        if tensors:
            writers["model.safetensors"] = lambda path: save_file(tensors, path, {"format": "pt"})
        durable.write_folder(folder, writers, {})
    return folder


def _copied(options: Any, wanted: Mapping[str, Sequence[str]], source: Path) -> tuple[Names, dict[str, np.ndarray]]:
    """Names with their origin, and the vectors of those that the source has too and `model.copy` finds."""
    theirs, tables = _read(source, options.path)
    dimension = tables["entities"].shape[1]
    if dimension != options.dimension:
        raise BadOption(
            f"model.dimension={options.dimension}, but the vectors of {options.path} have {dimension}: "
            f"type model.dimension={dimension}"
        )
    taken = [kind for kind in KINDS if options.copy is None or re.search(options.copy, f"{kind}.copied.weight")]
    if not taken:
        raise BadOption(f"model.copy: '{options.copy}' matches no tensor; they are {' and '.join(KINDS)}")
    origins, tensors = {}, {}
    for kind, names in wanted.items():
        numbers = theirs.numbers(kind)
        copied = [name for name in names if name in numbers] if kind in taken else []
        known = {*copied}
        fresh, left = ([name for name in every if name not in known] for every in (names, numbers))
        origins[kind] = Origin(copied, fresh, left)
        if copied:
            tensors[f"{kind}.copied.weight"] = tables[kind][[numbers[name] for name in copied]]
    if not tensors:
        named = [f"{kind} are named like {', '.join(theirs.origins[kind].names[:2])}" for kind in taken]
        raise BadInput(
            f"model.path: {options.path} shares no name with the task: its {' and its '.join(named)}, those of the "
            f"task like {', '.join(name for kind in taken for name in wanted[kind][:2])}"
        )
    return Names(origins), tensors


def _read(source: Path, shown: str) -> tuple[Names, dict[str, np.ndarray]]:
    """Names, and the tables of their vectors: float32 (names, dimension)."""
    from safetensors.numpy import load_file

    try:
        names, found = Names.read(source), {}
        for file in sorted(source.glob("*.safetensors")):
            found |= load_file(file)
        named = {kind: [f"{kind}.{part}.weight" for part in ("copied", "fresh")] for kind in KINDS}
        parts = {kind: [found[name] for name in both if name in found] for kind, both in named.items()}
        tables = {kind: np.concatenate(own).astype(np.float32) for kind, own in parts.items()}
    except (OSError, ValueError, KeyError) as problem:
        raise BadInput(f"model.path: {shown} cannot be loaded: {problem}") from problem
    for kind, table in tables.items():
        if len(table) != len(getattr(names, kind)):
            raise BadInput(f"model.path: {shown}: {NAMES} and weights have not the same number of {kind}")
    return names, tables
