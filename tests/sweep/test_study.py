"""A study: what it tries, what it keeps, and that it goes on where it was stopped."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from tl_run.errors import BadOption
from tl_run.sweep.ledger import DONE, FAILED, PRUNED
from tl_run.sweep.space import space
from tl_run.sweep.study import checked
from tl_run.sweep.trials import JOURNAL, Trials, watch

RATE = "optimizer.lr=tag(log,interval(1e-5,1e-2))"
DEFAULTS: dict[str, Any] = {
    "n_trials": 6,
    "sampler": "tpe",
    "pruner": "median",
    "startup_trials": 2,
    "seed": 0,
    "n_jobs": None,
}
FOLDER = Path("outputs/sweeps/classification")


def parsed(*typed: str):
    return space(OverridesParser.create().parse_overrides(list(typed)))


def test_what_has_several_values_is_searched_and_seeds_are_repeats():
    over = parsed(RATE, "training.epochs=range(1,6,2)", "freeze=none,trunk", "seed=3,4", "task.limit=choice(50)")
    assert over.fixed == ["task.limit=50"]
    assert over.seeds == ["3", "4"]
    assert over.words == f"{RATE}  training.epochs=range(1,6,2)  freeze=none,trunk".replace("1e-5", "1e-05").replace(
        "1e-2", "0.01"
    )
    assert over.searched["training.epochs"].high == 5
    job = over.job({"optimizer.lr": 0.000123456, "training.epochs": 3, "freeze": "trunk"}, "4")
    assert job == ["task.limit=50", "optimizer.lr=0.0001235", "training.epochs=3", "freeze=trunk", "seed=4"]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["seed=1,2"], "nothing is searched"),
        (["optimizer.lr=interval(1e-2,1e-5)"], r"optimizer.lr=interval\(1e-2,1e-5\): "),
        (["optimizer.lr=tag(log,interval(0,1))"], "optimizer.lr=tag"),
    ],
)
def test_what_cannot_be_searched_is_told(typed: list[str], words: str):
    with pytest.raises(BadOption, match=words):
        parsed(*typed)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampler": "tpee"}, "hydra.sweeper.sampler: 'tpee' is not one of tpe, random, grid, qmc. Did you mean 'tpe'"),
        ({"n_trials": 0}, "hydra.sweeper.n_trials: 0 must be at least 1"),
    ],
)
def test_options_of_the_study_are_checked(options: dict, words: str):
    with pytest.raises(BadOption) as failure:
        checked(DEFAULTS | options)
    assert words in str(failure.value)


def trials(folder: Path, typed: str = RATE, **options: Any) -> Trials:
    return Trials(folder, "s", parsed(typed).searched, checked(DEFAULTS | options), maximize=False)


def score(values: dict[str, Any]) -> float:
    return abs(values["optimizer.lr"] - 1e-3)


def finish(study: Trials, stop_after: int | None = None) -> list[dict[str, Any]]:
    """Runs trials, and leaves one unfinished where it is to stop; all values that were tried."""
    tried = []
    while batch := study.next(1):
        (trial,) = batch
        tried.append(trial.values)
        if len(tried) == stop_after:
            break
        trial.state = FAILED if trial.number == 1 else DONE
        trial.scores.append(score(trial.values))
        study.tell(trial)
    return tried


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_a_study_that_was_stopped_tries_what_an_undisturbed_one_tries(sampler: str, tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    undisturbed = finish(trials(tmp_path / "a", sampler=sampler))
    assert len(undisturbed) == len({str(values) for values in undisturbed}) == 6
    first = finish(trials(tmp_path / "b", sampler=sampler), stop_after=4)
    study = trials(tmp_path / "b", sampler=sampler)
    assert study.words() == "6 trials: 2 done, 1 failed, 1 to go on with, 2 to run"
    assert first[:3] + finish(study) == undisturbed
    assert study.words() == "6 trials: 5 done, 1 failed"
    more = trials(tmp_path / "b", sampler=sampler, n_trials=8)
    assert len(finish(more)) == 2, "a larger n_trials extends the study"


def test_a_grid_ends_with_its_points(tmp_path: Path):
    study = trials(tmp_path, "freeze=none,trunk", sampler="grid", n_trials=50)
    assert study.total == 2
    tried = []
    while batch := study.next(2):
        for trial in batch:
            tried.append(trial.values["freeze"])
            trial.state, trial.scores = DONE, [0.0]
            study.tell(trial)
    assert sorted(tried) == ["none", "trunk"]
    with pytest.raises(BadOption, match=r"optimizer\.lr has no end of values"):
        trials(tmp_path, RATE, sampler="grid")


def test_who_falls_behind_the_median_is_told_to_end(tmp_path: Path):
    study = trials(tmp_path, startup_trials=3)
    for quality in (0.1, 0.2, 0.3):
        (trial,) = study.next(1)
        behind = watch(tmp_path, "s", trial.number)
        assert not behind(1, quality)
        trial.state, trial.scores = DONE, [quality]
        study.tell(trial)
    (bad, good) = study.next(2)
    assert watch(tmp_path, "s", bad.number)(1, 0.9)
    assert not watch(tmp_path, "s", good.number)(1, 0.15)
    bad.state = PRUNED
    study.tell(bad)
    assert study.words() == "6 trials: 3 done, 1 pruned, 1 to go on with, 1 to run"
    without = trials(tmp_path, pruner="none")
    (trial,) = without.next(1)
    assert trial.number == good.number, "what was left unfinished comes first"
    assert not watch(tmp_path, "s", trial.number)(2, 0.9)


@pytest.fixture
def study(tl_run, capsys, bert, table) -> Callable[..., tuple[int, str, str]]:
    """`tl-run -m hydra/sweeper=study ...` of runs that take a second: exit code, stdout, stderr."""

    def command(*arguments: str) -> tuple[int, str, str]:
        given = ["-m", "hydra/sweeper=study", "task=classification", f"task.train={table}", "task.max_length=16"]
        given += ["model=custom", f"model.path={bert}", "training.max_steps=2", "training.eval_every=1"]
        return tl_run(*given, *arguments), *capsys.readouterr()

    return command


def states() -> list[str]:
    rows = [json.loads(line) for line in (FOLDER / "sweep.jsonl").read_text().splitlines()]
    return [row["state"] for row in rows if row["state"] not in ("begun", "running")]


def test_a_study_runs_its_trials_and_the_same_command_finds_them(study):
    code, out, err = study(RATE, "seed=0,1", "hydra.sweeper.n_trials=2")
    assert (code, err) == (0, "")
    assert "study       2 trials: 2 to run, in outputs/sweeps/classification" in out
    assert states() == ["done"] * 4
    assert "  runs  validation" in out
    assert out.count("optimizer.lr=") >= 6
    assert "best by validation: optimizer.lr=" in out or "note: 2 trials: 2 done" in out
    assert (FOLDER / JOURNAL).is_file()
    code, out, _ = study(RATE, "seed=0,1", "hydra.sweeper.n_trials=2")
    assert code == 0
    assert "study       2 trials: 2 done, in outputs/sweeps/classification" in out
    assert states() == ["done"] * 4, "nothing was run again"


def test_a_trial_that_falls_behind_leaves_a_checkpoint_and_no_result(study, monkeypatch):
    """The second trial is told at its first evaluation that the others do better."""
    told = []

    def watching(*arguments):
        told.append(arguments)
        return lambda evaluation, score: arguments[2] == 1 and evaluation == 1

    monkeypatch.setattr("tl_run.run.watch", watching)
    monkeypatch.setattr("tl_run.job.apart", lambda work, *arguments, limit: work(*arguments))
    code, out, err = study("freeze=none,trunk", "hydra.sweeper.sampler=grid")
    assert (code, err) == (0, "")
    assert sorted(states()) == ["done", "pruned"]
    assert "note: 2 trials: 1 done, 1 pruned" in out
    (pruned,) = [path for path in FOLDER.glob("*_*") if not (path / "result.json").exists()]
    assert list((pruned / "checkpoints").iterdir())


def test_a_trial_that_fails_is_recorded_and_named(study):
    code, out, err = study("freeze=none,bottom", "freeze.layers=99", "hydra.sweeper.sampler=grid")
    assert code == 1
    assert "1 of 2 jobs failed" in err
    assert "freeze.layers" in err
    assert "sweep.trial" not in err
    assert "note: 2 trials: 1 done, 1 failed" in out


def test_a_plan_of_a_study_runs_nothing(study):
    code, out, _ = study(RATE, "--plan")
    assert code == 0
    assert "study       20 trials: 20 to run" in out
    assert "searched    optimizer.lr=tag(log,interval(1e-05,0.01))" in out
    assert not (FOLDER / "sweep.jsonl").exists()
    assert not list(FOLDER.glob("*/"))


def test_a_choice_that_does_not_exist_is_told_before_anything_runs(study):
    code, _, err = study("freeze=none,trnk", RATE)
    assert code == 2
    assert "there is no freeze named 'trnk'. Did you mean 'trunk'?" in err
    assert not FOLDER.exists()


def test_bad_input_of_every_trial_is_told_once(study):
    code, _, err = study(RATE, "task.text=nix")
    assert code == 2
    assert err.startswith("error: task.text: ")
