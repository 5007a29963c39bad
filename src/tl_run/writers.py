"""Records to metrics.jsonl (the truth), to TensorBoard (a view of it, rebuilt after a resume) and to the terminal."""

import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tl_run import durable
from tl_run.tensorboard import Board
from tl_run.training import Record

METRICS = "metrics.jsonl"


class MetricsLog:
    """One line per record: kind, step, epoch, time, values, and tables where there are any."""

    def __init__(self, folder: Path, kept_bytes: int) -> None:
        """Go on after `kept_bytes`: what was written after the checkpoint is cut off, it will come again."""
        self.path = folder / METRICS
        if self.path.exists() or kept_bytes:
            durable.truncate(self.path, kept_bytes)

    def write(self, record: Record) -> dict[str, Any]:
        """Append a record and return its line as data."""
        line = {"kind": record.kind, "step": record.step, "epoch": round(record.epoch, 4), "time": time.time()}
        line |= {name: value if math.isfinite(value) else None for name, value in record.values.items()}
        line |= record.tables
        durable.append_line(self.path, json.dumps(line, ensure_ascii=False))
        return line

    def sync(self) -> int:
        """Make it durable; its length in bytes."""
        return durable.sync(self.path) if self.path.exists() else 0

    def lines(self) -> Iterator[dict[str, Any]]:
        """What is written so far."""
        if self.path.exists():
            with self.path.open(encoding="utf-8") as file:
                for line in file:
                    yield json.loads(line)


def to_board(board: Board, line: Mapping[str, Any], labels: list[str]) -> None:
    """One line of metrics.jsonl as TensorBoard shows it."""
    kind = line["kind"]
    for name, value in line.items():
        if name in ("kind", "step", "epoch", "time"):
            continue
        if name == "confusion":
            board.confusion(f"{kind}/confusion", value, labels, line["step"], line["time"])
        elif name == "pr_curve":
            for label, counts in value.items():
                board.pr_curve(f"{kind}/{label}", counts["tp"], counts["fp"], line["step"], line["time"])
        elif isinstance(value, int | float):
            tag = name if name.startswith("best/") else f"{kind}/{name}"
            board.scalar(tag, value, line["step"], line["time"])
