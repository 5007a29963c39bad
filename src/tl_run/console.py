"""What a person sees: the plan, the progress of training, and what came of it."""

import shlex
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tl_run.plain import plain
from tl_run.report.statistics import FEWEST, told
from tl_run.sweep.summary import Setting

if TYPE_CHECKING:
    from tl_run.sweep.plan import Planned
    from tl_run.training import Record  # it brings torch, which telling a stored result does not need


LARGEST_SHOWN = 10  # classes up to which tables are printed


class Terminal:
    """Prints to stdout; a live line while training when that is a terminal, plain lines otherwise.

    In a sweep a job prints to a file, and validation only: who looks at eight test scores has begun to choose by them.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self.in_sweep = file is not None
        self.console = Console(highlight=False, soft_wrap=True, file=file)
        self._progress: Progress | None = None
        self._task: Any = None
        self._best: float | None = None

    def plan(self, rows: list[tuple[str, str]], notes: list[str]) -> None:
        """The run in a few rows, then whatever was decided for the user."""
        if self.console.is_terminal:
            grid = Table.grid(padding=(0, 2))
            grid.add_column(style="bold")
            grid.add_column(overflow="fold")
            for name, words in rows:
                grid.add_row(name, plain(words))
            self.console.print(grid)
        else:
            for name, words in rows:
                self.console.print(plain(f"{name:<11} {words}"))
        for note in notes:
            self.note(note)

    def jobs(self, jobs: Sequence["Planned"]) -> None:
        """A row for each job of a sweep: its state, and the folder that is its own."""
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("state", "folder"):
            table.add_column(column, overflow="fold")
        for job in jobs:
            table.add_row(job.state, plain(str(job.folder)))
        whole(self.console, table)

    def summary(self, settings: Sequence[Setting]) -> None:
        """A row for each setting of a sweep, and of the best by validation the test."""
        for task, own in groupby(settings, lambda setting: setting.task):
            rows = list(own)
            table = Table(box=None, pad_edge=False, header_style="dim")
            table.add_column(plain(task))
            for column in ("runs", "validation", "trainable", "seconds"):
                table.add_column(column, justify="right")
            for row in rows:
                trainable = row.results[0]["parameters"]["trainable"]
                seconds = mean(result["seconds"]["total"] for result in row.results)
                cells = (told(row.validation), f"{trainable:,}", f"{seconds:.1f}")
                table.add_row(plain(row.words), str(len(row.results)), *cells)
            self.console.print()
            whole(self.console, table)
            best = rows[0]
            if best.test:
                self.console.print(plain(f"best by validation: {best.words}; its test {best.metric} {told(best.test)}"))
        counts = {len(row.results) for row in settings}
        if max(counts, default=0) >= FEWEST:
            self.note(
                "± is half of the 95 % interval of the mean over runs (Student's t), where there are three or more"
            )

    def note(self, words: str) -> None:
        """Something the user should know."""
        self.console.print(plain(f"note: {words}", style="dim"))

    def warn(self, words: str) -> None:
        """Something the user should look at."""
        self.console.print(plain(f"warning: {words}", style="yellow"))

    def start(self, steps: int, done: int, best: float | None) -> None:
        """Begin the live line at step `done` of `steps`, where `best` is the best score so far."""
        self._best = best
        if not self.console.is_terminal:
            return
        columns = (
            TextColumn("{task.description}"),
            TextColumn("epoch {task.fields[epoch]:.2f}"),
            BarColumn(bar_width=24),
            TextColumn("step {task.completed:.0f}/{task.total:.0f}  loss {task.fields[loss]:.4f}"),
            TextColumn("{task.fields[speed]:.0f} examples/s"),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=self.console, transient=True)
        self._task = self._progress.add_task("", total=steps, completed=done, epoch=0.0, loss=0.0, speed=0.0)
        self._progress.start()

    def show(self, record: "Record", metric: str) -> None:
        """Bring the live line up to date; validation scores get a line of their own."""
        if self._progress:
            fields: dict[str, Any] = {"epoch": record.epoch}
            if record.kind in ("step", "train"):
                fields["loss"] = record.values["loss"]
            if record.kind == "train":
                fields["speed"] = record.values["examples_per_second"]
            self._progress.update(self._task, completed=record.step, **fields)
        if record.kind == "phase":
            at, number, words = record.step, record.values["phase"], record.tables["learns"]
            self.console.print(plain(f"epoch {record.epoch:5.2f}  step {at:5d}  phase {number} begins: {words}"))
        if record.kind == "validation":
            value, best = record.values[metric], record.values[f"best/{metric}"]
            text = f"epoch {record.epoch:5.2f}  step {record.step:5d}  validation {metric} {value:.4f}"
            text += f"  loss {record.values['loss']:.4f}"
            text += f"  C {record.values['C']:g}" if "C" in record.values else ""  # of a head that is solved
            text += "  best" if best != self._best else ""
            self._best = best
            self.console.print(plain(text))

    def storing(self, done: int, total: int, seconds: float) -> None:
        """How far the store is filled; a line of its own at the end."""
        if done == total:
            self.note(f"what stays frozen was computed for {total:,} examples in {seconds:.1f} s, once for all epochs")
        if self._progress:
            words = "" if done == total else f"computing what stays frozen: {done:,} of {total:,} examples"
            self._progress.update(self._task, description=words)

    def stop(self) -> None:
        """End the live line."""
        if self._progress:
            self._progress.stop()
            self._progress = None

    def result(self, result: Mapping[str, Any], folder: str) -> None:
        """Scores, the table of classes when they are few, and where everything lies."""
        metric = result["metric"]["name"]
        self.console.print()
        self._score("validation", metric, result["validation"][metric], f"step {result['best_step']}")
        if self.in_sweep:
            self.console.print(plain(f"folder      {folder}\n"))
            return
        if test := result["test"]:
            self._scores("test", metric, {name: value for name, value in test.items() if "/" not in name})
        tasks: Mapping[str, Any] = result.get("tasks", {})
        for name, own in tasks.items():
            self._scores(f"  {name}", own["metric"], own["test"] or own["validation"])
        tables = result["tables"]
        if "confusion" in tables and len(tables["confusion"]) <= LARGEST_SHOWN:
            rows, unbounded = tables["per_class"], self.console.options.update(max_width=1000)
            table = _classes("class", rows, tables["confusion"])
            if Measurement.get(self.console, unbounded, table).maximum > self.console.width:
                table = _classes("class", rows)  # cut names would say nothing; result.json has the counts
            self.console.print(table)
        if len(tables.get("per_type", ())) in range(1, LARGEST_SHOWN + 1):
            self.console.print(_classes("type", tables["per_type"]))
        self.console.print(plain(f"folder      {folder}"))
        for name in tasks or [""]:
            run, model = (folder, f"{folder}/model") if not name else (f"{folder}/model/{name}",) * 2
            self.console.print(plain(f"model       {model}   (tl-predict {shlex.quote(run)} new.csv)"))
        if (Path(folder) / "adapter").is_dir():
            self.console.print(
                plain(f"adapter     {folder}/adapter   (peft.PeftModel.from_pretrained(<base model>, ...))")
            )
        above = folder if Path(folder).is_absolute() or ".." in Path(folder).parts else Path(folder).parts[0]
        self.console.print(plain(f"curves      tensorboard --logdir {shlex.quote(str(above))}"))

    def _score(self, split: str, metric: str, value: float, more: str) -> None:
        self.console.print(plain(f"{split:<11} {metric} ") + plain(f"{value:.4f}", "bold") + plain(f"  ({more})"))

    def _scores(self, title: str, metric: str, scores: Mapping[str, Any]) -> None:
        others = ", ".join(f"{k} {v:.4f}" for k, v in scores.items() if isinstance(v, float) and k != metric)
        self._score(title, metric, scores[metric], others)


def whole(console: Console, table: Table) -> None:
    """Print a table; in a file as wide as it is: nothing is cut."""
    if console.is_terminal:
        console.print(table)
        return
    needed = Measurement.get(console, console.options.update(max_width=1000), table).maximum
    Console(file=console.file, width=needed, highlight=False).print(table)


def _classes(what: str, rows: Mapping[str, Mapping[str, Any]], confusion: Sequence[Sequence[int]] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(what)
    for column in ("precision", "recall", "f1", "support"):
        table.add_column(column, justify="right")
    for name in rows if confusion else ():
        table.add_column(plain(f"as {name}"), justify="right")
    for name, counts in zip(rows, confusion or [()] * len(rows), strict=True):
        row = rows[name]
        scores = [f"{row[key]:.3f}" for key in ("precision", "recall", "f1")]
        table.add_row(plain(name), *scores, str(row["support"]), *map(str, counts))
    return table
