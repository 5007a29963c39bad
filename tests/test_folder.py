"""The rule for the same run again: done is told, unfinished goes on, another run is refused and nothing is touched."""

import datetime
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tl_run.folder import job_name
from tl_run.lock import Lock


@pytest.fixture
def command(tl_run, bert, table) -> Callable[..., int]:
    """A run of a few seconds, with further arguments."""

    def run(*arguments: str) -> int:
        given = ["task=classification", f"task.train={table}", "task.max_length=16", "model=custom"]
        return tl_run(*given, f"model.path={bert}", "training.epochs=2", "training.batch_size=8", *arguments)

    return run


def content(folder: Path) -> dict[str, str]:
    """A checksum of every file below."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def forbidden(*_: object, **__: object) -> None:
    pytest.fail("it trains")


def stops_after(records: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The loop breaks off after so many records; returns what mends it."""
    from tl_run import run

    whole = run.train

    def broken(**arguments: object):
        for count, record in enumerate(whole(**arguments)):  # type: ignore[arg-type]
            yield record
            if count == records:
                raise KeyboardInterrupt

    monkeypatch.setattr("tl_run.run.train", broken)
    return lambda: monkeypatch.setattr("tl_run.run.train", whole)


def lasting(folder: Path) -> tuple[object, ...]:
    """What must not depend on how often a run was interrupted."""
    result = json.loads((folder / "result.json").read_text())
    for clock in ("seconds", "examples_per_second", "peak_memory_mb"):
        del result[clock]
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        record.pop("time")
        record.pop("examples_per_second", None)
    weights = hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()
    return result, records, weights


def test_a_run_that_is_done_is_told_and_not_repeated(command, capsys, monkeypatch):
    assert command("hydra.run.dir=mine") == 0
    told = capsys.readouterr().out
    before = content(Path("mine"))
    monkeypatch.setattr("tl_run.run.run", forbidden)
    for again in (
        ("hydra.run.dir=mine",),
        ("hydra.run.dir=./mine/", "training.keep_checkpoints=9"),
    ):
        assert command(*again) == 0
        out = capsys.readouterr().out
        assert out.startswith("note: mine is done; its result:")
        assert re.findall(r"^validation  .*", out, re.M) == re.findall(r"^validation  .*", told, re.M)
    assert content(Path("mine")) == before


def test_a_run_that_is_done_may_let_go_of_its_checkpoints(command, monkeypatch):
    often, none = "training.checkpoint_every=2", "training.keep_checkpoints=0"
    mend = stops_after(7, monkeypatch)
    assert command("hydra.run.dir=mine", often, none) == 130
    assert len([*Path("mine/checkpoints").iterdir()]) == 1
    mend()
    assert command("hydra.run.dir=mine", often, none) == 0
    assert command("hydra.run.dir=whole", often) == 0
    assert lasting(Path("mine")) == lasting(Path("whole"))
    assert not Path("mine/checkpoints").exists()
    assert command("hydra.run.dir=whole", often, none) == 0  # afterwards too
    assert not Path("whole/checkpoints").exists()


def test_an_unfinished_run_goes_on_to_the_same_end(command, capsys, monkeypatch):
    assert command("hydra.run.dir=whole", "training.checkpoint_every=2") == 0
    mend = stops_after(7, monkeypatch)
    assert command("hydra.run.dir=mine", "training.checkpoint_every=2") == 130
    assert not Path("mine/result.json").exists()
    mend()
    capsys.readouterr()
    assert command("hydra.run.dir=mine", "training.checkpoint_every=2") == 0
    assert "going on from step " in capsys.readouterr().out
    assert lasting(Path("mine")) == lasting(Path("whole"))


