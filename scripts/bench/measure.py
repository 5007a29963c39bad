"""Commands as whole processes, one after the other: their wall and CPU seconds, peak memory, and what they report.

Nothing of the program is imported: what is measured is what a user would type.
"""

import csv
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Setting:
    """What a side finds on the machine, and the round's seed."""

    model: Path
    data: Path
    threads: int = 2
    seed: int = 0


@dataclass(frozen=True)
class Job:
    """What both sides of a pair are told to do."""

    epochs: int = 1
    max_steps: int | None = None
    max_length: int = 128
    lr: float = 5e-5
    batch_size: int = 32
    random: bool = False  # the model's architecture with random weights
    test: bool = False  # dev.csv is scored once more at the end, as a test split


@dataclass(frozen=True)
class Ours:
    """One call of tl-run; `times` such calls are what is compared (one is measured)."""

    overrides: tuple[str, ...] = ()
    sweep: bool = False
    threads: int | None = None  # instead of the setting's
    neighbour: bool = False  # beside one other busy process
    precision: str = "bf16"
    times: int = 1

    def command(self, job: Job, setting: Setting, folder: Path) -> list[str]:
        """What is typed."""
        return [
            *(sys.executable, "-m", "tl_run", *(["-m"] if self.sweep else [])),
            *("task=classification", f"task.train={setting.data / 'train.csv'}"),
            f"task.validation={setting.data / 'dev.csv'}",
            *([f"task.test={setting.data / 'dev.csv'}"] if job.test else []),
            f"task.max_length={job.max_length}",
            *("model=custom", f"model.path={setting.model}", *(["model.pretrained=false"] if job.random else [])),
            *("hardware=cpu", f"hardware.precision={self.precision}"),
            f"hardware.threads={self.threads or setting.threads}",
            *(f"training.batch_size={job.batch_size}", f"training.epochs={job.epochs}"),
            *([f"training.max_steps={job.max_steps}"] if job.max_steps else []),
            *([] if self.sweep else [f"optimizer.lr={job.lr}"]),
            *("optimizer.weight_decay=0", "optimizer.warmup=0"),  # run_glue's
            *(f"seed={setting.seed}", f"hydra.{'sweep' if self.sweep else 'run'}.dir={folder / 'run'}"),
            *self.overrides,
        ]


@dataclass(frozen=True)
class Peer:
    """One call of the Trainer script; `times` such calls are what is compared (one is measured)."""

    padding: str
    precision: str = "fp32"
    options: tuple[str, ...] = ()
    threads: int | None = None
    neighbour: bool = False
    times: int = 1

    def command(self, job: Job, setting: Setting, folder: Path) -> list[str]:
        """What is typed."""
        return [
            *(sys.executable, str(HERE / "peer_trainer.py"), "--model", str(setting.model)),
            *("--train", str(setting.data / "train.csv"), "--validation", str(setting.data / "dev.csv")),
            *(["--test", str(setting.data / "dev.csv")] if job.test else []),
            *(["--random"] if job.random else []),
            *("--padding", self.padding, *(["--bf16"] if self.precision == "bf16" else [])),
            *("--epochs", str(job.epochs), *(["--max-steps", str(job.max_steps)] if job.max_steps else [])),
            *("--max-length", str(job.max_length), "--lr", str(job.lr), "--batch-size", str(job.batch_size)),
            *("--threads", str(self.threads or setting.threads), "--seed", str(setting.seed)),
            *("--output", str(folder / "run"), *self.options),
        ]


@dataclass(frozen=True)
class Plain:
    """Any other Python command; `code` is the exit code it should have."""

    words: tuple[str, ...]
    code: int = 0
    times: int = 1
    neighbour = False
    precision = "fp32"

    def command(self, job: Job, setting: Setting, folder: Path) -> list[str]:
        """What is typed."""
        return [sys.executable, *self.words]


Side = Ours | Peer | Plain


@dataclass(frozen=True)
class Measured:
    """One process: seconds of wall and CPU (children included), largest resident memory, and what it reported.

    Linux counts a child's peak from its parent's size on, so a peak below that of the benchmark itself is not seen.
    """

    wall: float
    cpu: float
    peak_mb: float
    results: list[dict[str, Any]] = field(default_factory=list)  # one per job of a sweep
    first_step: float | None = None  # seconds from the start of the process to the end of the first optimizer step

    def seconds(self, clock: str) -> float:
        """By one of the clocks: process, train, evaluate, first_step."""
        if clock == "process":
            return self.wall
        if clock == "first_step":
            assert self.first_step is not None, "no step was recorded: log_every=1 is needed"
            return self.first_step
        return sum(result["seconds"][clock] for result in self.results)

    @property
    def score(self) -> float | None:
        """Accuracy of the best epoch on validation; of the best job in a sweep."""
        return max((result["validation"]["accuracy"] for result in self.results), default=None)

    @property
    def examples(self) -> int:
        """Seen in training, by all jobs."""
        return sum(result["examples"] for result in self.results)


def measure(side: Side, job: Job, setting: Setting) -> Measured:
    """Run one side to its end in a folder of its own, with caches that are empty.

    Raises: RuntimeError with the end of its output when it fails.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        if side.neighbour:
            busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(busy.wait)
            stack.callback(busy.kill)
        command, output = side.command(job, setting, folder), folder / "output.txt"
        with output.open("wb") as file:
            began, started = time.perf_counter(), time.time()
            process = subprocess.Popen(command, stdout=file, stderr=file, env=_environment(folder), cwd=folder)
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)  # Popen need not wait for what is gone
        if process.returncode != (side.code if isinstance(side, Plain) else 0):
            end = output.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"exit code {process.returncode}: {shlex.join(command)}\n{end}")
        results = [json.loads(path.read_text()) for path in sorted(folder.glob("run/**/result.json"))]
        cpu = usage.ru_utime + usage.ru_stime
        return Measured(wall, cpu, usage.ru_maxrss / 1024, results, _first_step(folder, results, started))


def _environment(folder: Path) -> Mapping[str, str]:
    caches = {"TL_RUN_CACHE": str(folder / "cache"), "HF_DATASETS_CACHE": str(folder / "datasets")}
    # Spinning OpenMP threads would let a neighbour decide: both sides wait without spinning.
    return os.environ | caches | {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}


def _first_step(folder: Path, results: list[dict[str, Any]], started: float) -> float | None:
    """The peer says when; of ours the first record of metrics.jsonl has the time."""
    at = results[0].get("first_step_at") if results else None
    if at is None and (log := folder / "run" / "metrics.jsonl").exists():
        first = json.loads(log.read_text().splitlines()[0])
        at = first["time"] if (first["kind"], first["step"]) == ("train", 1) else None
    return at and at - started


def sample(data: Path, folder: Path, limit: int | None) -> Path:
    """A folder with train.csv (so many rows of it, the same for every side) and dev.csv."""
    if limit is None:
        return data
    header, *rows = _rows(data / "train.csv")
    if len(rows) < limit:
        raise SystemExit(f"--limit {limit}: {data / 'train.csv'} has {len(rows)} rows")
    folder.mkdir(parents=True)
    write_rows(folder / "train.csv", [header, *random.Random(0).sample(rows, limit)])
    write_rows(folder / "dev.csv", _rows(data / "dev.csv"))
    return folder


def write_rows(path: Path, rows: list[list[str]]) -> None:
    """A CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def _rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))
