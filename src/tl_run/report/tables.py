"""What is shown as tables: rows of plain values, written by whoever shows them (terminal, page, CSV, Markdown)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

from tl_run.report import sentences
from tl_run.report.gain import Comparison
from tl_run.report.settings import NOTHING, Setting, Task, shown
from tl_run.report.statistics import FEWEST, interval, told


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with half of its interval; prints as both."""

    scores: tuple[float, ...]

    def __str__(self) -> str:
        return told(self.scores) if self.scores else NOTHING

    @property
    def numbers(self) -> tuple[float | None, float | None]:
        """Mean and half of the interval, unrounded."""
        return (mean(self.scores), interval(self.scores)) if self.scores else (None, None)


@dataclass(frozen=True)
class Between:
    """A number with its interval, where there is one."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        return f"{self.value:+.3f}" + (f" ({self.low:+.3f} to {self.high:+.3f})" if self.low is not None else "")


class Seconds(float):
    """Told in tenths."""

    def __str__(self) -> str:
        return f"{self:,.1f}"


@dataclass(frozen=True)
class Table:
    """Named columns and rows of values."""

    title: str
    columns: list[str]
    rows: list[list[Any]]
    notes: list[str] = field(default_factory=list)
    options: range = range(0)
    """Columns that are options, which may be shown as one where there is little room."""

    def numeric(self, column: int) -> bool:
        """Whether a column holds numbers, which stand on the right."""
        kinds = {type(row[column]) for row in self.rows} - {type(None)}
        return kinds <= {int, float, Seconds, Estimate, Between}


def cell(value: Any) -> str:
    """A value in words."""
    if value is None:
        return NOTHING
    if isinstance(value, Estimate | Between | Seconds):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return shown(value)


MISTAKES = 10  # that are told of

INTERVAL = (
    "A row is the runs that differ in their seed alone; n: seeds; ±: half of the 95 % interval of the mean over seeds "
    f"(Student's t), shown from {FEWEST} seeds on. Rows are ordered by validation, which chose the models; test was "
    "not looked at for that. Seconds are those of one run."
)


def of_settings(task: Task) -> Table:
    """A row for each setting, the best by validation first."""
    varied = [*task.settings[0].values]
    tested = any(setting.test for setting in task.settings)
    columns = ["#", *varied, "validation", *(["test"] if tested else []), "n", "trainable", "seconds"]
    rows = [_row(setting, varied, tested) for setting in task.settings]
    return Table(f"{task.name}: {task.metric}", columns, rows, [INTERVAL], options=range(1, 1 + len(varied)))


def _row(setting: Setting, varied: Sequence[str], tested: bool) -> list[Any]:
    scores = [Estimate(tuple(setting.validation)), *([Estimate(tuple(setting.test))] if tested else [])]
    values = [setting.values[key] for key in varied]
    return [setting.number, *values, *scores, len(setting.runs), setting.trainable, Seconds(setting.seconds)]


def of_comparisons(task: Task, comparisons: Sequence[Comparison]) -> Table:
    """A row for each comparison of two sides."""
    columns = ["labels", "first", "second", "verdict", "difference", "pairs", "p (seeds)", "score of first"]
    columns += ["score of second", "examples won", "p (examples)", "worth labels", "settings tried"]
    columns += [f"{what} to that" for what in ("steps", "examples", "seconds")]
    rows = []
    for c in comparisons:
        d, m = c.difference, c.disagreement
        row = [c.labels_words, c.first, c.second, sentences.word(c), Between(d.value, d.low, d.high)]
        row += [d.seeds, _rounded(d.p), *(Estimate(tuple(own)) for own in c.scores)]
        row += [f"{m.first} : {m.second}", _rounded(m.p)] if m else [None, None]
        row += [sentences.worth(c.worth), f"{c.tried[0]} : {c.tried[1]}"]
        reached = (c.reach.steps, c.reach.examples, c.reach.seconds) if c.reach else (None, None, None)
        rows.append([*row, *(" : ".join(map(_brief, pair)) if pair else None for pair in reached)])
    notes = [
        "Difference: in favour of the first, with its 95 % interval by a bootstrap over seeds and test examples "
        "(over seeds alone where a caution says so). p (seeds): exact sign-flip permutation test over pairs of seeds. "
        "Examples won: test examples that the first, and that the second, has right in more seeds; p (examples): "
        "McNemar's exact test of them, which speaks of these runs and not of other seeds. Worth labels: how many the "
        "second needs for the first's score, by its learning curve. Settings tried: those that each side was chosen "
        "from, on validation. Steps, examples and seconds to that: when the first has the best validation score that "
        "the second ever has, and when the second has it (median over pairs of seeds)."
    ]
    if any(c.model != comparisons[0].model for c in comparisons):
        columns.insert(0, "model")
        rows = [[c.model, *row] for c, row in zip(comparisons, rows, strict=True)]
    return Table("What transfer was worth", columns, rows, notes)


def _brief(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def of_mistakes(labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> Table:
    """The pairs of classes that are taken for each other most often."""
    pairs = [(n, i, j) for i, row in enumerate(confusion) for j, n in enumerate(row) if i != j and n]
    rows: list[list[Any]] = [
        [labels[i], labels[j], n] for n, i, j in sorted(pairs, key=lambda pair: -pair[0])[:MISTAKES]
    ]
    return Table("Most frequent mistakes, all seeds together", ["gold", "predicted", "examples"], rows)


def of_classes(setting: Setting) -> Table | None:
    """Precision, recall and F1 of each class or type, over the seeds of a setting; None where the kind has none."""
    made = [run.classes for run in setting.runs if run.classes]
    if len(made) < len(setting.runs):
        return None
    rows = []
    for label, first in made[0].rows.items():
        own = [table.rows[label] for table in made if label in table.rows]
        scores = [Estimate(tuple(row[key] for row in own)) for key in ("precision", "recall", "f1")]
        rows.append([label, *scores, int(first["support"])])
    what = made[0].kind
    return Table(f"Each {what}: {setting.words}", [what, "precision", "recall", "f1", "support"], rows)
