"""Names of folders, labels and models that would lead elsewhere, run in a browser, or steer a terminal."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from tl_run import cli, predict
from tl_run.report import command as report

LABELS = ["../../x", "<script>alert(1)</script>", "line\nline", "\x1b]0;mine\x07\x1b[31mred", "[bold]no[/]", "ünï 中文"]
GIVEN = ["task=classification", "task.train=train.jsonl", "task.max_length=16", "model=custom"]


@pytest.fixture
def given(bert, tmp_path) -> list[str]:
    """A table whose labels are the hostile ones."""
    rows = [{"text": f"the film {i} was good", "label": LABELS[i % len(LABELS)]} for i in range(60)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [*GIVEN, f"model.path={bert}", "training.max_steps=2"]


def test_labels_go_where_they_belong_and_nowhere_else(given, tl_run, capsys, tmp_path):
    before = {path.name for path in tmp_path.parent.iterdir()}
    assert tl_run(*given, "hydra.run.dir=mine", "task.test=train.jsonl") == 0
    assert cli.outcome(lambda: report.report(["mine"])) == 0
    assert cli.outcome(lambda: predict.predict(["mine", "train.jsonl", "-o", "told.csv"])) == 0
    out, err = capsys.readouterr()
    assert not any(sign in out + err for sign in "\x1b\x07")
    page = Path("mine/report.html").read_text()
    assert "<script>alert" not in page
    assert not any(sign in page for sign in "\x1b\x07")
    assert {*json.loads(Path("mine/model/config.json").read_text())["id2label"].values()} == {*LABELS}
    told = list(csv.DictReader(io.StringIO(Path("told.csv").read_text())))
    assert {row["prediction"] for row in told} <= {*LABELS}
    assert {path.name for path in tmp_path.parent.iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} <= {"train.jsonl", "mine", "told.csv", "cache", "hf"}


@pytest.mark.parametrize(
    "name",
    ["my runs/no. 1", "größe/中文", "-dash", "a'b\"c", "semi;colon & $HOME `x`", "tab\there", "..hidden", "x" * 200],
)
def test_a_strange_folder_holds_a_run_that_can_be_named_again(name, given, tl_run, capsys):
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    assert tl_run(*given, f"hydra.run.dir='{quoted}'") == 0
    assert (Path(name) / "result.json").is_file()
    assert tl_run(f"resume={name}") == 0
    out, err = capsys.readouterr()
    assert "is done; its result:" in out
    assert err == ""


@pytest.mark.parametrize("name", ["x" * 300, "a/" + "y" * 300, "/proc/mine", "train.jsonl", "train.jsonl/run"])
def test_a_folder_that_cannot_be_is_told(name, given, tl_run, capsys, tmp_path):
    before = {*tmp_path.rglob("*")}
    assert tl_run(*given, f"hydra.run.dir={name}") == 5
    err = capsys.readouterr().err
    assert "hydra.run.dir" in err
    assert len(err.splitlines()) <= 3
    left = {path for path in {*tmp_path.rglob("*")} - before if path.relative_to(tmp_path).parts[0] != "cache"}
    assert not left


@pytest.mark.parametrize("option", ["task.name", "model.name"])
@pytest.mark.parametrize("name", ["../../outside", "a/../../b", "/etc", "..", "\x1b[31mred", "a\nb", "x" * 120, ""])
def test_a_name_leads_no_run_out_of_outputs(option, name, given, tl_run, capsys, tmp_path):
    before = {path.name for path in tmp_path.parent.iterdir()}
    assert tl_run(*given, f"{option}='{name}'") in (2, 5)
    assert tl_run(*given, f"{option}='{name}'", "-m", "seed=0", "sweep.name=mine") in (1, 2)
    err = capsys.readouterr().err
    assert option in err
    assert "\x1b" not in err
    assert {path.name for path in tmp_path.parent.iterdir()} == before


def test_a_jobs_folder_is_a_plain_name_in_the_sweeps(given, tl_run, tmp_path):
    values = "'../../outside','<script>','a b'"
    assert tl_run(*given, "-m", f"task.subset={values}", "sweep.name=mine") == 0
    folders = [path for path in (tmp_path / "outputs/sweeps/mine").iterdir() if path.is_dir()]
    assert len(folders) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", path.name) for path in folders)
    assert not (tmp_path.parent / "outside").exists()
