"""A sweep of many small jobs: do memory and open files of the process that sweeps stay flat, and is nothing left over?

    python scripts/trust/soak.py --jobs 200

Starts the real command in a temporary folder, looks at its process after each job, and exits with 1 where the second
half of the sweep holds over 5 % more memory or any more open files than the first, or where debris is left.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median


def main() -> int:
    """Run the sweep, and print a line for each tenth of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=200)
    jobs = parser.parse_args().jobs
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        place, temporary = Path(folder), Path(folder) / "tmp"
        temporary.mkdir()
        environment = os.environ | {"TMPDIR": str(temporary), "TL_RUN_CACHE": str(place / "cache")}
        command = [sys.executable, "-m", "tl_run", "-m", f"seed=range({jobs})", "task.limit=16", "freeze=trunk"]
        command += ["training.max_steps=2", "training.eval_every=2", "sweep.name=soak"]
        began, seen = time.monotonic(), dict[int, tuple[float, int]]()
        with (place / "output").open("w") as output:
            process = subprocess.Popen(
                command, cwd=place, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True
            )
            while process.poll() is None:
                time.sleep(0.2)
                if done := _done(place / "outputs/sweeps/soak/sweep.jsonl"):
                    seen.setdefault(done, _held(process.pid) or seen.get(done - 1, (0.0, 0)))
        seconds = time.monotonic() - began
        if process.returncode:
            print((place / "output").read_text()[-2000:])
            return 1
        for done in sorted(seen)[:: max(1, len(seen) // 10)]:
            print(f"{done:4d} jobs  {seen[done][0]:7.1f} MB  {seen[done][1]:3d} open files")
        half = [[seen[done] for done in sorted(seen) if (done > jobs // 2) == later] for later in (False, True)]
        memory, files = ([median(each[i] for each in part) for part in half] for i in (0, 1))
        reading = time.monotonic()
        rows = _done(place / "outputs/sweeps/soak/sweep.jsonl")
        reading = time.monotonic() - reading
        debris = [path for path in temporary.iterdir() if not path.name.startswith("torchinductor")]
        debris += [path for path in place.rglob("*") if path.name.startswith((".tmp-", ".del-"))]
        print(
            f"{rows} of {jobs} jobs done in {seconds:.0f} s; memory {memory[0]:.1f} MB, then {memory[1]:.1f} MB "
            f"({memory[1] / memory[0] - 1:+.1%}); open files {files[0]:.0f}, then {files[1]:.0f}; "
            f"ledger read in {reading:.3f} s; left over: {[path.name for path in debris] or 'nothing'}"
        )
        flat = memory[1] <= 1.05 * memory[0] and files[1] <= files[0]
        return 0 if flat and rows == jobs and not debris else 1


def _done(ledger: Path) -> int:
    if not ledger.is_file():
        return 0
    lines = ledger.read_bytes().splitlines(keepends=True)
    return sum(json.loads(line)["state"] == "done" for line in lines if line.endswith(b"\n"))


def _held(process: int) -> tuple[float, int] | None:
    """Memory in MB and open files; None when it has just ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir(f"/proc/{process}/fd"))
    except OSError:
        return None


if __name__ == "__main__":
    sys.exit(main())
