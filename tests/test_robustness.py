"""tl-predict --perturb: the same examples as they are and disturbed, scored side by side."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tl_run import cli, finished, predict
from tl_run.data.perturbation import KINDS, Disturbance
from tl_run.embedded import locate


@pytest.fixture
def tl_predict(capsys) -> Callable[..., tuple[int, str, str]]:
    """`tl-predict ...`: exit code, stdout, stderr."""

    def command(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.outcome(lambda: predict.predict([str(argument) for argument in arguments]))
        return code, *capsys.readouterr()

    return command


def trained(tl_run: Callable[..., int], task: str, *given: str) -> Path:
    assert tl_run(f"task={task}", "model=tiny", "training.max_steps=1", f"hydra.run.dir={task}", *given) == 0
    return Path(task)


def test_scores_and_changes_are_those_of_the_predictions(tl_run, tl_predict):
    run, file = trained(tl_run, "classification-demo"), locate("embedded:classification-demo/test.csv")
    result = json.loads((run / "result.json").read_text())
    code, out, err = tl_predict(run, file, "--perturb", "typos", "--rate", "0.6", "--seed", "3", "-o", "both.csv")
    assert (code, err) == (0, "12 predictions in both.csv\n")
    rows = [*csv.DictReader(Path("both.csv").read_text().splitlines())]
    labels = [row["label"] for row in csv.DictReader(file.read_text().splitlines())]
    assert [row["gold"] for row in rows] == labels
    assert [row["text_disturbed"] for row in rows] == [Disturbance("typos", 0.6, 3).text(row["text"]) for row in rows]
    clean, disturbed = (
        sum(row[name] == row["gold"] for row in rows) / 12 for name in ("prediction", "prediction_disturbed")
    )
    (line,) = [line for line in out.splitlines() if line.startswith("accuracy")]
    assert line.split()[1:4] == [f"{clean:.4f}", f"{disturbed:.4f}", f"{disturbed - clean:+.4f}"]
    assert clean == pytest.approx(result["test"]["accuracy"])
    assert result["metric"]["name"] == "accuracy"
    assert line.endswith("(the run's metric)")
    changed = sum(row["prediction"] != row["prediction_disturbed"] for row in rows)
    assert f"{changed} of 12 predictions changed" in out
    again = tl_predict(run, file, "--perturb", "typos", "--rate", "0.6", "--seed", "3")[1]
    assert again == out
    assert tl_predict(run, file, "--perturb", "typos", "--rate", "0.6", "--seed", "4")[1] != out


def examples_of(run: Path, file: Path) -> tuple[finished.Finished, list]:
    opened = finished.open_run(run)
    finished.name_labels(opened)
    return opened, opened.kind.read_labelled(opened.kind.open(file))


def entities(example) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for token, tag in zip(example.tokens, example.tags, strict=True):
        if tag.startswith("B-"):
            found.append((tag[2:], [token]))
        elif tag != "O":
            found[-1][1].append(token)
    return found


def test_tags_stay_with_their_tokens(tl_run, tl_predict):
    run, file = trained(tl_run, "tagging-demo"), locate("embedded:names/test.conll")
    _, examples = opened, rows = examples_of(run, file)
    left_out = 0
    for example in rows:
        drop, typos = (opened.kind.disturbed(example, Disturbance(kind, 0.5, 0)) for kind in ("drop", "typos"))
        assert entities(drop) == entities(example), "what is marked is not left out"
        pairs = [*zip(example.tokens, example.tags, strict=True)]
        rest = iter(pairs)
        assert all(pair in rest for pair in zip(drop.tokens, drop.tags, strict=True))
        left_out += len(example.tokens) - len(drop.tokens)
        assert typos.tags == example.tags
        assert len(typos.tokens) == len(example.tokens)
        assert all(typos.tokens)
    assert left_out > len(examples)
    code, out, _ = tl_predict(run, file, "--perturb", "drop", "--rate", "0.5", "-o", "both.jsonl")
    assert code == 0
    assert "predictions changed" in out
    lines = [json.loads(line) for line in Path("both.jsonl").read_text().splitlines()]
    assert all(len(line["gold_disturbed"]) == len(line["prediction_disturbed"]) for line in lines)


def test_the_predicate_is_found_again(tl_run):
    opened, rows = examples_of(trained(tl_run, "srl-demo"), locate("embedded:roles/test.jsonl"))
    for example in rows:
        drop = opened.kind.disturbed(example, Disturbance("drop", 0.9, 0))
        assert drop.tokens[drop.predicate] == example.tokens[example.predicate]


def test_both_entities_stay_marked(tl_run, tl_predict):
    run, file = trained(tl_run, "relation-demo"), locate("embedded:relation-demo/test.csv")
    opened, rows = examples_of(run, file)
    for example in rows:
        for kind in KINDS:
            other = opened.kind.disturbed(example, Disturbance(kind, 0.5, 0))
            names = [[each.text[slice(*span)] for span in each.spans] for each in (example, other)]
            assert kind == "typos" or [name.lower() for name in names[0]] == [name.lower() for name in names[1]]
            assert all(names[1])
    assert tl_predict(run, file, "--perturb", "drop")[0] == 0


def test_of_numbers_it_is_told_how_far_they_move(tl_run, tl_predict):
    run, file = trained(tl_run, "regression-demo"), locate("embedded:regression-demo/test.csv")
    code, out, _ = tl_predict(run, file, "--perturb", "drop", "--rate", "0.5")
    assert code == 0
    assert "spearman" in out
    assert "predictions move by" in out


def test_labels_are_those_of_the_run_whatever_the_file_holds(tl_run, tl_predict):
    """A file with one label alone: its label keeps the run's number."""
    run = trained(tl_run, "classification-demo")
    opened = finished.open_run(run)
    finished.name_labels(opened)
    last = opened.kind.labels[-1]
    Path("one.csv").write_text(f"text,label\ngood,{last}\nfine,{last}\n")
    assert [e.label for e in examples_of(run, Path("one.csv"))[1]] == [len(opened.kind.labels) - 1] * 2
    several = trained(tl_run, "classification", "task.train=many.jsonl", "task.multi_label=true") if many() else run
    opened, rows = examples_of(several, Path("many.jsonl"))
    assert [e.label for e in rows[:3]] == [(0,), (1, 2), ()]
    assert tl_predict(several, "many.jsonl", "--perturb", "case", "--rate", "1")[0] == 0


