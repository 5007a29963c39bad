"""The same job alone, again, in a sweep, beside others that share its cache, and resumed elsewhere: the same bits."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from cases import Bench, Tally, bench, count, environment
from forked_runs import Command
from left_behind import left_behind, without_clock

NAMES = ("classification", "masked lm", "dann", "stored activations", "lora")


def bits(run: Path) -> dict[str, Any]:
    """What two runs of one job have in common wherever they lie: neither folder nor what else was typed."""
    found = left_behind(run)
    own = ("config.yaml", "overrides.yaml", "environment.json", ".lock", "terminal.log", "model/manifest.json")
    kept = {name: value for name, value in found.items() if name not in own}
    return kept | {"result.json": without_clock(json.loads((run / "result.json").read_text()))}


def in_a_sweep(place: Path, command: list[str]) -> list[Path]:
    """The folders of the same job in a sweep over seeds, that of seed 0 first."""
    place.mkdir()
    words = [word for word in command if not word.startswith("hydra.run.dir=")]
    subprocess.run(
        [sys.executable, "-m", "tl_run", "-m", *words, "seed=0,1", "hydra.sweep.dir=sweep"],
        cwd=place,
        check=True,
        capture_output=True,
        env=environment() | {"TL_RUN_CACHE": f"{place}/cache", "HF_HOME": f"{place}/hf"},
    )
    results = sorted(place.glob("sweep/*/result.json"), key=lambda path: json.loads(path.read_text())["seed"])
    return [path.parent for path in results]


def compare(bench: Bench, name: str, tally: Tally, beside: int = 8) -> None:
    """One job in all these ways."""
    job = bench.job(name)
    expected = bits(bench.folder(name) / "undisturbed" / "run")
    ways = {"in a sweep": in_a_sweep(bench.folder(name) / "sweep", job.command)[0]}
    shared = bench.folder(name) / "beside"
    shared.mkdir()
    jobs = [[*job.command, f"hydra.run.dir=run-{i}", f"seed={i % 2}"] for i in range(beside)]
    codes = bench.forks.run([[Command(str(shared), command)] for command in jobs])
    assert codes == [[0]] * beside, (shared / "output").read_text()
    ways |= {f"beside {beside - 1} others, {i}": shared / f"run-{i}" for i in range(0, beside, 2)}
    for way, run in ways.items():
        tally.note(f"{name}, {way}", None if bits(run) == expected else "other bits")
    other = bits(shared / "run-1")
    tally.note(f"{name}, with another seed", "the same bits" if other == expected else None)
    shutil.rmtree(bench.folder(name))


def main() -> None:
    number, tally = count(len(NAMES), "kinds of run"), Tally("the same bits in a sweep and beside others")
    with bench() as place:
        for name in NAMES[:number]:
            compare(place, name, tally)
            print(f"{name}: so far {tally}", flush=True)
    tally.end()


if __name__ == "__main__":
    main()
