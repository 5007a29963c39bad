"""kill -9 at every operation of a save, elsewhere in a run, and of the real command: it ends with the same bits.

A fifth of the cases is killed again while it resumes. Goes on by the same command, or by `tl-run resume=run`.
"""

import argparse
import random
import re
import shutil
import signal
import subprocess
import sys
import time

from cases import JOBS, OTHERS, Bench, Job, Tally, bench, environment
from forked_runs import DIED, Command
from left_behind import count_lines, left_behind


def save_of(operations: list[str], step: int) -> range:
    """The operations of one save, numbered from 1: from the log that is made durable to the last old one removed."""
    own = [n for n, words in enumerate(operations, 1) if f"step-{step:08d}" in words]
    start, end = own[0] - 2, own[-1]
    rotated = {"remove", "rename", "fsync_dir"}
    while operations[end].split()[0] in rotated and "checkpoints" in operations[end]:
        end += 1
    return range(start, end + 1)


def points(job: Job, number: int, rng: random.Random) -> list[int]:
    """Where to kill: at every operation of a save in the middle, as far as `number` goes, and anywhere else."""
    saved = sorted({int(step) for words in job.operations for step in re.findall(r"step-(\d{8})", words)})
    save = [*save_of(job.operations, saved[(len(saved) - 1) // 2])]
    if number < len(save):
        return sorted(
            rng.sample(save, number // 2) + rng.sample(range(1, len(job.operations) + 1), number - number // 2)
        )
    others = [n for n in range(1, len(job.operations) + 1) if n not in save]
    more = number - len(save)
    return sorted(save + rng.sample(others, min(more, len(others))) + rng.choices(others, k=max(0, more - len(others))))


def kill_in_forks(bench: Bench, name: str, number: int, rng: random.Random, tally: Tally) -> int:
    """Kills at operations of the disk; returns how many died twice."""
    job, begun = bench.job(name), 0
    begun = next(
        n for n, words in enumerate(job.operations, 1) if words.endswith("environment.json") and "rename" in words
    )
    chains, places = [], []
    for i, at in enumerate(points(job, number, rng)):
        place = bench.folder(name) / f"{i}"
        place.mkdir()
        how = ["resume=run"] if i % 2 and at > begun else job.command
        first = Command(str(place), job.command, at=at, cache=job.cache)
        again = [Command(str(place), how, at=rng.randint(1, 12), cache=job.cache)] if i % 5 == 0 else []
        chains.append([first, *again, Command(str(place), job.command if again else how, cache=job.cache)])
        places.append((at, place))
    twice = 0
    for (at, place), chain, codes in zip(places, chains, bench.forks.run(chains), strict=True):
        twice += len(chain) == 3 and codes[1] == DIED  # or little was left, and the second kill came too late
        well = codes[0] == DIED and codes[-1] == 0 and all(code in (DIED, 0) for code in codes)
        problem = None if well else f"exit codes {codes}"
        if not problem and left_behind(place / "run") != job.expected:
            problem = "other bits"
        tally.note(f"{name}, killed at {at} ({job.operations[at - 1]})", problem, place)
        shutil.rmtree(place)
    return twice


def kill_the_command(bench: Bench, name: str, case: int, rng: random.Random, tally: Tally) -> None:
    """SIGKILL from outside to `python -m tl_run`, after some record and some milliseconds; then the same command."""
    job = bench.job(name)
    place = bench.folder(name) / f"real-{case}"
    for _ in range(20):
        place.mkdir()
        with (place / "output").open("a") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tl_run", *job.command],
                cwd=place,
                stdout=output,
                stderr=output,
                env=environment() | {"TL_RUN_CACHE": f"{place}/cache", "HF_HOME": f"{place}/hf"},
            )
            lines, wait = rng.randint(0, len(job.expected["metrics.jsonl"]) - 1), rng.uniform(0, 0.05)
            while process.poll() is None and count_lines(place / "run" / "metrics.jsonl") < max(1, lines):
                time.sleep(0.001)
            time.sleep(wait)
            process.send_signal(signal.SIGKILL)
            process.wait()
        if process.returncode == -signal.SIGKILL and not (place / "run" / "result.json").exists():
            break
        shutil.rmtree(place)  # it was faster than we
    [[code]] = bench.forks.run([[Command(str(place), job.command)]])
    problem = f"exit code {code}" if code else None
    if not problem and left_behind(place / "run") != job.expected:
        problem = "other bits"
    tally.note(f"{name}, killed from outside after {lines} records and {wait:.3f} s", problem, place)
    shutil.rmtree(place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=500, help="how many of the jobs that are killed throughout")
    parser.add_argument("--others", type=int, default=5, help="how many of each other job")
    parser.add_argument("--real", type=int, default=60, help="how many of them are kills of the real command")
    parser.add_argument("--jobs", nargs="*", choices=JOBS, default=[*JOBS])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tally, twice, rng = Tally("killed, and ended with the same bits"), 0, random.Random(options.seed)
    with bench() as place:
        for i, name in enumerate(options.jobs):
            before, began = tally.tried, time.monotonic()
            share, left = divmod(options.cases - options.real, len(options.jobs))
            twice += kill_in_forks(place, name, share + (i < left), rng, tally)
            for case in range(i, options.real, len(options.jobs)):
                kill_the_command(place, name, case, rng, tally)
            print(f"{name}: {tally.tried - before} in {time.monotonic() - began:.0f} s; so far {tally}", flush=True)
        for name in OTHERS if options.others else ():
            twice += kill_in_forks(place, name, options.others, rng, tally)
            print(f"{name}: {options.others}; so far {tally}", flush=True)
    print(f"killed again while resuming: {twice}; kills of the real command: {options.real}")
    tally.end()


if __name__ == "__main__":
    main()
