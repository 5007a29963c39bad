"""Rows of a text that is read, the text to be written for it, and other texts that would do."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tl_run.config import options
from tl_run.data.table import Table
from tl_run.task.kind import kind_of, texts


@dataclass(frozen=True)
class Example:
    """A text, and what shall be written for it; None: nobody knows. A score takes any of the references."""

    id: str
    source: str
    target: str | None
    references: tuple[str, ...] = ()


def examples(rows: Table, ids: Sequence[str], options: options.Generation, problems: list[str]) -> list[Example]:
    """The examples of a split; what is wrong with a row is added to `problems`. Where all targets are missing the split
    has none. Raises: BadInput when there is no such column."""
    sources = texts(rows, options.source, "task.source", problems)
    targets: list[Any] = rows.column(options.target, "task.target")
    if not any(targets):
        targets = [None] * len(targets)
    else:
        problems += [
            f"{rows.where(i)}: '{options.target}' is {kind_of(target)}, a text is needed (task.target)"
            for i, target in enumerate(targets)
            if not isinstance(target, str) or not target
        ]
    references = _references(rows, targets, options.references, problems)
    return [Example(*values) for values in zip(ids, sources, targets, references, strict=True)]


def _references(rows: Table, targets: list[Any], column: str | None, problems: list[str]) -> list[tuple[str, ...]]:
    """The texts of the column where the split has it, else the target."""
    if column is None or column not in rows.columns:
        return [() if target is None else (target,) for target in targets]
    found: list[tuple[str, ...]] = []
    for i, row in enumerate(rows.rows):
        value = row[column]
        if isinstance(value, str) and value.startswith("["):  # a list in a cell of CSV
            with contextlib.suppress(ValueError):  # told below as what it is, a text
                value = json.loads(value)
        if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
            what = "a text" if isinstance(value, str) and value else kind_of(value)
            what = "a list of something else" if isinstance(value, list) else what
            problems.append(f"{rows.where(i)}: '{column}' is {what}, a list of texts is needed (task.references)")
            value = []
        found.append(tuple(value))
    return found
