"""Power cuts, simulated from what a run did: from every state the same command goes on from a good checkpoint, exactly.

`power_loss` says which states are made. A checkpoint whose save had come to its end must be the one that is used.
"""

import random
import re
import shutil

from cases import Bench, Job, Tally, bench, count
from forked_runs import Command
from left_behind import left_behind, said

JOB_NAMES = ("classification", "gradual unfreezing", "dann", "stored activations")


def safe(job: Job, at: int) -> int:
    """The newest step whose checkpoint was durable before operation `at`: renamed, and its folder synced."""
    step = 0
    for n in range(1, at - 1):
        renamed = re.fullmatch(r"rename run/checkpoints/step-(\d+)", job.operations[n - 1])
        if renamed and job.operations[n] == "fsync_dir run/checkpoints":
            step = int(renamed[1])
    return step


def cut_power(bench: Bench, name: str, number: int, rng: random.Random, tally: Tally) -> None:
    """So many states of a job, from operations all over the run."""
    job, parent = bench.job(name), bench.folder(name)
    points = [1 + i * len(job.operations) // number for i in range(number)]
    places = {(at, i): parent / f"{at}-{i}" for i, at in enumerate(points)}
    states: dict[str, list[str]] = {}
    for (at, _), place in places.items():
        states.setdefault(str(at), []).append(str(place))
    recorded = parent / "recorded"
    recorded.mkdir()
    given = {"root": str(recorded), "states": states, "seed": rng.randrange(10**6)}
    run = Command(str(recorded), job.command, cache=job.cache, meddle="power_loss:record", given=given)
    assert bench.forks.run([[run]]) == [[0]], said(recorded)
    assert left_behind(recorded / "run") == job.expected
    again = [[Command(str(place), job.command)] for place in places.values()]
    for ((at, _), place), [code] in zip(places.items(), bench.forks.run(again), strict=True):
        problem = f"exit code {code}" if code else None
        if not problem and left_behind(place / "run") != job.expected:
            problem = "other bits"
        from_step = re.search(r"going on from step (\d+)", said(place))
        if not problem and int(from_step[1] if from_step else 0) < safe(job, at) and "is done" not in said(place):
            problem = f"the checkpoint of step {safe(job, at)} was lost"
        tally.note(f"{name}, cut at {at} ({job.operations[at - 1]})", problem, place)
        shutil.rmtree(place)
    shutil.rmtree(recorded)


def main() -> None:
    number, tally, rng = (
        count(200, "states after a power cut"),
        Tally("power cut, and resumed exactly"),
        random.Random(0),
    )
    with bench() as place:
        for i, name in enumerate(JOB_NAMES):
            cut_power(place, name, number // len(JOB_NAMES) + (i < number % len(JOB_NAMES)), rng, tally)
            print(f"{name}: so far {tally}", flush=True)
    tally.end()


if __name__ == "__main__":
    main()
