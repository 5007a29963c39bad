"""Where a dataset in the hub's layout keeps its files: as README.md declares, else as folders and files are named.

The hub's preflight and the reader share these rules. Only files inside the folder count; no loading script is run.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

from tl_run.errors import BadInput

KINDS = {".parquet": "parquet", ".csv": "csv", ".tsv": "tsv", ".jsonl": "json", ".json": "json"}
NOT_DATA = {"config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}


@dataclass(frozen=True)
class Subset:
    """One configuration of a dataset, as README.md has it."""

    name: str
    folder: str = ""
    "below the dataset's folder"
    patterns: dict[str, list[str]] = field(default_factory=dict)
    "split -> glob patterns below `folder`; empty where file names have to tell the splits"
    options: dict[str, Any] = field(default_factory=dict)
    "how the files are to be read, such as `sep`"


def choose(folder: Path, name: str | None) -> Subset:
    """The subset of that name, or the default one. Raises BadInput, with the names that exist, if there is none."""
    known = {config.name: config for config in _declared(folder)}
    if not known:
        return Subset(name or "default", folder=name if name and name != "default" else "")
    if name is None and len(known) > 1 and "default" not in known:
        marked = [config.name for config in known.values() if config.options.get("default")]
        if not marked:
            raise BadInput(f"task.subset: {title(folder)} has several subsets, choose one of {some(known)}")
        name = marked[0]
    name = name or ("default" if "default" in known else next(iter(known)))
    if name not in known:
        raise BadInput(
            f"task.subset: {title(folder)} has no subset {name!r}{did_you_mean(name, known)}; it has {some(known)}"
        )
    return known[name]


def files(folder: Path, subset: Subset) -> dict[str, list[Path]]:
    """Split -> its data files. A declared split without files is left out."""
    base = folder / subset.folder
    if not base.is_dir():
        raise BadInput(f"task.subset: {title(folder)} lacks {_no_folder(folder, subset)}")
    if subset.patterns:
        found = {
            split: [path for pattern in patterns for path in sorted(base.glob(pattern))]
            for split, patterns in subset.patterns.items()
        }
    elif data_below(base):
        from datasets.data_files import get_data_patterns, resolve_pattern

        root = re.sub(r"([*?[])", r"[\1]", base.resolve().as_posix())  # its search is a glob, our folder is none
        found = {
            split: [Path(path) for pattern in patterns for path in _resolved(resolve_pattern, pattern, root)]
            for split, patterns in get_data_patterns(root).items()
        }
    else:
        return {}
    found = {split: [path for path in dict.fromkeys(paths) if kind(path)] for split, paths in found.items()}
    return {split: paths for split, paths in found.items() if paths}


def lacks(folder: Path, name: str | None, splits: Sequence[str]) -> list[str]:
    """What the folder lacks of these splits (of all, if none is named), in words."""
    subset = choose(folder, name)
    if subset.patterns:
        wanted = [pattern for split in splits or subset.patterns for pattern in subset.patterns.get(split, [])]
        found = {pattern: list(filter(kind, (folder / subset.folder).glob(pattern))) for pattern in wanted}
    else:
        what = _no_folder(folder, subset) if subset.folder else "data files (csv, jsonl, json, parquet)"
        found = {what: data_below(folder / subset.folder)}
    return [what for what, paths in found.items() if not paths] + _absent_parts(p for ps in found.values() for p in ps)


def download_patterns(folder: Path, name: str | None, splits: Sequence[str]) -> list[str]:
    """What to download once README.md lies in `folder`. In these patterns `*` crosses folders (huggingface_hub)."""
    subset = choose(folder, name)
    patterns = [pattern for split in splits or subset.patterns for pattern in subset.patterns.get(split, [])]
    if not subset.patterns:
        patterns = [f"*{end}" for end in KINDS]
    below = [f"{subset.folder}/{pattern}" if subset.folder else pattern for pattern in patterns]
    return [*below, *(pattern.replace("**/", "") for pattern in below if "**/" in pattern)]


def kind(path: Path) -> str | None:
    """parquet, csv, tsv or json; None if this is no data file."""
    return KINDS.get(path.suffix) if path.name not in NOT_DATA and path.is_file() else None


def data_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if kind(path)]


def title(folder: Path) -> str:
    """`stanfordnlp/sst2` for a folder in the hub's cache, else the folder."""
    cache = folder.parent.parent.name
    in_cache = folder.parent.name == "snapshots" and cache.startswith("datasets--")
    return cache.removeprefix("datasets--").replace("--", "/") if in_cache else str(folder)


def some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), 1)
    return f", did you mean {close[0]!r}?" if close else ""


def _declared(folder: Path) -> list[Subset]:
    readme = folder / "README.md"
    if not readme.is_file():
        return []
    from huggingface_hub import metadata_load
    from yaml import YAMLError

    try:
        configs = (metadata_load(readme) or {}).get("configs") or []
        return [_subset(dict(config)) for config in configs]
    except (YAMLError, ValueError, TypeError, KeyError) as problem:
        why = f"{type(problem).__name__}: {problem}".splitlines()[0]
        raise BadInput(f"{readme}: cannot read its `configs`, {why}") from problem


def _subset(config: dict[str, Any]) -> Subset:
    """Raises ValueError, KeyError or TypeError if it is not as the hub documents it."""
    name, folder = str(config.pop("config_name")), (config.pop("data_dir", None) or "").strip("/")
    entries = config.pop("data_files", None) or []
    entries = [entries] if isinstance(entries, str) else entries
    patterns = defaultdict(list)
    for entry in entries:
        split, paths = (entry["split"], entry["path"]) if isinstance(entry, dict) else ("train", entry)
        patterns[str(split)] += [paths] if isinstance(paths, str) else paths
    for path in [folder, *(path for paths in patterns.values() for path in paths)]:
        if "://" in path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ValueError(f"{path!r} lies outside of the folder")
    return Subset(name, folder, dict(patterns), options=config)


def _no_folder(folder: Path, subset: Subset) -> str:
    others = sorted({path.relative_to(folder).parts[0] for path in data_below(folder) if path.parent != folder})
    there = f"; there is {some(others)}" if others else ""
    return f"a folder {subset.folder!r} with data files{did_you_mean(subset.folder, others)}{there}"


def _resolved(resolve, pattern: str, root: str) -> list[str]:
    try:
        return resolve(pattern, base_path=root)
    except FileNotFoundError:  # one of several patterns for the same split
        return []


def _absent_parts(paths: Iterable[Path]) -> list[str]:
    """`train-00000-of-00002.parquet` alone is half a split."""
    parts = defaultdict(set)
    for path in paths:
        if part := re.match(r"(.*)-(\d{5})-of-(\d{5})", path.name):
            parts[path.parent / part[1], int(part[3])].add(part[2])
    return [f"{n - len(seen)} of {n} parts of {path.name}" for (path, n), seen in parts.items() if len(seen) < n]