def many() -> bool:
    labels = [["a"], ["b", "c"], []]
    rows = [{"text": f"the film was good {i}", "label": labels[i % 3]} for i in range(24)]
    return bool(Path("many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows)))


def test_mistakes(tl_run, tl_predict):
    run, similar = trained(tl_run, "classification-demo"), trained(tl_run, "similarity-demo")
    file = locate("embedded:classification-demo/test.csv")
    Path("bare.csv").write_text("text\ngood\n")
    Path("gap.csv").write_text("text,label\ngood,\n")
    Path("odd.csv").write_text("text,label\ngood,maybe\n")
    for arguments, words in {
        (run, file, "--rate", "0.2"): "--rate goes with --perturb: type --perturb typos, case, drop",
        (run, file, "--seed", "0"): "--seed goes with --perturb",
        (run, file, "--perturb", "drop", "--rate", "0"): "--rate 0: a share of the words is needed",
        (run, file, "--perturb", "drop", "--seed", "-1"): "--seed -1: must be at least 0",
        (run, "bare.csv", "--perturb", "drop"): "the run's label: bare.csv has no column 'label'",
        (run, "gap.csv", "--perturb", "drop"): "gap.csv, line 2: the label in 'label' is missing",
        (run, "odd.csv", "--perturb", "drop"): "odd.csv, line 2: label 'maybe' does not occur in train",
        (similar, file, "--perturb", "drop"): "similarity-demo is a run of task.kind=similarity: this works with",
    }.items():
        code, out, err = tl_predict(*arguments)
        assert (code, out) == (2, ""), arguments
        assert words in err
        assert len(err.splitlines()) <= 3