def test_without_a_good_checkpoint_it_begins_again(command, capsys, monkeypatch):
    assert command("hydra.run.dir=whole") == 0
    mend = stops_after(7, monkeypatch)
    assert command("hydra.run.dir=mine", "training.checkpoint_every=2") == 130
    mend()
    for checkpoint in Path("mine/checkpoints").iterdir():
        (checkpoint / "weights.safetensors").write_bytes(b"rubbish")
    capsys.readouterr()
    assert command("hydra.run.dir=mine") == 0
    out = capsys.readouterr().out
    assert out.count("warning: mine/checkpoints/step-") == 2
    assert "going on" not in out
    assert lasting(Path("mine")) == lasting(Path("whole"))


@pytest.mark.parametrize("finished", [True, False], ids=["done", "unfinished"])
def test_another_run_is_refused_and_nothing_is_touched(command, capsys, monkeypatch, table, finished):
    mend = (lambda: None) if finished else stops_after(4, monkeypatch)
    assert command("hydra.run.dir=mine", "training.checkpoint_every=2") == (0 if finished else 130)
    mend()
    before = content(Path("mine"))
    capsys.readouterr()
    monkeypatch.setattr("tl_run.run.train", forbidden)

    def said(*arguments: str) -> str:
        assert command("hydra.run.dir=mine", *arguments) == 3
        assert content(Path("mine")) == before
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: mine holds another run; nothing was touched.\n  Different: ")
        assert "Type another hydra.run.dir, or resume=<folder> alone" in err
        assert len(err.splitlines()) == 3
        return err

    assert "Different: optimizer.lr was 2e-05, now 0.001\n" in said("optimizer.lr=1e-3")
    assert "freeze.name was none, now trunk; optimizer.lr was 2e-05, now 0.001\n" in said("freeze=trunk")
    assert "Different: seed was 0, now 7\n" in said("seed=7")
    assert "optimizer.betas" in said("optimizer=sgd")
    table.write_text(table.read_text().replace("film", "plot", 1))
    assert "Different: the content of the data or of the starting weights\n" in said()


def test_resume_alone_goes_on_with_the_runs_own_config(tl_run, command, capsys, monkeypatch):
    assert command("hydra.run.dir=whole", "seed=5") == 0
    mend = stops_after(3, monkeypatch)
    assert command("seed=5", "training.checkpoint_every=2") == 130
    (mine,) = Path("outputs/classification/custom").iterdir()
    mend()
    assert tl_run(f"resume={mine}") == 0
    assert lasting(mine) == lasting(Path("whole"))
    monkeypatch.setattr("tl_run.run.run", forbidden)
    capsys.readouterr()
    assert tl_run(f"resume={mine}/") == 0
    assert f"{mine} is done" in capsys.readouterr().out
    assert [path.name for path in Path("outputs").rglob("result.json")] == ["result.json"]


def test_resume_with_overrides_needs_the_same_run(tl_run, command, capsys, monkeypatch):
    assert command("hydra.run.dir=mine", "seed=5") == 0
    monkeypatch.setattr("tl_run.run.run", forbidden)
    before = content(Path("mine"))
    assert command("resume=mine", "seed=5") == 0
    capsys.readouterr()
    assert command("resume=mine", "seed=6") == 3
    assert "seed was 5, now 6" in capsys.readouterr().err
    assert tl_run("resume=mine", "seed=5") == 3, "the other options are those of the default run"
    assert content(Path("mine")) == before


def test_a_folder_whose_name_needs_quotes_can_be_resumed(tl_run, command):
    assert command("hydra.run.dir='it is, (mine)=1'") == 0
    assert tl_run("resume=it is, (mine)=1") == 0


def test_a_run_that_was_moved_can_be_resumed(tl_run, command, monkeypatch):
    mend = stops_after(4, monkeypatch)
    assert command("hydra.run.dir=mine", "training.checkpoint_every=2") == 130
    mend()
    shutil.move("mine", "other")
    assert tl_run("resume=other") == 0
    assert not Path("mine").exists()


