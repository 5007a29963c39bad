"""Run folders as the report sees them: what is finished is a Run, of the others it is told why they do not count."""

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tl_run import chain
from tl_run.errors import BadOption
from tl_run.folder import CONFIG, ENVIRONMENT, OVERRIDES, RESULT, flat
from tl_run.identity import essence
from tl_run.stored_files import Damaged, read_json, read_yaml
from tl_run.sweep import ledger

METRICS = "metrics.jsonl"
CHAIN = "model.from_run"
MARKS = {CONFIG, ENVIRONMENT, RESULT, OVERRIDES}
"""A folder that holds one of these is a run's."""


@dataclass(frozen=True)
class Cost:
    """What a run took, and at which step it had its best model."""

    steps: int
    best_step: int
    examples: int
    seconds: float
    """Of training and evaluation."""


@dataclass(frozen=True)
class Classes:
    """Scores of each class or type of the final split."""

    kind: str
    """`class` or `type`."""
    rows: dict[str, dict[str, float]]
    confusion: list[list[int]] | None
    """By gold and predicted class; None where there is none."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    config: dict[str, Any]
    """All of config.yaml, flat: `optimizer.lr` to its value."""
    setting: str
    """What decides the result besides the seed: equal for runs that differ in their seed alone."""
    seed: int
    metric: str
    higher_is_better: bool
    validation: float
    test: float | None
    trainable: int
    seconds: float
    examples: int | None
    """Training examples that there were."""
    data: dict[str, str]
    """Checksums of the data, by split."""
    cost: Cost
    classes: Classes | None

    def records(self, kind: str) -> list[dict[str, Any]]:
        """Lines of metrics.jsonl; those that are damaged are left out."""
        return [line for line in _lines(self.folder / METRICS) if line.get("kind") == kind]

    def values(self, kind: str, name: str) -> list[tuple[int, float]]:
        """Steps, and what was logged under a name there."""
        return [
            (record["step"], float(record[name]))
            for record in self.records(kind)
            if isinstance(record.get("step"), int) and isinstance(record.get(name), int | float)
        ]

    def predictions(self) -> list[dict[str, Any]]:
        """What it said of each example of the final split, in the order of the file."""
        return _lines(self.folder / f"predictions-{'validation' if self.test is None else 'test'}.jsonl")


@dataclass(frozen=True)
class Found:
    """What lies in the folders that were named."""

    runs: list[Run] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Folder, or the job of a sweep that has none, and why it does not count."""


def find(folders: list[Path]) -> Found:
    """All runs in these folders and below, each once. Raises: BadOption when a folder is not there."""
    found, seen = Found(), dict[tuple[str, int], Run]()
    for folder in folders:
        if not folder.is_dir():
            raise BadOption(f"{folder}: there is no such folder; type one that holds runs, such as outputs/sweeps/...")
    for path in {path.resolve(): path for folder in folders for path in _run_folders(folder)}.values():
        try:
            run = _read(path)
        except _LeftOut as reason:
            found.left_out.append((str(path), str(reason)))
            continue
        if twin := seen.get((run.setting, run.seed)):
            found.left_out.append((str(path), f"the same run as {twin.folder.name}, counted once"))
            continue
        seen[run.setting, run.seed] = run
        found.runs.append(run)
    begun = {_typed(Path(path)) for path, _ in found.left_out}
    for folder in folders:
        for sweep in sorted(path.parent for path in folder.rglob(ledger.LEDGER)):
            found.left_out.extend(job for job in _failed(sweep) if job[0] not in begun)
    return found


class _LeftOut(Exception):
    """Why a folder does not count, in words."""


def _run_folders(folder: Path) -> Iterator[Path]:
    for path, folders, files in os.walk(folder):
        folders.sort()
        if MARKS & {*files}:
            folders.clear()
            yield Path(path)


