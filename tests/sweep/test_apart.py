"""A job in its own process: its value, its failure in its own words, its death, its time limit, and being stopped."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tl_run.errors import BAD_INPUT, MACHINE, OUR_FAULT, BadOption, Interrupted
from tl_run.signals import Signals
from tl_run.sweep.apart import JobFailed, apart


def whereabouts(number: int) -> tuple[int, int, str, str | None]:
    return number + 1, os.getpid(), os.getcwd(), os.environ.get("TL_TEST")


def refuses() -> None:
    raise BadOption("seed: no")


def breaks() -> None:
    raise ZeroDivisionError("the reason")


def leaves() -> None:
    sys.exit(3)


def dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def too_large() -> bytearray:
    return bytearray(1 << 60)


def works_until_asked(sign: str) -> None:
    """As a run does: it stops at its next step, in order."""
    with Signals() as signals:
        signals.training = True
        Path(sign).write_text(str(os.getpid()))
        while not signals.asked:
            time.sleep(0.01)
        raise Interrupted(f"{signals.asked} at step 7")


def test_a_value_comes_back_from_another_process_with_our_folder_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TL_TEST", "here")
    value, pid, folder, variable = apart(whereabouts, 4)
    assert value == 5
    assert pid != os.getpid()
    assert (folder, variable) == (str(tmp_path), "here")


@pytest.mark.parametrize(
    ("work", "code", "words"),
    [
        (refuses, BAD_INPUT, "seed: no"),
        (breaks, OUR_FAULT, "ZeroDivisionError: the reason"),
        (too_large, OUR_FAULT, "MemoryError"),
        (leaves, MACHINE, "its process ended itself with exit code 3"),
        (dies, MACHINE, "its process was ended by SIGKILL: perhaps by the system, for want of memory"),
    ],
)
def test_a_failure_is_told_in_its_own_words(work: object, code: int, words: str) -> None:
    with pytest.raises(JobFailed) as failed:
        apart(work)  # type: ignore[arg-type]
    assert failed.value.code == code
    assert words in str(failed.value)


def test_a_job_that_takes_too_long_is_asked_to_stop(tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match=r"stopped after sweep\.timeout=0\.5 seconds"):
        apart(works_until_asked, str(tmp_path / "sign"), limit=0.5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_job_that_is_stopped_alone_fails_alone(number: signal.Signals, tmp_path: Path) -> None:
    sign = tmp_path / "sign"

    def ask() -> None:
        while not (sign.exists() and sign.read_text()):
            time.sleep(0.01)
        os.kill(int(sign.read_text()), number)

    threading.Thread(target=ask).start()
    with pytest.raises(JobFailed, match=f"its process was stopped by {number.name} at step 7") as failed:
        apart(works_until_asked, str(sign))
    assert failed.value.code == MACHINE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_the_sweep_stops_its_job_in_order(number: signal.Signals, tmp_path: Path) -> None:
    sign = tmp_path / "sign"

    def ask() -> None:
        while not sign.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=ask).start()
    with pytest.raises(Interrupted, match=f"{number.name} at step 7"):
        apart(works_until_asked, str(sign))
    with pytest.raises(ProcessLookupError):
        os.kill(int(sign.read_text()), 0)


def test_a_long_folder_for_temporary_files_leaves_room_for_the_socket(tmp_path):
    long = tmp_path / ("x" * 90)
    long.mkdir()
    script = tmp_path / "script.py"
    script.write_text(
        "import os, tempfile\nfrom tl_run.sweep.apart import apart\n"
        "if __name__ == '__main__':\n    print(apart(os.getpid) != os.getpid(), tempfile.gettempdir())\n"
    )
    environment = os.environ | {"TMPDIR": str(long)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["True", str(long)], done.stderr
