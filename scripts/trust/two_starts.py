"""Two starts on one run folder: the second is refused within 2 seconds, with the number of the first; after kill -9 of
the first its lock is nobody's, and the same command goes on.
"""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from cases import Bench, Tally, bench, count, environment
from left_behind import count_lines, left_behind, said
from tl_run.errors import BAD_INPUT

AT_MOST = 2.0  # seconds, from the last of the imports to the refusal
TIMED = (
    "import sys, time\nfrom tl_run import cli\nbegan = time.monotonic()\n"
    "code = cli.outcome(lambda: cli._compose_and_run(sys.argv[1:]))\n"
    "print(f'refused in {time.monotonic() - began:.2f} s', flush=True)\nsys.exit(code)"
)


def start(place: Path, command: list[str], *how: str) -> subprocess.Popen[bytes]:
    """The command, as it is typed."""
    with (place / "output").open("a") as output:
        return subprocess.Popen(
            [sys.executable, *how, *command],
            cwd=place,
            stdout=output,
            stderr=output,
            env=environment() | {"TL_RUN_CACHE": f"{place}/cache", "HF_HOME": f"{place}/hf"},
        )


def twice(bench: Bench, name: str, case: int, tally: Tally) -> None:
    """One start, a second, a third after the first was killed."""
    job, place = bench.job(name), bench.folder(name) / f"twice-{case}"
    place.mkdir()
    first = start(place, job.command, "-m", "tl_run")
    while first.poll() is None and not count_lines(place / "run" / "metrics.jsonl"):
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)  # it holds the folder for as long as we like
    began = time.monotonic()
    second = start(place, job.command, "-c", TIMED)
    code = second.wait()
    took = time.monotonic() - began
    problem = None
    if code != BAD_INPUT or f"run is in use by process {first.pid} on host" not in said(place):
        problem = f"the second start ended with {code}"
    refused = float(said(place).rpartition("refused in ")[2].split()[0]) if not problem else 0.0
    if refused > AT_MOST:
        problem = f"the second start was refused after {refused} s"
    first.kill()
    first.wait()
    code = start(place, job.command, "-m", "tl_run").wait()
    if not problem and (code or left_behind(place / "run") != job.expected):
        problem = f"the third start ended with {code}, or with other bits"
    tally.note(f"start {case}", problem, place)
    print(f"refused after {took:.2f} s, of which {refused:.2f} s after the imports")
    shutil.rmtree(place)


def main() -> None:
    number, tally = count(5, "times"), Tally("a second start refused, a killed one's lock taken over")
    with bench() as place:
        for case in range(number):
            twice(place, "classification", case, tally)
    tally.end()


if __name__ == "__main__":
    main()
