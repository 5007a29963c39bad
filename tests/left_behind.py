"""What a run has left, without what the clock decides: two runs that ended alike have left the same."""

import json
from pathlib import Path
from typing import Any

from forked_runs import Command, Forks

CLOCK = {"time", "seconds", "examples_per_second", "peak_memory_mb", "stored_mb"}  # and what was stored before


def folder(parent: Path, name: object) -> str:
    path = parent / str(name)
    path.mkdir(parents=True)
    return str(path)


def without_clock(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_clock(inner) for key, inner in value.items() if key not in CLOCK}
    return value


def left_behind(run: Path) -> dict[str, Any]:
    """All that a run has left, without what the clock decides; its event file only by number."""
    found: dict[str, Any] = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if path.is_dir() or name.startswith("checkpoints/"):
            continue  # a checkpoint holds seconds, so its manifest differs
        if name == "metrics.jsonl":
            found[name] = [without_clock(json.loads(line)) for line in path.read_text().splitlines()]
        elif name == "result.json":
            found[name] = without_clock(json.loads(path.read_text()))
        elif name.startswith("events.out"):
            found["events"] = found.get("events", 0) + 1
        else:
            found[name] = path.read_bytes()
    newest = max(run.glob("checkpoints/step-*"))  # a signal leaves one more
    found["newest"] = {path.name: path.read_bytes() for path in sorted(newest.glob("*.safetensors"))}
    counters = json.loads((newest / "state.json").read_text())
    found["counters"] = {key: value for key, value in counters.items() if "seconds" not in key}
    return found


def undisturbed(
    forks: Forks, parent: Path, arguments: list[str], cache: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """What the run leaves, and its durable operations, with `cache` those in the cache too."""
    place = folder(parent, "undisturbed")
    assert forks.run([[Command(place, arguments, cache=cache)]]) == [[0]], Path(place, "output").read_text()
    return left_behind(Path(place, "run")), Path(place, "operations").read_text().splitlines()


def spread(total: int, count: int) -> list[int]:
    """`count` of the operations 1 to `total`, evenly, with the first and the last."""
    return sorted({1 + round(i * (total - 1) / (count - 1)) for i in range(count)})


def nth_record(operations: list[str], number: int) -> int:
    """Which operation writes that line of metrics.jsonl."""
    return [n for n, words in enumerate(operations, 1) if words == "write run/metrics.jsonl"][number - 1]


def said(place: Path) -> str:
    return (place / "output").read_text()


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
