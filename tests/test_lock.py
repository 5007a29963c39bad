"""One process in a folder at a time, and none locks it after its death."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tl_run import disk
from tl_run.errors import BAD_INPUT
from tl_run.lock import InUse, Lock

HOLD = """
import os, sys, time
from pathlib import Path
from tl_run.lock import Lock
with Lock(Path(sys.argv[1])):
    if "fork" not in sys.argv or os.fork() == 0:
        print(os.getpid(), flush=True)
    time.sleep(60)
"""

COUNT = """
import sys, time
from pathlib import Path
from tl_run.lock import InUse, Lock
folder = Path(sys.argv[1])
done = 0
while done < 50:
    try:
        with Lock(folder):
            number = int((folder / "count").read_text())
            time.sleep(0.0005)
            (folder / "count").write_text(str(number + 1))
            done += 1
    except InUse:
        time.sleep(0.0005)
"""


def run(code: str, *arguments: object) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(Path(disk.__file__).parents[1])}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE)


def kill(holder: subprocess.Popen) -> None:
    holder.kill()
    holder.communicate()


def test_a_second_process_is_refused_at_once_and_told_by_whom(tmp_path):
    holder = run(HOLD, tmp_path)
    holder.stdout.readline()
    start = time.monotonic()
    with pytest.raises(InUse) as failure, Lock(tmp_path):
        pass
    assert time.monotonic() - start < 1
    kill(holder)
    who = rf"{tmp_path} is in use by process {holder.pid} on host \S+ since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d; wait"
    assert re.match(who, str(failure.value))
    assert failure.value.code == BAD_INPUT


def test_kill_9_frees_the_folder(tmp_path):
    holder = run(HOLD, tmp_path)
    holder.stdout.readline()
    kill(holder)
    with Lock(tmp_path), pytest.raises(InUse, match=f"process {os.getpid()} "), Lock(tmp_path):
        pass


def test_a_fork_does_not_hold_the_folder_after_its_parent(tmp_path):
    holder = run(HOLD, tmp_path, "fork")
    child = int(holder.stdout.readline())
    holder.kill()
    holder.wait()
    try:
        with Lock(tmp_path):
            os.kill(child, 0)  # it still lives
    finally:
        os.kill(child, 9)
        holder.communicate()


def test_release_leaves_nothing_that_hurts(tmp_path):
    (tmp_path / ".lock").write_text("killed " * 100)
    for _ in range(2):
        with Lock(tmp_path):
            assert re.fullmatch("process .* since .*\n", (tmp_path / ".lock").read_text())
        assert (tmp_path / ".lock").read_text() == ""
    assert not Lock._held


def test_an_error_inside_frees_the_folder(tmp_path):
    with pytest.raises(ZeroDivisionError), Lock(tmp_path):
        raise ZeroDivisionError
    with Lock(tmp_path):
        pass


def test_four_processes_never_hold_it_together(tmp_path):
    (tmp_path / "count").write_text("0")
    counters = [run(COUNT, tmp_path) for _ in range(4)]
    for counter in counters:
        counter.communicate()
    assert (tmp_path / "count").read_text() == "200"
