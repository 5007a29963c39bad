"""How cost grows, ours and the peer's: seconds against examples, epochs, sweep points or text length.

    python scripts/bench/growth.py --model DIR --data DIR --axis examples --points 1000,4000,16000

Prints seconds, CPU seconds and the slope on log-log axes (1: proportional). Along epochs and sweep points the trunk is
frozen, and the last column says what each further point costs, as a share of the first point's cost per unit.
"""

import argparse
import csv
import json
import math
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import FROZEN
from chart import chart
from measure import Job, Measured, Ours, Peer, Setting, Side, measure, sample, write_rows

POINTS = {
    "examples": [1000, 2000, 4000, 8000, 16000, 32000, 64000],
    "epochs": [1, 2, 5, 10, 20],
    "sweep": [1, 2, 4, 8, 16, 32],
    "length": [16, 32, 64, 128, 256, 512],
}
RATES = [f"{1e-4 * 1.2**i:.3e}" for i in range(32)]  # of a sweep with so many points


def at(axis: str, point: int) -> tuple[Job, dict[str, Side]]:
    """The job and both sides at one point of an axis; the peer in its best setting."""
    if axis in ("examples", "length"):
        job = Job(max_length=point) if axis == "length" else Job()
        return job, {"ours": Ours(), "peer": Peer("grouped", "bf16")}
    frozen = Peer("grouped", "bf16", ("--freeze-trunk",), times=point if axis == "sweep" else 1)
    if axis == "epochs":
        return Job(epochs=point, lr=1e-3), {"ours": Ours(FROZEN), "peer": frozen}
    sweep = Ours((*FROZEN, "optimizer.lr=" + ",".join(RATES[:point])), sweep=True)
    return Job(epochs=10, lr=1e-3), {"ours": sweep, "peer": frozen}


def joined(data: Path, folder: Path, words: int = 600) -> Path:
    """The same number of texts, each so long that every max_length cuts it: texts of one label, one after the other."""
    folder.mkdir(parents=True)
    for name in ("train.csv", "dev.csv"):
        with (data / name).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        long = [["text", "label"]]
        for i, row in enumerate(rows):
            text, k = row["text"], i
            while text.count(" ") < words:
                k = (k + 1) % len(rows)
                text += " " + rows[k]["text"] if rows[k]["label"] == row["label"] else ""
            long.append([text, row["label"]])
        write_rows(folder / name, long)
    return folder


def slope(points: list[int], seconds: list[float]) -> float:
    """Least squares on log-log axes."""
    x, y = [math.log(p) for p in points], [math.log(s) for s in seconds]
    mx, my = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sum((a - mx) ** 2 for a in x)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--axis", choices=list(POINTS), required=True)
    parser.add_argument("--points", help="comma-separated, instead of the usual ones")
    parser.add_argument("--limit", type=int, help="training examples on the other axes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="append one JSON line per measurement")
    parser.add_argument("--picture", type=Path, help="write the curves as SVG")
    options = parser.parse_args()
    points = [int(p) for p in options.points.split(",")] if options.points else POINTS[options.axis]
    setting = Setting(options.model.absolute(), options.data.absolute(), options.threads)
    found: dict[str, list[tuple[Measured, int]]] = {"ours": [], "peer": []}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        for point in points:
            limit = point if options.axis == "examples" else options.limit
            here = sample(setting.data, Path(scratch) / f"data-{point}", limit)
            if options.axis == "length":
                here = joined(here, Path(scratch) / f"long-{point}")
            job, sides = at(options.axis, point)
            for name, side in sides.items():
                measured = measure(side, job, replace(setting, data=here))
                found[name].append((measured, side.times))
                if options.output:
                    line = {"axis": options.axis, "point": point, "side": name, "times": side.times}
                    line |= {"wall": measured.wall, "cpu": measured.cpu, "peak_mb": measured.peak_mb}
                    with options.output.open("a") as file:
                        file.write(json.dumps(line) + "\n")
    table = Table(title=f"cost against {options.axis}: wall seconds (CPU seconds)", title_justify="left")
    for column in ("side", *map(str, points), "slope", "CPU slope", "further"):
        table.add_column(column, justify="right")
    for name, row in found.items():
        wall, cpu = ([getattr(m, key) * times for m, times in row] for key in ("wall", "cpu"))
        many = len(points) > 1
        further = (wall[-1] - wall[0]) / (points[-1] - points[0]) / (wall[0] / points[0]) if many else math.nan
        slopes = [f"{slope(points, seconds):.2f}" if many else "" for seconds in (wall, cpu)]
        cells = [f"{w:.1f} ({c:.1f})" for w, c in zip(wall, cpu, strict=True)]
        table.add_row(name, *cells, *slopes, f"{further:.1%}")
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    if options.picture:
        lines = {
            name: [(point, m.wall * times) for point, (m, times) in zip(points, row, strict=True)]
            for name, row in found.items()
        }
        options.picture.write_text(
            chart(f"Cost against {options.axis}", lines, options.axis, "seconds", log_x=True, log_y=True)
        )


if __name__ == "__main__":
    main()
