"""Sweeps: every combination once, a failing job fails alone, and the same command finds its work."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path("outputs/sweeps/classification")


@pytest.fixture
def sweep(tl_run, capsys, bert, table) -> Callable[..., tuple[int, str, str]]:
    """`tl-run -m ...` of runs that take a second: exit code, stdout, stderr."""

    def command(*arguments: str) -> tuple[int, str, str]:
        given = ["-m", "task=classification", f"task.train={table}", "task.max_length=16", "model=custom"]
        code = tl_run(*given, f"model.path={bert}", "training.max_steps=2", *arguments)
        return code, *capsys.readouterr()

    return command


def done() -> dict[str, dict]:
    """The results by folder name."""
    return {path.parent.name: json.loads(path.read_text()) for path in FOLDER.glob("*/result.json")}


def test_failing_jobs_fail_alone_and_each_is_named_with_its_reason(sweep):
    code, _, err = sweep("seed=0,1", "task.text=text,nix")
    assert code == 1
    assert sorted(result["seed"] for result in done().values()) == [0, 1]
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(done()), "a failed start left a folder"
    first, *lines = err.splitlines()
    assert first == "error: 2 of 4 jobs failed, the others are done:"
    for seed in "01":
        at = next(i for i, line in enumerate(lines) if re.match(rf"  tl-run .*seed={seed}.* task.text=nix", line))
        assert "task.text: " in lines[at + 1]
        assert "has no column 'nix'" in lines[at + 1]
    assert len(lines) == 4
    assert "Traceback" not in err


def test_choices_that_do_not_exist_and_faults_of_ours_fail_alone_too(sweep, monkeypatch):
    code, _, err = sweep("freeze=none,trnk,trunk", "optimizer.schedule=linear,linea")
    assert code == 1
    assert sorted(result["freeze"] for result in done().values()) == ["none", "trunk"]
    assert err.startswith("error: 4 of 6 jobs failed, the others are done:\n")
    assert err.count("there is no freeze named 'trnk'. Did you mean 'trunk'?") == 2
    assert err.count("optimizer.schedule: 'linea' is not one of") == 2


def test_a_fault_of_ours_in_a_job_has_its_traceback_in_a_log(sweep, monkeypatch):
    from tl_run import run

    whole = run.train

    def fails_for_seed_1(**arguments):
        if arguments["seed"] == 1:
            raise ZeroDivisionError("the reason")
        return whole(**arguments)

    monkeypatch.setattr("tl_run.run.train", fails_for_seed_1)
    code, _, err = sweep("seed=0,1,2")
    assert code == 1
    assert sorted(result["seed"] for result in done().values()) == [0, 2]
    assert "1 of 3 jobs failed" in err
    assert "ZeroDivisionError: the reason" in err
    (log,) = FOLDER.glob("*/tl-run.log")
    assert "Traceback (most recent call last)" in log.read_text()
    assert str(log) in err


@pytest.mark.parametrize("layers", ["1", "1,2"])
@pytest.mark.parametrize("order", ["none,bottom", "bottom,none"])
def test_an_option_is_left_out_where_it_means_nothing(sweep, layers, order):
    code, _, err = sweep(f"freeze={order}", f"freeze.layers={layers}")
    assert (code, err) == (0, "")
    frozen = sorted((result["freeze"], result["parameters"]["trainable"]) for result in done().values())
    assert [name for name, _ in frozen] == ["bottom"] * len(layers.split(",")) + ["none"]
    assert len(set(frozen)) == len(frozen)


def test_each_choice_takes_the_options_that_it_has(sweep):
    code, _, err = sweep("freeze=none,bottom,pattern", "freeze.layers=1", "freeze.pattern=bias")
    assert (code, err) == (0, "")
    assert sorted(result["freeze"] for result in done().values()) == ["bottom", "none", "pattern"]


def test_an_option_that_no_job_has_is_refused(sweep):
    code, _, err = sweep("freeze=none,trunk", "freeze.layers=1")
    assert code == 1
    assert err.count("there is no option 'freeze.layers'") == 2
    assert not FOLDER.exists()


def test_equal_jobs_run_once(sweep):
    code, out, _ = sweep("seed=0,1,0")
    assert code == 0
    assert len(done()) == 2
    assert out.count("validation accuracy") == 2


def test_the_same_command_finds_its_work_and_one_more_seed_extends_it(sweep, monkeypatch):
    assert sweep("seed=0,1")[0] == 0
    before = done()
    from tl_run import run

    whole, trained = run.train, []

    def counted(**arguments):
        trained.append(arguments["seed"])
        return whole(**arguments)

    monkeypatch.setattr("tl_run.run.train", counted)
    code, out, _ = sweep("seed=0,1")
    assert code == 0
    assert trained == []
    assert out.count("is done; its result:") == 2
    assert done() == before
    assert sweep("seed=0,1,2")[0] == 0
    assert trained == [2]
    assert {name: result for name, result in done().items() if name in before} == before


def test_the_name_of_a_job_can_be_typed_back(sweep, tl_run, monkeypatch):
    assert sweep("seed=0,1", "sweep.name=mine", "optimizer.lr=1e-3")[0] == 0
    monkeypatch.setattr("tl_run.run.run", lambda *_: pytest.fail("it trains"))
    folders = sorted(Path("outputs/sweeps/mine").iterdir())
    assert len(folders) == 2
    for folder in folders:
        assert re.fullmatch(r"[A-Za-z0-9._-]+_[0-9a-f]{8}", folder.name)
        assert tl_run(f"resume={folder}") == 0


def test_a_sweep_shows_no_test_scores(sweep, table):
    code, out, _ = sweep("seed=0,1", f"task.test={table}")
    assert code == 0
    assert out.count("\nvalidation  accuracy") == 2
    assert "\ntest  " not in out


def test_an_interruption_ends_the_whole_sweep(sweep, monkeypatch):
    started = []

    def interrupted(**arguments):
        started.append(arguments["seed"])
        raise KeyboardInterrupt

    monkeypatch.setattr("tl_run.run.train", interrupted)
    assert sweep("seed=0,1,2")[0] == 130
    assert started == [0]
