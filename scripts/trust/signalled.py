"""SIGTERM, SIGINT, SIGHUP and SIGUSR1 in training: a checkpoint within one step and one save, exit 75, and the run goes
on exactly. A second Ctrl-C leaves at once with 130, and the run goes on exactly all the same.
"""

import random
import re
import shutil
import time
from pathlib import Path

from cases import Bench, Job, Tally, bench, count
from forked_runs import Command
from left_behind import left_behind, said
from tl_run.errors import INTERRUPTED, SECOND_INTERRUPT

NAMES = ("classification", "accumulation", "gradual unfreezing", "stored activations")
SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")


def training(job: Job) -> range:
    """Operations, from 1, between the first record and the last save."""
    records = [n for n, words in enumerate(job.operations, 1) if words == "write run/metrics.jsonl"]
    return range(records[0], records[-1] + 1)


def steps_before(job: Job, at: int) -> int:
    """Steps that are done at an operation: each has a record."""
    lines = sum(words == "write run/metrics.jsonl" for words in job.operations[:at])
    return max(line["step"] for line in job.expected["metrics.jsonl"][:lines])


def judge(job: Job, place: Path, at: int, twice: bool, codes: list[int]) -> str | None:
    """What was wrong."""
    if codes != [SECOND_INTERRUPT if twice else INTERRUPTED, 0]:
        return f"exit codes {codes}"
    stopped = re.search(r"interrupted by SIG\w+ at step (\d+); to go on: tl-run resume=run$", said(place), re.MULTILINE)
    if not twice:
        if not stopped or not 0 <= int(stopped[1]) - steps_before(job, at) <= 1:
            return f"not within a step of step {steps_before(job, at)}"
        if f"going on from step {stopped[1]}\n" not in said(place):
            return "its checkpoint was not used"
    return None if left_behind(place / "run") == job.expected else "other bits"


def stop(bench: Bench, name: str, number: int, rng: random.Random, tally: Tally) -> None:
    """Each signal in turn, and Ctrl-C twice, at operations all over training."""
    job = bench.job(name)
    points = sorted(rng.sample(training(job), number))
    kinds = [[name] for name in SIGNALS] + [["SIGINT", "SIGINT"]]
    places, chains = {}, []
    for i, at in enumerate(points):
        place, signals = bench.folder(name) / f"stopped-{at}", kinds[i % len(kinds)]
        place.mkdir()
        places[place] = at, signals
        first = Command(str(place), job.command, at=at, signals=signals, cache=job.cache)
        chains.append([first, Command(str(place), ["resume=run"])])
    for (place, (at, signals)), codes in zip(places.items(), bench.forks.run(chains), strict=True):
        problem = judge(job, place, at, len(signals) == 2, codes)
        tally.note(f"{name}, {' and '.join(signals)} at {at} ({job.operations[at - 1]})", problem, place)
        shutil.rmtree(place)


def main() -> None:
    number, tally, rng = count(40, "signals"), Tally("stopped, and resumed exactly"), random.Random(0)
    with bench() as place:
        for name in NAMES:
            began = time.monotonic()
            stop(place, name, number // len(NAMES), rng, tally)
            print(f"{name}: so far {tally} ({time.monotonic() - began:.0f} s)", flush=True)
    tally.end()


if __name__ == "__main__":
    main()
