"""Domains from files and runs, and the samples that are compared."""

import json
from pathlib import Path

import pytest

from run_folders import write
from tl_run.errors import BadInput, BadOption
from tl_run.shift.sides import Columns, Side, read, samples

PLAIN = Columns(None, None, None)


def side(name: str, count: int) -> Side:
    return Side(name, [f"{name}{i}" for i in range(count)], [str(i % 2) for i in range(count)], "")


def test_a_table_has_texts_and_labels(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\nfine,1\nbad,\n")
    found = read(str(path), PLAIN)
    assert (found.texts, found.labels, found.label_names) == (["fine", "bad"], ["1", None], {"1"})
    path.write_text("text,label\nfine,\nbad,\n")
    assert read(str(path), PLAIN).labels is None, "a column without labels has none"
    path.write_text("text\nfine\n")
    assert read(str(path), PLAIN).labels is None


def test_other_columns_pairs_and_lists(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"one": "q", "two": "r", "tags": ["x", "y"]}) + "\n")
    found = read(str(path), Columns("one", "two", "tags"))
    assert (found.texts, found.labels) == (["q\nr"], ['["x", "y"]'])
    assert found.columns == ("one", "two", "tags")


def test_plain_text_is_a_text_a_line(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    assert read(str(tmp_path / "a.txt"), PLAIN).texts == ["one", "two"]


def test_a_finished_run_says_data_columns_and_model(tmp_path, monkeypatch):
    path = tmp_path / "d.csv"
    path.write_text("review,stars\nfine,5\nbad,1\n")
    changes = {"task.train": str(path), "task.text": "review", "task.label": "stars"}
    run = write(tmp_path / "run", **changes, **{"model.path": "org/model"})
    found = read(str(run), PLAIN)
    assert (found.texts, found.labels, found.model) == (["fine", "bad"], ["5", "1"], "org/model")
    assert found.checksum == read(str(path), Columns("review", None, "stars")).checksum
    scratch = write(tmp_path / "scratch", **changes, **{"model.path": None})
    assert read(str(scratch), PLAIN).model == str(scratch / "model"), "it began with nothing"
    assert read(str(scratch), Columns("stars", None, None)).texts == ["5", "1"]


def test_a_run_on_a_dataset_folder(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.csv").write_text("text,label\nfine,1\nbad,0\n")
    splits = {"train": "train", "validation": None, "test": None}
    changes = {"task.dataset": str(folder), "task.text": "text", "task.splits": splits}
    assert read(str(write(tmp_path / "run", **changes)), PLAIN).texts == ["fine", "bad"]


@pytest.mark.parametrize(
    ("path", "typed", "words"),
    [
        (
            "a.csv",
            Columns("review", None, None),
            "--text: a.csv has no column 'review'; its columns are 'text', 'label'",
        ),
        ("a.csv", Columns(None, None, "stars"), "--label: a.csv has no column 'stars'"),
        ("nix.csv", PLAIN, "nix.csv: not found"),
        ("empty", PLAIN, "empty: a folder without config.yaml is no run; give a file, or the folder of a finished run"),
        ("begun", PLAIN, "begun: the run is not finished"),
        ("pictures", PLAIN, "pictures: a run of the kind images has no column of texts: give its file, and --text"),
        ("a.jsonl", PLAIN, "a.jsonl, line 1: 'text' is a number, a text is needed (--text)"),
    ],
)
def test_bad_input(tmp_path, path, typed, words):
    Path("a.csv").write_text("text,label\nfine,1\n")
    Path("a.jsonl").write_text('{"text": 3}\n')
    Path("empty").mkdir()
    (write(Path("begun")) / "result.json").unlink()
    write(Path("pictures"), **{"task.kind": "images"})
    with pytest.raises((BadInput, BadOption)) as failure:
        read(path, typed)
    assert words in str(failure.value)


def test_three_samples_are_as_large_and_the_halves_share_nothing():
    source, target = side("s", 90), side("t", 300)
    drawn = samples(source, target, 1000, seed=0)
    assert [len(sample.texts) for sample in drawn] == [45, 45, 45]
    assert {*drawn[0].texts} | {*drawn[1].texts} == {*source.texts}
    assert all(sample.labels for sample in drawn)
    for sample in drawn:
        assert [str(int(text[1:]) % 2) for text in sample.texts] == sample.labels, "each has its own"
    assert drawn == samples(source, target, 1000, seed=0) != samples(source, target, 1000, seed=1)
    assert [len(sample.texts) for sample in samples(source, target, 30, seed=0)] == [30, 30, 30]
    assert [len(sample.texts) for sample in samples(source, side("t", 25), 30, seed=0)] == [25, 25, 25]


def test_too_few_texts():
    with pytest.raises(BadInput, match="s has 39 texts and t 300: 40 and 20 are needed at least"):
        samples(side("s", 39), side("t", 300), 1000, seed=0)
