"""Sweeps: every combination once, a failing job fails alone, and the same command finds its work."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

import pytest

from tl_run.errors import Interrupted
from tl_run.sweep.ledger import LEDGER

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
    there = {path.name for path in FOLDER.iterdir()} - {LEDGER}
    assert there == done().keys(), "a failed start left a folder"
    first, *lines = err.splitlines()
    assert first == "error: 2 of 4 jobs failed:"
    for seed, line in zip("01", lines, strict=False):
        assert re.match(rf"  tl-run .*seed={seed}.* task.text=nix", line)
    assert "task.text: " in lines[2]
    assert "has no column 'nix'" in lines[2]
    assert len(lines) == 3
    assert "Traceback" not in err


def test_choices_that_do_not_exist_fail_alone_too(sweep):
    code, _, err = sweep("freeze=none,trnk,trunk", "optimizer.schedule=linear,linea")
    assert code == 1
    assert sorted(result["freeze"] for result in done().values()) == ["none", "trunk"]
    assert err.startswith("error: 4 of 6 jobs failed:\n")
    assert "there is no freeze named 'trnk'. Did you mean 'trunk'?" in err
    assert "optimizer.schedule: 'linea' is not one of" in err


def test_a_fault_of_ours_in_a_job_has_its_traceback_in_a_log(sweep):
    """A folder where the result is to be written is what no run expects."""
    assert sweep("seed=1")[0] == 0
    (folder,) = FOLDER.glob("*/result.json")
    folder.unlink()
    folder.mkdir()
    code, _, err = sweep("seed=0,1,2")
    assert code == 1
    assert "1 of 3 jobs failed" in err
    assert "IsADirectoryError" in err
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
    assert err.startswith("error: 2 of 2 jobs failed:\n")
    assert "there is no option 'freeze.layers'" in err
    assert not FOLDER.exists()


def ended() -> list[str]:
    """The states in which jobs ended, by the ledger."""
    rows = [json.loads(line) for line in (FOLDER / LEDGER).read_text().splitlines()]
    return [row["state"] for row in rows if row["state"] not in ("begun", "running")]


def test_equal_jobs_run_once(sweep):
    code, out, _ = sweep("seed=0,1,0")
    assert code == 0
    assert len(done()) == 2
    assert ended() == ["done", "done"]
    assert "sweep       3 jobs in outputs/sweeps/classification: 2 to run, 1 the same as another and left out" in out


def test_the_same_command_finds_its_work_and_one_more_seed_extends_it(sweep):
    assert sweep("seed=0,1")[0] == 0
    before = done()
    code, out, _ = sweep("seed=0,1")
    assert code == 0
    assert "2 jobs in outputs/sweeps/classification: 2 done already" in out
    assert ended() == ["done"] * 2
    assert done() == before
    code, out, _ = sweep("seed=0,1,2")
    assert code == 0
    assert "3 jobs in outputs/sweeps/classification: 1 to run, 2 done already" in out
    assert ended() == ["done"] * 3
    assert {name: result for name, result in done().items() if name in before} == before


def test_the_summary_folds_seeds_and_shows_the_test_of_the_best_alone(sweep, table):
    code, out, _ = sweep("seed=0,1,2", "optimizer.lr=1e-2,1e-9", f"task.test={table}")
    assert code == 0
    head, *rows = out[out.index("classification: accuracy") :].splitlines()
    assert head.split() == ["classification:", "accuracy", "runs", "validation", "trainable", "seconds"]
    scores = {lr: [r for r in done().values() if f"lr-{lr}" in _folder(r)] for lr in ("0.01", "1e-09")}
    best = max(scores, key=lambda lr: mean(r["validation"]["accuracy"] for r in scores[lr]))
    values = [r["validation"]["accuracy"] for r in scores[best]]
    half = 4.302652729911275 * stdev(values) / 3**0.5  # 97.5 % point of Student's t with 2 degrees of freedom
    assert rows[0].startswith(f"optimizer.lr={best}")
    assert f"3  {mean(values):.4f} ± {half:.4f}  " in rows[0]
    test = mean(r["test"]["accuracy"] for r in scores[best])
    assert f"best by validation: optimizer.lr={best}; its test accuracy {test:.4f} ± " in rows[2]
    assert out.count(" test accuracy ") == 1


def _folder(result: dict) -> str:
    """The name of the folder that a result lies in."""
    return next(name for name, own in done().items() if own is result or own == result)


def test_with_two_seeds_no_interval_is_told(sweep):
    code, out, _ = sweep("seed=0,1")
    assert code == 0
    assert "±" not in out


def test_a_plan_names_every_job_and_runs_none(sweep):
    """A job that was typed otherwise is found too."""
    assert sweep("seed=0")[0] == 0
    code, out, _ = sweep("seed=0,1", "freeze=trunk,none", "--plan")
    assert code == 0
    assert "4 jobs in outputs/sweeps/classification: 3 to run, 1 done already" in out
    assert "varied      seed=0,1  freeze=trunk,none" in out
    assert "shared      2 jobs keep part of the same weights" in out
    states = [line.split()[0] for line in out.splitlines() if "_seed-" in line]
    assert sorted(states) == ["done", "new", "new", "new"]
    assert len(done()) == 1


def test_after_a_failure_no_other_job_begins_where_that_is_wanted(sweep):
    code, _, err = sweep("optimizer.lr=1e30,1e-3", "sweep.fail_fast=true", "optimizer=sgd")
    assert code == 1
    assert err.startswith("error: 2 of 2 jobs failed:\n")
    assert "not begun: another job has failed (sweep.fail_fast)" in err
    assert done() == {}


def test_a_job_that_failed_is_tried_again(sweep):
    code, _, err = sweep("optimizer.lr=1e30", "sweep.retries=2", "optimizer=sgd")
    assert code == 1
    assert "not finite" in err or "not a finite number" in err
    assert ended() == ["failed"] * 3


def test_the_name_of_a_job_can_be_typed_back(sweep, tl_run, monkeypatch):
    assert sweep("seed=0,1", "sweep.name=mine", "optimizer.lr=1e-3")[0] == 0
    monkeypatch.setattr("tl_run.run.run", lambda *_: pytest.fail("it trains"))
    folders = sorted(Path("outputs/sweeps/mine").glob("*/"))
    assert len(folders) == 2
    for folder in folders:
        assert re.fullmatch(r"[A-Za-z0-9._-]+_[0-9a-f]{8}", folder.name)
        assert tl_run(f"resume={folder}") == 0


def test_what_a_job_would_print_is_in_its_folder_without_test_scores(sweep, table):
    code, out, _ = sweep("seed=0", f"task.test={table}")
    assert code == 0
    (log,) = FOLDER.glob("*/terminal.log")
    text = log.read_text()
    assert "\nvalidation  accuracy" in text
    assert "\ntest  " not in text
    assert "learns " in text
    assert "learns " not in out


def test_an_interruption_ends_the_whole_sweep(sweep, monkeypatch):
    started = []

    def interrupted(*arguments, limit):
        started.append(arguments)
        raise Interrupted("SIGINT at step 1; the same command goes on with the sweep")

    monkeypatch.setattr("tl_run.job.apart", interrupted)
    code, _, err = sweep("seed=0,1,2")
    assert code == 75
    assert "interrupted by SIGINT at step 1; the same command goes on with the sweep" in err
    assert len(started) == 1
    assert ended() == ["interrupted"]
