"""Rows of a dataset that lies in a folder in the hub's layout, read by the `datasets` library.

Reads only: no cache is written, no network is touched, no code of the dataset runs.
"""

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from glob import escape
from pathlib import Path
from typing import Any

from tl_run.data.hub_layout import Subset, choose, did_you_mean, files, kind, some, title
from tl_run.data.table import Table
from tl_run.errors import BadInput

BATCH = 10_000  # rows per Arrow table: 67k rows of SST-2 take 0.1 s, row by row they take 1.2 s


def splits(folder: Path, subset: str | None) -> list[str]:
    """The splits whose files are there."""
    return list(files(folder, choose(folder, subset)))


def read_split(folder: Path, subset: str | None, split: str) -> Table:
    """All rows of one split, counted from 0 as the hub's viewer does; None where a class is -1 (no label).

    Raises: BadInput if there is no such subset or split, or if its files cannot be read."""
    chosen = choose(folder, subset)
    known = files(folder, chosen)
    name = " ".join([title(folder), *([subset] if subset else [])])
    if split not in known:
        away = f": no file matches {', '.join(chosen.patterns[split])}" if split in chosen.patterns else ""
        there = some(known) or "no data files (csv, jsonl, json, parquet)"
        raise BadInput(f"{name}: no split {split!r}{away}{did_you_mean(split, known)}; there is {there}")
    kinds = {kind(path): path.name for path in known[split]}
    if len(kinds) > 1:
        both = " and ".join(kinds.values())
        raise BadInput(f"{name} {split}: {both} are of different kinds; say under `configs` in README.md which to read")
    try:
        rows, features = _read(folder, chosen, str(next(iter(kinds))), known[split])
    except (ValueError, TypeError, OSError, RuntimeError) as problem:
        why = f"{type(problem).__name__}: {problem}".splitlines()[0]
        raise BadInput(f"{name} {split} cannot be read, {why}") from problem
    class_names = {column: names for column in features if (names := _class_names(features[column]))}
    for column in class_names:
        for row in rows:
            row[column] = _without_minus_one(row[column])
    columns = tuple(features or (rows[0] if rows else {}))
    return Table(f"{name} {split}", columns, rows, list(range(len(rows))), unit="row", class_names=class_names)


def _read(folder: Path, subset: Subset, kind: str, paths: list[Path]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows, and the features where they are known: a csv or json file has none of its own."""
    import datasets
    import huggingface_hub

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what goes wrong is in the exception
    huggingface_hub.logging.set_verbosity_error()  # a README.md without metadata is no event
    reader, options = ("csv", {"sep": "\t"}) if kind == "tsv" else (kind, {})
    with tempfile.TemporaryDirectory() as scratch, _offline():
        stream = datasets.load_dataset(
            reader,
            data_files=[escape(str(path.absolute())) for path in paths],  # these are patterns to it
            split="train",  # what it calls files without a split
            streaming=True,
            features=_declared_features(folder, subset.name),
            cache_dir=scratch,  # even streaming leaves a lock file
            **{**options, **_options(reader, subset.options)},
        )
        tables: Any = stream.with_format("arrow").iter(batch_size=BATCH)
        return [row for table in tables for row in table.to_pylist()], dict(stream.features or {})


def _options(reader: str, declared: dict[str, Any]) -> dict[str, Any]:
    """What README.md says on reading the files. Its `configs` also hold things that are not for the reader."""
    module = importlib.import_module(f"datasets.packaged_modules.{reader}.{reader}")
    understood = {field.name for field in fields(getattr(module, f"{reader.title()}Config"))}
    understood -= {field.name for field in fields(module.datasets.BuilderConfig)} | {"features"}
    return {key: value for key, value in declared.items() if key in understood}


def _declared_features(folder: Path, subset: str) -> Any:
    """The features in README.md's `dataset_info`. Without them, a parquet file's own hold."""
    from datasets.info import DatasetInfosDict

    infos = DatasetInfosDict.from_directory(str(folder))
    info = infos.get(subset) or (next(iter(infos.values())) if subset == "default" and len(infos) == 1 else None)
    return info.features if info else None


def _class_names(feature: Any) -> list[str]:
    while hasattr(feature, "feature"):  # a list of ...
        feature = feature.feature
    return list(getattr(feature, "names", None) or [])


def _without_minus_one(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_minus_one(item) for item in value]
    return None if value == -1 else value


@contextmanager
def _offline() -> Iterator[None]:
    """`datasets` counts each opening of a reader with a request to the hub, for up to 3 s, unless it is offline."""
    from datasets import config

    before, config.HF_HUB_OFFLINE = config.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before
