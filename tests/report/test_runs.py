"""Which folders count as runs, and what is told of those that do not."""

import json
from pathlib import Path

import pytest
import yaml

from run_folders import write
from tl_run.errors import BadOption
from tl_run.report.runs import find
from tl_run.sweep import ledger


def left_out(*folders: Path) -> dict[str, str]:
    return {Path(name).name: why for name, why in find([*folders]).left_out}


def test_a_run_a_sweep_and_a_tree_of_them(tmp_path):
    write(tmp_path / "one" / "a")
    write(tmp_path / "one" / "b", seed=1)
    write(tmp_path / "two" / "deep" / "c", seed=2)
    (tmp_path / "one" / "a" / "model").mkdir()
    (tmp_path / "one" / "a" / "model" / "config.yaml").write_text("not a run of its own")
    assert [run.seed for run in find([tmp_path]).runs] == [0, 1, 2]
    assert [run.seed for run in find([tmp_path / "one" / "b", tmp_path / "two"]).runs] == [1, 2]
    assert [run.seed for run in find([tmp_path / "one", tmp_path]).runs] == [0, 1, 2], "named twice, counted once"
    assert find([tmp_path]).left_out == []


def test_what_a_run_says(tmp_path):
    write(tmp_path / "a", right="1110", validation=0.7, seed=3, trained_on=42, curve=(0.5, 0.7))
    (run,) = find([tmp_path]).runs
    assert (run.seed, run.metric, run.higher_is_better, run.validation, run.test) == (3, "accuracy", True, 0.7, 0.75)
    assert (run.examples, run.trainable, run.seconds) == (42, 1000, 4.0)
    assert run.config["optimizer.lr"] == 5e-4
    assert run.values("validation", "accuracy") == [(10, 0.5), (20, 0.7)]
    assert run.classes is not None
    assert run.classes.confusion == [[2, 0], [1, 1]]


def test_unfinished_and_damaged_runs_are_named_with_the_reason(tmp_path):
    names = ("fine", "unfinished", "half", "list", "no-config", "bad-config", "no-environment", "old", "nan")
    folders = {name: write(tmp_path / name, seed=i) for i, name in enumerate(names)}
    (folders["unfinished"] / "result.json").unlink()
    (folders["half"] / "result.json").write_text('{"status": "do')
    (folders["list"] / "result.json").write_text("[]")
    (folders["no-config"] / "config.yaml").unlink()
    (folders["bad-config"] / "config.yaml").write_text("a: [")
    (folders["no-environment"] / "environment.json").unlink()
    (folders["old"] / "result.json").write_text('{"score": 1}')
    result = json.loads((folders["nan"] / "result.json").read_text())
    result["validation"]["accuracy"] = float("nan")
    (folders["nan"] / "result.json").write_text(json.dumps(result))
    assert len(find([tmp_path]).runs) == 1
    assert left_out(tmp_path) == {
        "unfinished": "not finished",
        "half": "result.json is damaged",
        "list": "result.json is damaged",
        "no-config": "config.yaml cannot be read: No such file or directory",
        "bad-config": "config.yaml is damaged",
        "no-environment": "environment.json cannot be read: No such file or directory",
        "old": "result.json or environment.json of another version: no 'metric'",
        "nan": "result.json or config.yaml of another version: nan is not a number",
    }


WRONG = [None, "x", [], {}, 3, float("inf"), [[1]], {"a": None}]


def places(tree: dict, *path: str):
    for key, value in tree.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from places(value, *path, key)


