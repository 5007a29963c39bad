"""A disk that is full, a file-size limit, a folder that cannot be written: exit 5, it is said what and where, and the
last good checkpoint is whole; with room again the same command ends with the same bits.

The disk is full from some operation on (through the hook of `durable`), and really so on small file systems in memory,
which only root can make: without, those cases are left out, and this is said.
"""

import contextlib
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cases import Bench, Job, Tally, bench, count
from forked_runs import Command
from left_behind import left_behind, said
from tl_run.errors import MACHINE, BadCheckpoint
from tl_run.manifest import read_folder

NAMES = ("classification", "gradual unfreezing")
ROOM = r"\((at least [\d,]+ bytes needed, )?[\d,]+ bytes free\)"
SAID = re.compile(rf"^error: cannot [\w ]+ (\S*/)?(run|cache)\S*: .+ {ROOM}$", re.MULTILINE)


def judge(job: Job, place: Path, code: int, *, words: re.Pattern[str] = SAID) -> str | None:
    """What was wrong with how the command ended."""
    if code != MACHINE:
        return f"exit code {code}"
    if not words.search(said(place)) or "Traceback" in said(place):
        return "not said what, where and how much room"
    try:
        for path in place.glob("run/checkpoints/step-*"):
            read_folder(path)
    except BadCheckpoint as problem:
        return str(problem)
    return None


def goes_on(bench: Bench, job: Job, place: Path, problem: str | None) -> str | None:
    """With room again: the same bits, and no debris."""
    if problem:
        return problem
    [[code]] = bench.forks.run([[Command(str(place), job.command)]])
    if code:
        return f"then exit code {code}"
    return "then other bits" if left_behind(place / "run") != job.expected else None


def refused(bench: Bench, name: str, error: str, number: int, tally: Tally) -> None:
    """From operations all over the run on, the disk refuses with this error."""
    job = bench.job(name)
    last = max(n for n, words in enumerate(job.operations, 1) if words.split()[0] in ("create", "write", "fsync"))
    points = [1 + i * (last - 1) // max(1, number - 1) for i in range(number)]
    places = {bench.folder(name) / f"{error}-{i}": at for i, at in enumerate(points)}
    for place in places:
        place.mkdir()
    given = [{"at": at, "error": error} for at in places.values()]
    chains = [
        [Command(str(place), job.command, cache=job.cache, meddle="faults:disk_refuses", given=each)]
        for place, each in zip(places, given, strict=True)
    ]
    words = SAID if error == "ENOSPC" else re.compile(r"^error: cannot [\w ]+ run\S*: .+$", re.M)
    for (place, at), [code] in zip(places.items(), bench.forks.run(chains), strict=True):
        problem = goes_on(bench, job, place, judge(job, place, code, words=words))
        tally.note(f"{name}, {error} from {at} on ({job.operations[at - 1]})", problem, place)
        shutil.rmtree(place)


def limited(bench: Bench, name: str, limit: int, tally: Tally) -> None:
    """No file grows over so many bytes."""
    job, place = bench.job(name), bench.folder(name) / f"limit-{limit}"
    place.mkdir()
    command = Command(str(place), job.command, meddle="faults:file_size_limit", given={"limit": limit})
    [[code]] = bench.forks.run([[command]])
    problem = goes_on(bench, job, place, judge(job, place, code))
    tally.note(f"{name}, files of at most {limit:,} bytes", problem, place)
    shutil.rmtree(place)


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def small_disk(place: Path, size: int) -> Iterator[None]:
    """A file system of so many KiB, in memory. Raises: CalledProcessError for who is not root."""
    place.mkdir()
    mount("-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(place))
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
        place.rmdir()


def really_full(bench: Bench, name: str, size: int, tally: Tally) -> bool:
    """On a disk of so many KiB; whether it was too small for the run."""
    job, place = bench.job(name), bench.folder(name) / f"disk-{size}"
    with small_disk(place, size):
        [[code]] = bench.forks.run([[Command(str(place), job.command)]])
        if code == 0:
            return False
        problem = judge(job, place, code)
        mount("-o", "remount,size=64m", str(place))
        tally.note(f"{name}, on a disk of {size} KiB", goes_on(bench, job, place, problem), place)
    return True


def read_only(bench: Bench, name: str, at: int, tally: Tally) -> None:
    """The folder can be read but not written: from the beginning, or from a killed run on."""
    job, place = bench.job(name), bench.folder(name) / f"read-only-{at}"
    with small_disk(place, 65536):
        if at:
            bench.forks.run([[Command(str(place), job.command, at=at)]])
        else:
            (place / "run").mkdir()
        (place / "output").touch()
        mount("--bind", f"{place}/run", f"{place}/run")
        try:
            mount("-o", "remount,ro,bind", f"{place}/run")
            [[code]] = bench.forks.run([[Command(str(place), job.command)]])
        finally:
            subprocess.run(["umount", f"{place}/run"], check=True)
        words = re.compile(r"^error: cannot [\w ]+ run\S*: Read-only file system$", re.M)
        problem = goes_on(bench, job, place, judge(job, place, code, words=words))
        tally.note(f"{name}, read-only after operation {at}", problem, place)


def main() -> None:
    number, tally = count(50, "operations from which on the disk is full"), Tally("no room, and resumed exactly")
    rng = random.Random(0)
    with bench() as place:
        for name in NAMES:
            refused(place, name, "ENOSPC", number // len(NAMES), tally)
        for error in ("EROFS", "EACCES", "EDQUOT", "EIO"):
            refused(place, NAMES[0], error, number // 10, tally)
        for limit in (15_000, 20_000, 25_000, 40_000, 60_000):
            limited(place, NAMES[0], limit, tally)
        if os.geteuid():
            print("not root: no small disks, no read-only folders")
        else:
            sizes = rng.sample(range(40, 800, 4), number // 2)
            small = sum(really_full(place, NAMES[0], size, tally) for size in sizes)
            print(f"disks that were really too small: {small} of {len(sizes)}")
            for at in (0, 60, 120):
                read_only(place, NAMES[0], at, tally)
    tally.end()


if __name__ == "__main__":
    main()
