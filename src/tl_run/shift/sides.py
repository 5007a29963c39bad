"""A domain as its file or its run folder holds it, and the samples of it that are compared. Torch-free."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tl_run import embedded, hub, identity
from tl_run.data.readers import read_table
from tl_run.data.table import Table
from tl_run.data.text_reader import readers
from tl_run.errors import BadInput, BadOption
from tl_run.folder import CONFIG, RESULT, stored_config
from tl_run.task.classes import label_name
from tl_run.task.kind import refuse, texts

FEWEST = 20  # texts of a sample


@dataclass(frozen=True)
class Columns:
    """What the user has typed; None where nothing was."""

    text: str | None
    pair: str | None
    label: str | None
    options: tuple[str, str, str] = ("--text", "--text-pair", "--label")
    """What they were typed in."""
    need_label: bool = True
    """Whether a label column that was typed must be there."""


@dataclass(frozen=True)
class Side:
    """All texts of a domain; a pair of texts is one, with a line between."""

    name: str
    """As the user typed it."""
    texts: list[str]
    labels: list[str | None] | None
    """None where there is no such column, or nothing in it."""
    checksum: str
    """Of its rows, as `environment.json` of a run has it."""
    model: str | None = None
    """Where the run that was named found its model: a folder or hub id."""
    columns: tuple[str, str | None, str | None] = ("text", None, None)

    @property
    def label_names(self) -> set[str]:
        """Of all rows."""
        return {label for label in self.labels or () if label is not None}


@dataclass(frozen=True)
class Sample:
    """Some texts of a domain, with their labels where it has any."""

    texts: list[str]
    labels: list[str | None] | None


def read(path: str, typed: Columns) -> Side:
    """The domain in a file, or the training data of a finished run. Raises: BadInput, BadOption, MachineFault."""
    place = embedded.locate(path)
    if place.is_dir():
        return _of_run(path, place, typed)
    text = typed.text or "text"
    return _side(path, read_table(place, readers("line", text)), text, typed.pair, typed.label or "label", typed)


def samples(source: Side, target: Side, limit: int, seed: int) -> tuple[Sample, Sample, Sample]:
    """As many of source, of source again, and of target: what is small beside halves of the source says nothing.

    Drawn without replacement, at most `limit` each. Raises: BadInput where there are too few.
    """
    count = min(limit, len(source.texts) // 2, len(target.texts))
    if count < FEWEST:
        raise BadInput(
            f"{source.name} has {len(source.texts)} texts and {target.name} {len(target.texts)}: "
            f"{2 * FEWEST} and {FEWEST} are needed at least"
        )
    orders = [
        np.random.default_rng([seed, number]).permutation(len(s.texts)) for number, s in enumerate((source, target))
    ]
    first, second = orders[0][:count], orders[0][count : 2 * count]
    return _drawn(source, first), _drawn(source, second), _drawn(target, orders[1][:count])


def _drawn(side: Side, rows: np.ndarray) -> Sample:
    labels = None if side.labels is None else [side.labels[i] for i in rows]
    return Sample([side.texts[i] for i in rows], labels)


def _of_run(path: str, folder: Path, typed: Columns) -> Side:
    if not (folder / CONFIG).is_file():
        raise BadOption(f"{path}: a folder without {CONFIG} is no run; give a file, or the folder of a finished run")
    if not (folder / RESULT).is_file():
        raise BadOption(f"{path}: the run is not finished; give a finished one, or its data as a file")
    config = stored_config(folder)
    task, model = config["task"], config["model"]
    if "text" not in task:
        raise BadOption(f"{path}: a run of the kind {task['kind']} has no column of texts: give its file, and --text")
    text, pair = typed.text or task["text"], typed.pair or task.get("text_pair")
    if task.get("dataset"):
        table = _of_hub(task)
    else:
        table = read_table(embedded.locate(task["train"]), readers(task.get("documents", "line"), text))
    pretrained = model.get("path") and model.get("pretrained", True)
    begins = model["path"] if pretrained else str(folder / "model")  # else what it has learned is all there is
    return _side(path, table, text, pair, typed.label or task.get("label") or "label", typed, begins)


def _of_hub(task: dict[str, Any]) -> Table:
    from tl_run.data import hub_data

    subset, split = task.get("subset"), task["splits"]["train"]
    wanted = hub.Wanted(
        "dataset", task["dataset"], "task.dataset", "a file", task.get("revision"), subset=subset, splits=(split,)
    )
    return hub_data.read_split(hub.find([wanted])[0].folder, subset, split)


def _side(
    path: str, table: Table, text: str, pair: str | None, label: str, typed: Columns, model: str | None = None
) -> Side:
    problems: list[str] = []
    found = texts(table, text, typed.options[0], problems)
    second = texts(table, pair, typed.options[1], problems) if pair else None
    if typed.label and typed.need_label:
        table.require(label, typed.options[2])
    refuse(problems)
    names = _labels(table, label) if label in table.columns else None
    whole = found if second is None else ["\n".join(both) for both in zip(found, second, strict=True)]
    columns = (text, pair, label if names else None)
    return Side(path, whole, names, identity.of_tables({"train": table})["train"], model, columns)


def _labels(table: Table, column: str) -> list[str | None] | None:
    """Names of classes; numbers as they are written, of several labels each list as one."""
    values = [row[column] for row in table.rows]
    names = [
        label_name(
            json.dumps(v, ensure_ascii=False) if isinstance(v, list | dict | float) else v,
            table.class_names.get(column),
        )
        for v in values
    ]
    return names if any(name is not None for name in names) else None