@pytest.mark.parametrize("file", ["result.json", "environment.json", "config.yaml"])
def test_whatever_is_wrong_in_a_file_costs_that_run_at_most(file, tmp_path, capsys):
    """Every value of it left out, and replaced by others: the report is made, without a fault of ours."""
    from tl_run.failures import outcome
    from tl_run.report.command import report
    from tl_run.report.content import parts

    write(tmp_path / "fine", seed=1)
    folder = write(tmp_path / "odd")
    text = (folder / file).read_text()
    whole = yaml.safe_load(text)
    for place in places(whole):
        for value in ("gone", *WRONG):
            tree = json.loads(json.dumps(whole))
            at = tree
            for key in place[:-1]:
                at = at[key]
            at[place[-1]] = value
            if value == "gone":
                del at[place[-1]]
            (folder / file).write_text(yaml.safe_dump(tree) if file == "config.yaml" else json.dumps(tree))
            parts(find([tmp_path]))
    assert outcome(lambda: report([str(tmp_path)])) == 0
    assert "fault of tl-run" not in capsys.readouterr().err


def test_of_two_folders_with_the_same_run_one_counts(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", **{"hardware.threads": 8, "task.train": "/elsewhere/train.csv"})
    write(tmp_path / "c", **{"optimizer.lr": 1e-3})
    assert [run.folder.name for run in find([tmp_path]).runs] == ["a", "c"]
    assert left_out(tmp_path) == {"b": "the same run as a, counted once"}


def test_failed_jobs_of_a_sweep_are_told_from_its_ledger(tmp_path):
    write(tmp_path / "a", overrides=("seed=0",))
    broken = write(tmp_path / "b", overrides=("seed=1",))
    (broken / "result.json").unlink()
    ledger.note(tmp_path, ledger.BEGUN, ["seed=0,1,2,3"])
    ledger.note(tmp_path, ledger.FAILED, ["seed=0"], reason="once", code=2)
    ledger.note(tmp_path, ledger.DONE, ["seed=0"], folder="a", value=1.0)
    ledger.note(tmp_path, ledger.FAILED, ["seed=1"], reason="the folder is named already", code=2)
    ledger.note(tmp_path, ledger.FAILED, ["seed=2"], reason="task.text: no column 'nix'\nmore", code=2)
    with (tmp_path / ledger.LEDGER).open("a") as file:
        file.write('{"state": "failed"}\n[1]\n{"time": 1, "st')
    assert left_out(tmp_path) == {"b": "not finished", "seed=2": "failed: task.text: no column 'nix'"}


def test_what_a_study_has_ended_is_told_from_its_ledger(tmp_path):
    for name in ("a", "b", "c"):
        (write(tmp_path / name, seed=ord(name)) / "result.json").unlink()
        ledger.note(tmp_path, ledger.PRUNED, [f"x={name}"], folder=f"sweeps/s/{name}", reason="the others do better")
    ledger.note(tmp_path, ledger.DONE, ["x=b"], folder="sweeps/s/b", value=1.0)
    ended = "its study ended it: the others did better"
    assert left_out(tmp_path) == {"a": ended, "b": "not finished", "c": ended}


def test_where_a_result_does_not_say_it_the_curve_says_whether_more_is_better(tmp_path):
    for name, curve, best in (("up", (0.5, 0.7), 0.7), ("down", (0.7, 0.5), 0.5), ("flat", (0.5, 0.5), 0.5)):
        folder = write(tmp_path / name, validation=best, curve=curve, seed=len(list(tmp_path.iterdir())))
        result = json.loads((folder / "result.json").read_text())
        del result["metric"]["higher_is_better"]
        del result["splits"]
        (folder / "result.json").write_text(json.dumps(result))
    found = {run.folder.name: run for run in find([tmp_path]).runs}
    assert {name: run.higher_is_better for name, run in found.items()} == {"up": True, "down": False, "flat": True}
    assert found["up"].examples is None


def test_a_vocabulary_built_from_the_drawn_texts_makes_no_other_setting(tmp_path):
    for seed in (0, 1):
        folder = write(tmp_path / str(seed), seed=seed, **{"model.path": None})
        environment = json.loads((folder / "environment.json").read_text())
        (folder / "environment.json").write_text(json.dumps(environment | {"weights": {"vocabulary": str(seed)}}))
    first, second = find([tmp_path]).runs
    assert first.setting == second.setting


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(BadOption, match=r"nix: there is no such folder"):
        find([tmp_path / "nix"])
