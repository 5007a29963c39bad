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


def middle(results: list[dict[str, Any]]) -> float:
    """The mean test score."""
    return mean(result["metric"]["value"] for result in results)


def cell(results: list[dict[str, Any]]) -> str:
    """Mean and standard deviation of the test score; nothing where nothing was run."""
    if not results:
        return ""
    scores = [result["metric"]["value"] for result in results]
    return f"{mean(scores):.3f}" + (f" ± {stdev(scores):.3f}" if len(scores) > 1 else "")


def main() -> None:
    """Print the table; draw the picture."""
    found, picture = read(Path(sys.argv[1])), Path(sys.argv[2])
    sizes = [size for size in SIZES if any(size == own for _, own in found)]
    names = {name: [size for size in sizes if (name, size) in found] for name, _ in found}
    print(f"| freeze | trainable | {' | '.join(sizes)} | seconds |")
    print("| --- | ---: |" + " --- |" * len(sizes) + " ---: |")
    lines = {}
    for name, own in sorted(names.items(), key=lambda entry: (-len(entry[1]), -middle(found[entry[0], entry[1][-1]]))):
        last = found[name, own[-1]]
        trainable, seconds = last[0]["parameters"]["trainable"], mean(result["seconds"]["total"] for result in last)
        cells = " | ".join(cell(found.get((name, size), [])) for size in sizes)
        print(f"| `{name}` | {trainable:,} | {cells} | {seconds:.0f} |")
        lines[name] = [(float(SIZES.index(size)), middle(found[name, size])) for size in own]
    words = {float(SIZES.index(size)): size for size in sizes}
    picture.write_text(chart("Test accuracy by labels", lines, "labelled examples", "accuracy", names=words))


if __name__ == "__main__":
    main()