def _read(folder: Path) -> Run:
    if not (folder / RESULT).is_file():
        raise _LeftOut("its study ended it: the others did better" if _pruned(folder) else "not finished")
    result, environment = (_json(folder / name) for name in (RESULT, ENVIRONMENT))
    try:
        config = read_yaml(folder / CONFIG)
        decides = essence({key: value for key, value in config.items() if key != "seed"})
        metric, test = result["metric"]["name"], result["test"]
        # What begins with nothing gets a vocabulary from its training texts, which the seed may draw.
        weights = environment["weights"] if config["model"].get("path") else None
        facts = [flat(decides), environment["data"], weights]
        spent = result["seconds"]
        return Run(
            folder=folder,
            config=_with_chain(flat(config), result),
            setting=json.dumps(facts, sort_keys=True, default=str),
            seed=int(result["seed"]),
            metric=metric,
            higher_is_better=_direction(result, folder),
            validation=_number(result["validation"][metric]),
            test=_number(test[metric]) if test else None,
            trainable=int(result["parameters"]["trainable"]),
            seconds=_number(spent["total"]),
            examples=_whole(result.get("splits", {}).get("train")) or _whole(config["task"].get("limit")),
            data={str(split): str(checksum) for split, checksum in environment["data"].items()},
            cost=Cost(
                steps=int(result["steps"]),
                best_step=int(result["best_step"]),
                examples=int(result["examples"]),
                seconds=_number(spent["train"]) + _number(spent["evaluate"]),
            ),
            classes=_classes(result.get("tables", {})),
        )
    except OSError as problem:
        raise _LeftOut(f"{CONFIG} cannot be read: {problem.strerror}") from problem
    except Damaged as problem:
        raise _LeftOut(f"{CONFIG} is damaged") from problem
    except KeyError as problem:
        raise _LeftOut(f"{RESULT} or {ENVIRONMENT} of another version: no {problem}") from problem
    except (AttributeError, TypeError, ValueError, OverflowError) as problem:
        raise _LeftOut(f"{RESULT} or {CONFIG} of another version: {problem}") from problem


def _with_chain(config: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """With the tasks that the model has learned before, in place of the folder that it starts from."""
    before = chain.words(result.get("start", {}).get("chain", []))
    return {k: v for k, v in config.items() if k != CHAIN} | ({CHAIN: before} if before else {})


def _number(value: Any) -> float:
    """Raises: TypeError, ValueError where it is none."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a number")
    return float(value)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _classes(tables: dict[str, Any]) -> Classes | None:
    name = next((name for name in ("per_class", "per_type") if tables.get(name)), None)
    if name is None:
        return None
    scores = ("precision", "recall", "f1", "support")
    rows = {str(label): {score: _number(row[score]) for score in scores} for label, row in tables[name].items()}
    confusion = [[int(count) for count in row] for row in tables.get("confusion", ())]
    square = len(confusion) == len(rows) and all(len(row) == len(rows) for row in confusion)
    return Classes(name.removeprefix("per_"), rows, confusion if square else None)


def _direction(result: dict[str, Any], folder: Path) -> bool:
    """Whether more is better; of results that do not say so, what the run took for its best does."""
    if "higher_is_better" in result["metric"]:
        return bool(result["metric"]["higher_is_better"])
    metric = result["metric"]["name"]
    lines = [line for line in _lines(folder / METRICS) if line.get("kind") == "validation"]
    values = [line[metric] for line in lines if isinstance(line.get(metric), float)]
    return not values or result["validation"][metric] > min(values) or max(values) == min(values)


def _json(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except OSError as problem:
        raise _LeftOut(f"{path.name} cannot be read: {problem.strerror}") from problem
    except Damaged as problem:
        raise _LeftOut(f"{path.name} is damaged") from problem


def _lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines; a missing file has none, and half a line at the end is none."""
    found = []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _typed(folder: Path) -> str:
    """The job that a folder belongs to, as the ledger names it."""
    try:
        return " ".join(yaml.safe_load((folder / OVERRIDES).read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, UnicodeDecodeError, TypeError):
        return ""


def _pruned(folder: Path) -> bool:
    """Whether the last news of the job in this folder is that its study ended it."""
    rows = [row for row in _lines(folder.parent / ledger.LEDGER) if "folder" in row]
    states = [row.get("state") for row in rows if Path(str(row["folder"])).name == folder.name]
    return states[-1:] == [ledger.PRUNED]


def _failed(sweep: Path) -> list[tuple[str, str]]:
    """Jobs of a sweep whose last news is that they failed; a damaged ledger says nothing."""
    last: dict[str, dict[str, Any]] = {}
    for row in _lines(sweep / ledger.LEDGER):
        overrides = row.get("overrides")
        if row.get("state") != ledger.BEGUN and isinstance(overrides, list):
            last[" ".join(map(str, overrides))] = row
    return [
        (job, f"failed: {str(row.get('reason', '')).splitlines()[0] if row.get('reason') else 'no reason given'}")
        for job, row in last.items()
        if row["state"] == ledger.FAILED
    ]
