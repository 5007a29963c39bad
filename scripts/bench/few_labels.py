"""Which way of transferring helps with how many labels? The table and the picture of one multirun.

    python scripts/bench/few_labels.py outputs/sweeps/sst2 docs/few-labels.svg

The multirun is `tl-run -m --config-dir scripts/bench/few-labels experiment=labels-20,labels-100,labels-1000,labels-all
freeze=... seed=0,1,2` with the user's files; see docs/benchmarks.md. Prints Markdown.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from chart import chart

SIZES = ("20", "100", "1000", "all")


def read(folder: Path) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The results of a sweep, by what is frozen and how many labels there were."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(folder.glob("*/result.json")):
        size = path.parent.name.split("labels-")[1].split("_")[0]
        result = json.loads(path.read_text())
        found[result["freeze"], size].append(result)
    return found


def cell(results: list[dict[str, Any]]) -> str:
    """Mean and standard deviation of the test score."""
    scores = [result["metric"]["value"] for result in results]
    return f"{mean(scores):.3f} ± {stdev(scores):.3f}" if len(scores) > 1 else f"{scores[0]:.3f}"


def main() -> None:
    """Print the table; draw the picture."""
    found, picture = read(Path(sys.argv[1])), Path(sys.argv[2])
    names = list(dict.fromkeys(name for name, _ in found))
    sizes = [size for size in SIZES if any((name, size) in found for name in names)]
    largest = sizes[-1]
    print(f"| freeze | trainable | {' | '.join(sizes)} | seconds ({largest}) |")
    print("| --- | ---: |" + " --- |" * len(sizes) + " ---: |")
    lines = {}
    for name in sorted(names, key=lambda name: -mean(r["metric"]["value"] for r in found[name, largest])):
        last = found[name, largest]
        trainable = last[0]["parameters"]["trainable"]
        seconds = mean(result["seconds"]["total"] for result in last)
        print(f"| `{name}` | {trainable:,} | {' | '.join(cell(found[name, s]) for s in sizes)} | {seconds:.0f} |")
        lines[name] = [(SIZES.index(size), mean(r["metric"]["value"] for r in found[name, size])) for size in sizes]
    words = {float(SIZES.index(size)): size for size in sizes}
    picture.write_text(chart("Test accuracy by labels", lines, "labelled examples", "accuracy", names=words))


if __name__ == "__main__":
    main()
