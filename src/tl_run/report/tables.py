"""What is shown as tables: rows of plain values, written by whoever shows them (terminal, page, CSV, Markdown)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

from tl_run.report.settings import Setting, Task, shown
from tl_run.report.statistics import interval, told


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with half of its interval; prints as both."""

    scores: tuple[float, ...]

    def __str__(self) -> str:
        return told(self.scores) if self.scores else "–"

    @property
    def numbers(self) -> tuple[float | None, float | None]:
        """Mean and half of the interval, unrounded."""
        return (mean(self.scores), interval(self.scores)) if self.scores else (None, None)


@dataclass(frozen=True)
class Table:
    """Named columns and rows of values."""

    title: str
    columns: list[str]
    rows: list[list[Any]]
    notes: list[str] = field(default_factory=list)

    def numeric(self, column: int) -> bool:
        """Whether a column holds numbers, which stand on the right."""
        return all(isinstance(row[column], int | float | Estimate | None) for row in self.rows)


def cell(value: Any) -> str:
    """A value in words."""
    if isinstance(value, Estimate):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return shown(value)


def of_settings(task: Task) -> Table:
    """A row for each setting, the best by validation first."""
    varied = [*task.settings[0].values]
    tested = any(setting.test for setting in task.settings)
    columns = ["#", *varied, "n", "validation", *(["test"] if tested else []), "trainable", "seconds"]
    rows = [_row(setting, varied, tested) for setting in task.settings]
    return Table(f"{task.name}: {task.metric}", columns, rows)


def _row(setting: Setting, varied: Sequence[str], tested: bool) -> list[Any]:
    scores = [Estimate(tuple(setting.validation)), *([Estimate(tuple(setting.test))] if tested else [])]
    values = [setting.values[key] for key in varied]
    return [setting.number, *values, len(setting.runs), *scores, setting.trainable, round(setting.seconds, 1)]
