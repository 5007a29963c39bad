"""The ledger of a sweep: in its folder a line of JSON for each change of a job's state, from whichever process."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tl_run import durable
from tl_run.secrets import mask

LEDGER = "sweep.jsonl"
BEGUN, RUNNING, DONE, PRUNED, FAILED, INTERRUPTED = "begun", "running", "done", "pruned", "failed", "interrupted"


def note(sweep: Path, state: str, overrides: list[str], **facts: Any) -> None:
    """Add a line, durably. Lines of several processes do not mix: each is one short write at the end of the file."""
    row = mask({"time": round(time.time(), 3), "state": state, "overrides": overrides, **facts})
    durable.make_folder(sweep)
    durable.append_line(sweep / LEDGER, json.dumps(row, ensure_ascii=False))
    durable.sync(sweep / LEDGER)


def has_failed(sweep: Path) -> bool:
    """Whether a job has failed since the sweep was last begun, and was not tried again since."""
    states: dict[tuple[str, ...], str] = {}
    for row in Reader(sweep, 0).new():
        if row["state"] == BEGUN:
            states.clear()
        states[tuple(row["overrides"])] = row["state"]
    return FAILED in states.values()


class Reader:
    """What has been added since it was last asked; at first what comes after the byte `at`, or after now."""

    def __init__(self, sweep: Path, at: int | None = None) -> None:
        self.path = sweep / LEDGER
        self.at = at if at is not None else self.path.stat().st_size if self.path.is_file() else 0

    def new(self) -> Iterator[dict[str, Any]]:
        """Whole lines only: another process may be writing one."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            file.seek(self.at)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.at += len(line)
                yield json.loads(line)
