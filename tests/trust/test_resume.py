"""Killed anywhere and started again, a run ends with the same bits as one that was left alone."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cases import OTHERS
from conftest import bert_folder
from finished_objects import toy
from forked_runs import DIED, Command, Forks
from left_behind import count_lines, folder, left_behind, nth_record, said, spread, undisturbed


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """Arguments of a run of 12 steps in `run`, or more."""
    data = tmp_path_factory.mktemp("data")
    model = bert_folder(data / "bert")
    common = [*toy(data), "model=custom", f"model.path={model}", "optimizer.lr=0.01", "training.epochs=2"]
    common += ["training.batch_size=8", "training.log_every=1", "hydra.run.dir=run"]

    def arguments(*more: str) -> list[str]:
        more = tuple(each.replace("{data}", str(data)) for each in more)
        names = {override.split("=")[0] for override in more}
        return [*(each for each in common if each.split("=")[0] not in names), *more]

    return arguments


def test_killed_again_while_it_resumes(forks: Forks, arguments: Callable[..., list[str]], tmp_path: Path) -> None:
    command = arguments("training.checkpoint_every=3")
    expected, operations = undisturbed(forks, tmp_path, command)
    place = folder(tmp_path, "killed")
    deaths = [len(operations) // 2, 5, 20]
    codes = forks.run([[*(Command(place, command, at=n) for n in deaths), Command(place, command)]])
    assert codes == [[DIED] * 3 + [0]], said(tmp_path / "killed")
    assert left_behind(tmp_path / "killed" / "run") == expected, said(tmp_path / "killed")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
def test_stopped_by_a_signal_in_training(
    name: str, forks: Forks, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    command = arguments()
    expected, operations = undisturbed(forks, tmp_path, command)
    place = folder(tmp_path, name)
    n = nth_record(operations, 3)
    codes = forks.run([[Command(place, command, at=n, signals=[name]), Command(place, ["resume=run"])]])
    assert codes == [[75, 0]], said(tmp_path / name)
    assert f"warning: interrupted by {name} at step 3; to go on: tl-run resume=run" in said(tmp_path / name)
    assert "going on from step 3" in said(tmp_path / name)
    assert left_behind(tmp_path / name / "run") == expected


def test_stopped_by_a_signal_at_any_time(forks: Forks, arguments: Callable[..., list[str]], tmp_path: Path) -> None:
    command = arguments("training.checkpoint_every=4")
    expected, operations = undisturbed(forks, tmp_path, command)
    points = spread(len(operations), 5)
    chains = [[Command(folder(tmp_path, n), command, at=n, signals=["SIGTERM"])] for n in points]
    for chain in chains:
        chain.append(Command(chain[0].folder, command))
    for n, codes in zip(points, forks.run(chains), strict=True):
        # When everything is done but the last operations, a signal may come too late to matter.
        assert codes == [75, 0] or (n == len(operations) and codes == [0, 0]), (n, said(tmp_path / str(n)))
        assert left_behind(tmp_path / str(n) / "run") == expected, said(tmp_path / str(n))


@pytest.mark.parametrize("number", [6, 7, 13, 14])
def test_stopped_where_a_phase_begins(
    number: int, forks: Forks, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    """At the evaluation before it and at its own record; the second time patience has ended the phase before."""
    command = arguments(*OTHERS["phases"], "training.checkpoint_every=100")
    expected, operations = undisturbed(forks, tmp_path, command)
    lines = [line["kind"] for line in expected["metrics.jsonl"]]
    assert [lines[n - 1] for n in (6, 7, 13, 14)] == ["validation", "phase"] * 2
    begun = [(each["step"], each["phase"]) for each in expected["metrics.jsonl"] if each["kind"] == "phase"]
    assert begun == [(4, 2), (8, 3), (9, 4)]  # patience has ended the second one, so that the third lasts one step
    place = folder(tmp_path, number)
    n = nth_record(operations, number)
    [codes] = forks.run([[Command(place, command, at=n, signals=["SIGTERM"]), Command(place, ["resume=run"])]])
    assert codes == [75, 0], said(tmp_path / str(number))
    assert left_behind(tmp_path / str(number) / "run") == expected, said(tmp_path / str(number))


def test_an_evaluation_that_is_due_when_a_signal_comes_is_not_lost(
    forks: Forks, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    command = arguments("training.checkpoint_every=100")
    expected, operations = undisturbed(forks, tmp_path, command)
    place = folder(tmp_path, "stopped")
    n = nth_record(operations, 6)  # the training record of the first epoch's last step
    [[code]] = forks.run([[Command(place, command, at=n, signals=["SIGUSR1"])]])
    assert code == 75
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "stopped/run/metrics.jsonl").read_text().splitlines()]
    assert kinds == ["train"] * 6
    assert forks.run([[Command(place, ["resume=run"])]]) == [[0]], said(tmp_path / "stopped")
    assert left_behind(tmp_path / "stopped" / "run") == expected


def test_a_second_ctrl_c_ends_at_once(forks: Forks, arguments: Callable[..., list[str]], tmp_path: Path) -> None:
    command = arguments("training.checkpoint_every=2")
    expected, operations = undisturbed(forks, tmp_path, command)
    place = folder(tmp_path, "stopped")
    n = nth_record(operations, 4)
    stopped = Command(place, command, at=n, signals=["SIGINT", "SIGINT"])
    assert forks.run([[stopped, Command(place, ["resume=run"])]]) == [[130, 0]], said(tmp_path / "stopped")
    assert "going on from step 2" in said(tmp_path / "stopped")
    assert left_behind(tmp_path / "stopped" / "run") == expected


def test_sigterm_and_kill_9_from_outside(
    forks: Forks, arguments: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command itself, as it is typed, stopped in the middle of an epoch."""
    command = arguments("training.epochs=15", "training.eval_every=50", "training.checkpoint_every=20")
    expected, _ = undisturbed(forks, tmp_path, command)
    place = folder(tmp_path, "stopped")
    monkeypatch.chdir(place)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    for number, steps, code in ((signal.SIGTERM, 10, 75), (signal.SIGKILL, 50, -9)):
        with open("output", "a") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tl_run", *command], env=environment, stdout=output, stderr=output
            )
            while process.poll() is None and count_lines(Path("run/metrics.jsonl")) < steps:
                time.sleep(0.01)
            process.send_signal(number)
            assert process.wait() == code, said(tmp_path / "stopped")
    assert not Path("run/result.json").exists()
    assert forks.run([[Command(place, command)]]) == [[0]], said(tmp_path / "stopped")
    assert left_behind(tmp_path / "stopped" / "run") == expected, said(tmp_path / "stopped")


def test_a_finished_run_is_told_and_not_touched(
    forks: Forks, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    command = arguments("training.max_steps=2")
    place = folder(tmp_path, "again")
    assert forks.run([[Command(place, command)]]) == [[0]]
    before = {path: path.stat().st_mtime_ns for path in Path(place, "run").rglob("*") if path.name != ".lock"}
    assert forks.run([[Command(place, command)]]) == [[0]]
    assert {path: path.stat().st_mtime_ns for path in Path(place, "run").rglob("*") if path.name != ".lock"} == before
    assert "run is done; its result:" in said(tmp_path / "again")
