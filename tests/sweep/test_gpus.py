"""Jobs at the same time and several GPUs; no GPU is needed to see who takes which."""

import os
import subprocess
import sys

import pytest
import torch

from tl_run.sweep.gpus import VISIBLE, taken


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)


def seen(count: int) -> str | None:
    """What a job that needs so many sees, beside those that hold theirs; the variable is put back."""
    before = os.environ.get(VISIBLE)
    try:
        with taken(count):
            return os.environ.get(VISIBLE)
    finally:
        os.environ.pop(VISIBLE, None)
        if before is not None:
            os.environ[VISIBLE] = before


def test_each_job_takes_its_own_and_gives_it_back(four) -> None:
    assert seen(1) == "0"
    assert seen(1) == "0", "it was given back"
    with taken(2):
        assert os.environ.pop(VISIBLE) == "0,1"
        assert seen(1) == "2"
        with taken(1):
            assert os.environ.pop(VISIBLE) == "2"
            assert seen(2) is None, "one is free where two are needed: all are shared"
            assert seen(1) == "3", "who did not get enough has kept none"


def test_of_those_that_a_scheduler_gave(four, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "GPU-7,GPU-9")
    with taken(1):
        assert os.environ[VISIBLE] == "GPU-7"
        monkeypatch.setenv(VISIBLE, "GPU-7,GPU-9")
        assert seen(1) == "GPU-9"


@pytest.mark.parametrize("there", [0, 1])
def test_where_there_is_nothing_to_choose_from_nothing_changes(there, four, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    assert seen(1) is None
    assert seen(0) is None


def test_a_job_that_is_killed_gives_its_own_back(four, tmp_path) -> None:
    program = f"""
import os, signal, tempfile, torch
tempfile.tempdir = {str(tmp_path)!r}
torch.cuda.device_count = lambda: 4
from tl_run.sweep.gpus import taken
with taken(3):
    print(os.environ[{VISIBLE!r}], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    died = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (died.stdout.strip(), died.returncode) == ("0,1,2", -9)
    assert seen(4) is None
    assert seen(3) == "0,1,2"
