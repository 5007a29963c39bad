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

from conftest import bert_folder
from finished_objects import toy
from forked_runs import DIED, Command, Forks
from left_behind import count_lines, folder, left_behind, nth_record, said, spread, undisturbed

EPISODES = [
    *("task=episodes-demo", "task.train=embedded:requests/train.csv", "task.validation=null", "task.test=null"),
    *("task.episodes=2", "task.validation_episodes=2", "training.max_steps=4"),
    *("transfer.episodes=2", "transfer.inner_steps=2", "transfer.test_steps=2"),
]
VARIANTS = {
    "plain": ["training.checkpoint_every=2"],
    "accumulation": ["training.micro_batch_size=3", "optimizer.schedule=cosine"],
    "fp16": ["hardware.precision=fp16", "training.checkpoint_every=1"],
    "trunk": ["freeze=trunk", "training.eval_every=5"],
    "lora": ["adapter=lora", "adapter.dropout=0.2", "freeze=bottom", "freeze.layers=1", "training.checkpoint_every=2"],
    "layer": ["model.head=layer", "model.head_layer=1", "model.pooling=attention", "training.checkpoint_every=1"],
    "solved": ["model.head=svm", "freeze=trunk", "training.checkpoint_every=2"],
    "features": [
        *("model.head=logistic", "freeze=trunk", "transfer=features", "transfer.autoencoder=4", "transfer.tfidf=true"),
        "training.checkpoint_every=2",
    ],
    "early stopping": ["training.early_stopping.patience=1", "training.early_stopping.min_delta=0.5"],
    "evaluated beside checkpoints": ["training.eval_every=3", "training.checkpoint_every=2", "training.log_every=4"],
    "phases": [
        "freeze=schedule",
        "freeze.phases=[{until_steps:4,learns:all},{learns:head,patience:1},{until_steps:9,learns:1},{learns:all}]",
        "training.eval_every=2",
        "training.checkpoint_every=1",
        "training.early_stopping.min_delta=0.5",
    ],
    "gradual": ["freeze=gradual", "freeze.head_first=0.5", "freeze.every_steps=3", "training.checkpoint_every=2"],
    "gradual, sgd": ["freeze=gradual", "freeze.every_steps=2", "optimizer=sgd", "training.checkpoint_every=3"],
    "dann": ["transfer=dann", "task.domain.train={data}/test.csv", "training.checkpoint_every=2"],
    "self-training": [
        "transfer=self_training",
        "transfer.threshold=0.5",
        "transfer.warmup=0.3",
        "transfer.rounds=3",
        "task.domain.train={data}/test.csv",
        "training.checkpoint_every=1",
    ],
    "fedprox": ["transfer=fedprox", "transfer.clients=4", "training.epochs=4", "training.checkpoint_every=1"],
    "maml": [*EPISODES, "transfer=maml", "training.checkpoint_every=2"],
    "reptile": [*EPISODES, "transfer=reptile", "training.checkpoint_every=2", "training.eval_every=2"],
    "l2sp": ["transfer=l2sp", "training.checkpoint_every=2"],
    "mixout": ["transfer=mixout", "training.checkpoint_every=2"],
    "rdrop": ["transfer=rdrop", "training.checkpoint_every=2"],
    "eda": ["augment=eda", "training.micro_batch_size=3", "training.checkpoint_every=1"],
    "token dropout": ["augment=token_dropout", "augment.how=drop", "training.checkpoint_every=1"],
    "mixup": ["augment=mixup", "augment.at=embeddings", "training.micro_batch_size=3", "training.checkpoint_every=1"],
    "back-translation": [
        *(
            "augment=back_translation",
            "augment.there=embedded:tiny-generation",
            "augment.back=embedded:tiny-generation",
        ),
        *("augment.max_length=12", "training.checkpoint_every=1"),
    ],
    "sgd": ["optimizer=sgd", "optimizer.lr=0.5", "training.keep_checkpoints=1", "training.checkpoint_every=2"],
}


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


@pytest.mark.parametrize("variant", VARIANTS)
def test_killed_and_started_again(
    variant: str, forks: Forks, arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    command = arguments(*VARIANTS[variant])
    expected, operations = undisturbed(forks, tmp_path, command)
    points = spread(len(operations), 26 if variant == "plain" else 4)
    chains = {n: [Command(folder(tmp_path, n), command, at=n)] for n in points}
    for chain in chains.values():
        chain.append(Command(chain[0].folder, command))
    for n, codes in zip(points, forks.run([*chains.values()]), strict=True):
        assert codes == [DIED, 0], said(tmp_path / str(n))
        assert left_behind(tmp_path / str(n) / "run") == expected, said(tmp_path / str(n))
    if variant == "phases":  # patience has ended the second one at step 8, so that the third lasts one step
        begun = [(each["step"], each["phase"]) for each in expected["metrics.jsonl"] if each["kind"] == "phase"]
        assert begun == [(4, 2), (8, 3), (9, 4)]


def test_killed_again_while_it_resumes(forks: Forks, arguments: Callable[..., list[str]], tmp_path: Path) -> None:
    command = arguments("training.checkpoint_every=3")
    expected, operations = undisturbed(forks, tmp_path, command)
    place = folder(tmp_path, "killed")
    deaths = [len(operations) // 2, 5, len(operations) // 3, 20]
    codes = forks.run([[*(Command(place, command, at=n) for n in deaths), Command(place, command)]])
    assert codes == [[DIED] * 4 + [0]], said(tmp_path / "killed")
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
    points = spread(len(operations), 9)
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
    command = arguments(*VARIANTS["phases"], "training.checkpoint_every=100")
    expected, operations = undisturbed(forks, tmp_path, command)
    lines = [line["kind"] for line in expected["metrics.jsonl"]]
    assert [lines[n - 1] for n in (6, 7, 13, 14)] == ["validation", "phase"] * 2
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
    command = arguments("training.epochs=30", "training.eval_every=50", "training.checkpoint_every=20")
    expected, _ = undisturbed(forks, tmp_path, command)
    place = folder(tmp_path, "stopped")
    monkeypatch.chdir(place)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    for number, steps, code in ((signal.SIGTERM, 10, 75), (signal.SIGKILL, 70, -9)):
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