@pytest.mark.parametrize("name", ["environment.json", "result.json", "config.yaml"])
def test_damage_is_told_and_nothing_is_touched(tl_run, command, capsys, name):
    assert command("hydra.run.dir=mine") == 0
    (Path("mine") / name).write_text("{")
    before = content(Path("mine"))
    capsys.readouterr()
    assert tl_run("resume=mine") == 3
    assert f"mine/{name}" in capsys.readouterr().err
    assert content(Path("mine")) == before


def test_a_folder_of_other_files_is_refused(command, capsys):
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("years of work")
    assert command("hydra.run.dir=mine") == 3
    assert "mine holds other files (thesis.tex) and no run; nothing was touched" in capsys.readouterr().err
    assert content(Path("mine")).keys() - {".lock"} == {"thesis.tex"}


def test_a_folder_in_use_is_refused_and_stays(command, capsys):
    Path("mine").mkdir()
    with Lock(Path("mine")):  # a first start, which is loading its model and has written nothing
        assert command("hydra.run.dir=mine") == 2
        assert f"mine is in use by process {os.getpid()} on host" in capsys.readouterr().err
        assert command("hydra.run.dir=mine", "task.text=nix") == 2
        assert Path("mine/.lock").exists()
    assert command("hydra.run.dir=mine") == 0


def test_two_starts_in_the_same_second_get_two_folders(command, monkeypatch):
    class Stopped(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return datetime.datetime(2030, 1, 1)

    monkeypatch.setattr("hydra.core.utils.datetime", Stopped)
    for _ in range(2):
        assert command("training.max_steps=1") == 0
    done = [path.parent for path in Path("outputs").rglob("result.json")]
    assert len({path.name for path in done}) == 2
    assert all(path.name.startswith("2030-01-01_00-00-00") for path in done)


def test_what_a_run_leaves(command):
    assert command("hydra.run.dir=mine") == 0
    names = {path.name for path in Path("mine").iterdir()}
    expected = "config.yaml overrides.yaml environment.json metrics.jsonl checkpoints model result.json .lock"
    events = {name for name in names if name.startswith("events.out.tfevents.")}
    assert len(events) == 1
    assert names - events == {*expected.split(), "predictions-validation.jsonl", "projector", "projector_config.pbtxt"}
    overrides = yaml.safe_load(Path("mine/overrides.yaml").read_text())
    assert "training.epochs=2" in overrides
    result = json.loads(Path("mine/result.json").read_text())
    keys = "status task model freeze transfer seed metric validation test best_step steps epochs examples parameters"
    keys += " seconds examples_per_second peak_memory_mb stored_mb identity"
    assert result.keys() >= set(keys.split())
    assert result["metric"].keys() == {"name", "value", "split", "higher_is_better"}
    assert result["seconds"].keys() == {"total", "load", "encode", "train", "evaluate"}
    assert result["identity"] == json.loads(Path("mine/environment.json").read_text())["identity"]


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["freeze=trunk", "optimizer.lr=1e-4", "seed=0"], "freeze-trunk_lr-1e-4_seed-0_3f9a1c2e"),
        (["seed=0", "freeze=trunk", "optimizer.lr=1e-4"], "freeze-trunk_lr-1e-4_seed-0_3f9a1c2e"),
        (["+seed=0", "sweep.name=x", "plan=true"], "seed-0_3f9a1c2e"),
        (["model.path=/data/models/bert base"], "path-bert-base_3f9a1c2e"),
        (["task.text='a=b, c'"], "text--a-b-c_3f9a1c2e"),
        (["task.text=评论"], "text_3f9a1c2e"),
        ([], "3f9a1c2e"),
    ],
)
def test_the_name_of_a_job(overrides, name):
    assert job_name(overrides, "3f9a1c2e" + "0" * 56) == name


def test_the_name_of_a_job_is_short_and_plain():
    overrides = [f"task.text_{i}='{'x; rm -rf ~ $HOME &' * 9}'" for i in range(20)] + ["seed=..", "model.path=../.."]
    name = job_name(overrides, "f" * 64)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)
    assert len(name) <= 110
    assert name.endswith("_ffffffff")
