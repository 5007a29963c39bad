"""What a person sees of a sweep that runs: a live table in a terminal, a line for each job that ends otherwise."""

import json
import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from tl_run.plain import plain
from tl_run.sweep.ledger import DONE, FAILED, INTERRUPTED, PRUNED, RUNNING, Reader
from tl_run.sweep.plan import Planned, parts

WAITING = "waiting"
ORDER = (RUNNING, FAILED, INTERRUPTED, PRUNED, DONE, WAITING)
EVERY = 0.5  # seconds between two looks


class Board:
    """`with Board(...)`: follows the ledger while the jobs run, in whichever processes they do.

    `total`: how many jobs there will be, where not all are known yet; `keys`: the options by which they differ.
    """

    def __init__(self, console: Console, sweep: Path, keys: Collection[str], total: int) -> None:
        self.console, self.keys, self.total = console, keys, total
        self.jobs: dict[tuple[str, ...], Planned] = {}
        self.names: dict[tuple[str, ...], str] = {}
        self.states: dict[tuple[str, ...], str] = {}
        self.words: dict[tuple[str, ...], str] = {}
        self.since: dict[tuple[str, ...], float] = {}
        self._reader = Reader(sweep)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=2, transient=True)

    def add(self, jobs: Sequence[Planned]) -> None:
        """Jobs that will run, or are done."""
        for job in jobs:
            own = tuple(job.overrides)
            self.names[own] = " ".join(o for o in own if parts(o)[0] in self.keys) or "as typed"
            self.states[own] = DONE if job.state == DONE else WAITING
            self.jobs[own] = job

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self.console.is_terminal:
            self._live.stop()

    def _follow(self) -> None:
        while not self._over.wait(EVERY):
            self._look()
        self._look()

    def _look(self) -> None:
        for row in self._reader.new():
            own, state = tuple(row["overrides"]), row["state"]
            if own not in self.jobs:  # of another command in the same folder
                continue
            self.states[own] = state
            if state == RUNNING:
                self.since[own] = time.monotonic()
                continue
            score = row.get("value")
            self.words[own] = row.get("reason", "").partition("\n")[0] or (f"{score:.4f}" if score is not None else "")
            if not self.console.is_terminal:
                counts = Counter(self.states.values())
                ended = len(self.jobs) - counts[WAITING] - counts[RUNNING]
                line = f"[{ended}/{self.total}] {state:<7} {self.words[own]}  {self.names[own]}"
                self.console.print(plain(line))

    def _table(self) -> Group:
        """The running first, then what failed, is done and waits, as much as the window holds."""
        counts = Counter(self.states.values())
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("job", "state", "score", "seconds"):
            table.add_column(column, no_wrap=True, overflow="ellipsis")
        rows = sorted(self.jobs, key=lambda own: ORDER.index(self.states[own]))
        for own in rows[: max(self.console.height - 4, 3)]:
            state, seconds = self.states[own], ""
            if state == RUNNING:
                seconds = f"{time.monotonic() - self.since.get(own, time.monotonic()):.0f}"
            words = _so_far(self.jobs[own]) if state == RUNNING else self.words.get(own, "")
            table.add_row(plain(self.names[own]), state, plain(words), seconds)
        total = ", ".join(f"{counts[state]} {state}" for state in ORDER if counts[state])
        return Group(plain(f"{self.total} jobs: {total}", style="bold"), table)


def _so_far(job: Planned) -> str:
    """The last score on validation, and where training is."""
    try:
        lines = (job.folder / "metrics.jsonl").read_bytes().splitlines()
        records = [json.loads(line) for line in lines[-50:]]
    except (OSError, ValueError):
        return ""
    scores = [r[job.metric] for r in records if r["kind"] == "validation" and job.metric in r]
    where = f"step {records[-1]['step']}" if records else ""
    return f"{scores[-1]:.4f}  {where}" if scores else where
