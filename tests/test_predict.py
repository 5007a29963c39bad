"""tl-predict: what a run has learned, for new texts, in their order."""

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tl_run import cli, predict

TEXTS = ["the film was good", "bad", "i loved the very good story and the ending", "the plot was dull, and bad", "good"]


@pytest.fixture
def run(tl_run, bert, table, tmp_path) -> Path:
    """A finished run whose test split holds TEXTS."""
    rows = [{"text": text, "label": "yes" if "good" in text else "no"} for text in TEXTS]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["task=classification", f"task.train={table}", "task.test=test.jsonl", "task.max_length=16", "model=custom"]
    assert tl_run(*given, f"model.path={bert}", "optimizer.lr=1e-2", "training.epochs=12", "hydra.run.dir=mine") == 0
    return Path("mine")


@pytest.fixture
def tl_predict(capsys) -> Callable[..., tuple[int, str, str]]:
    """`tl-predict ...`: exit code, stdout, stderr."""

    def command(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.outcome(lambda: predict.predict([str(argument) for argument in arguments]))
        return code, *capsys.readouterr()

    return command


def table_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_it_says_what_the_run_said_of_the_same_texts_in_every_format(run, tl_predict, monkeypatch):
    told = [json.loads(line) for line in (run / "predictions-test.jsonl").read_text().splitlines()]
    assert [line["text"] for line in told] == TEXTS
    assert len({line["prediction"] for line in told}) == 2
    Path("new.csv").write_text("text\n" + "".join(f'"{text}"\n' for text in TEXTS))
    code, as_csv, err = tl_predict(run, "new.csv")
    assert (code, err) == (0, "")
    _, as_jsonl, _ = tl_predict(run, "test.jsonl", "--format", "jsonl", "--batch-size", "2")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path("new.csv").read_bytes())))
    _, from_stdin, _ = tl_predict(run, "-")
    assert from_stdin == as_csv
    for line, row, text in zip(told, table_of(as_csv), as_jsonl.splitlines(), strict=True):
        found = json.loads(text)
        assert found["id"] == row["id"] == line["id"]
        assert found["prediction"] == row["prediction"] == line["prediction"]
        assert found["probability"] == pytest.approx(line["probability"], abs=1e-5)
        assert float(row["probability"]) == pytest.approx(line["probability"], abs=1e-5)
        for label, value in line["probabilities"].items():
            assert found["probabilities"][label] == pytest.approx(value, abs=1e-5)
            assert float(row[f"probability_{label}"]) == pytest.approx(value, abs=1e-5)
        assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_it_writes_files_by_their_name(run, tl_predict, name):
    code, out, err = tl_predict(run, "test.jsonl", "-o", name)
    assert (code, out, err) == (0, "", f"5 predictions in {name}\n")
    text = Path(name).read_text()
    lines = table_of(text) if name == "out.csv" else [json.loads(line) for line in text.splitlines()]
    assert [line["id"] for line in lines] == list("01234")


def test_stdin_may_be_jsonl(run, tl_predict, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"text": "good"}\n')))
    code, out, _ = tl_predict(run, "-", "--input-format", "jsonl")
    assert code == 0
    assert len(table_of(out)) == 1


def test_other_columns_and_labels_do_not_matter(run, tl_predict):
    Path("new.csv").write_text("when,label,text\n1999,maybe,good\n")
    code, out, _ = tl_predict(run, "new.csv")
    assert code == 0
    assert table_of(out)[0].keys() == {"id", "prediction", "probability", "probability_no", "probability_yes"}


def test_pairs_and_ids(tl_run, tl_predict, bert, tmp_path):
    lines = ["name,one,two,label"]
    lines += [f"n{i},the film was {'good' if i % 2 else 'bad'},it was good,{i % 2}" for i in range(24)]
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    given = [
        "task=classification",
        "task.train=pairs.csv",
        "task.test=pairs.csv",
        "task.text=one",
        "task.text_pair=two",
    ]
    given += [
        "task.id=name",
        "task.max_length=24",
        "model=custom",
        f"model.path={bert}",
        "optimizer.lr=1e-2",
        "training.epochs=12",
    ]
    assert tl_run(*given, "training.epochs=12", "hydra.run.dir=mine") == 0
    told = [json.loads(line) for line in Path("mine/predictions-test.jsonl").read_text().splitlines()]
    assert (told[1]["id"], told[1]["text_pair"], told[1]["gold"]) == ("n1", "it was good", "1")
    code, out, _ = tl_predict("mine", "pairs.csv", "-f", "jsonl")
    assert code == 0
    for line, text in zip(told, out.splitlines(), strict=True):
        found = json.loads(text)
        assert (found["id"], found["prediction"]) == (line["id"], line["prediction"])
        assert found["probability"] == pytest.approx(line["probability"], abs=1e-5)
    Path("half.csv").write_text("one\ngood\n")
    code, out, err = tl_predict("mine", "half.csv")
    assert (code, out) == (2, "")
    assert "half.csv has no column 'two'" in err
    Path("unnamed.csv").write_text("one,two\ngood,bad\n")
    assert json.loads(tl_predict("mine", "unnamed.csv", "-f", "jsonl")[1])["id"] == "0"


def test_mistakes(run, tl_predict):
    Path("new.csv").write_text("txt\ngood\n")
    Path("gap.jsonl").write_text('{"text": "good"}\n{"text": null}\n')
    for arguments, words in {
        (run, "new.csv"): "has no column 'text'; its columns are 'txt'",
        (run, "gap.jsonl"): "gap.jsonl, line 2: 'text' is missing, a text is needed",
        (run, "nix.csv"): "nix.csv: not found",
        ("nix", "new.csv"): "nix: no run lies there",
        (run, "test.jsonl", "-o", "out.txt"): "the name ends in neither .csv nor .jsonl: type --format csv or jsonl",
        (run, "test.jsonl", "--batch-size", "0"): "--batch-size 0: must be at least 1",
    }.items():
        code, out, err = tl_predict(*arguments)
        assert (code, out) == (2, "")
        assert words in err
        assert len(err.splitlines()) <= 3


def test_a_run_that_is_not_finished(run, tl_predict):
    (run / "model" / "config.json").unlink()
    code, _, err = tl_predict(run, "test.jsonl")
    assert code == 2
    assert "the run is not finished, it has no model yet: tl-run resume=mine" in err
