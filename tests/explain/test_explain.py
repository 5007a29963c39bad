"""tl-explain: the page of a run, what it can and cannot say, and the mistakes of who types it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tl_run import cli, finished
from tl_run.explain import command, content
from tl_run.explain.start import start

WORDS = ["film", "plot", "story", "ending"]


@pytest.fixture
def labelled(tmp_path) -> Path:
    rows = [
        {"text": f"the {WORDS[i % 4]} was {'good' if i % 2 else 'bad'} and i {'loved' if i % 3 else 'hated'} it",
         "label": "yes" if i % 2 else "no"}
        for i in range(30)
    ]  # fmt: skip
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "new.jsonl"


@pytest.fixture
def run(tl_run, bert, table, tmp_path) -> Path:
    start = shutil.copytree(bert, tmp_path / "start")
    given = ["task=classification", f"task.train={table}", "task.max_length=16", "model=custom", f"model.path={start}"]
    given += ["task.validation=" + str(table), "model.head=linear", "model.pooling=mean", "optimizer.lr=1e-2"]
    assert tl_run(*given, "training.epochs=8", "hydra.run.dir=mine") == 0
    return Path("mine")


@pytest.fixture
def tl_explain(capsys) -> Callable[..., tuple[int, str, str]]:
    """`tl-explain ...`: exit code, stdout, stderr."""

    def typed(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.outcome(lambda: command.explain([str(argument) for argument in arguments]))
        return code, *capsys.readouterr()

    return typed


def test_the_page_shows_words_probes_and_what_changed(run, labelled, tl_explain):
    code, out, err = tl_explain(run, labelled, "--examples", "3")
    assert (code, err) == (0, "")
    page = (run / "explain.html").read_text()
    assert "good" in out
    assert out.count("from the change") == page.count('class="example"') == 3
    assert "layer  probe before  probe after     CKA" in out
    assert "layer 2 has changed most" in out
    assert page.count("<svg") == 2
    assert 'style="--a:0.500"' in page, "the strongest word has the whole colour"
    assert "<script" not in page
    assert "every word is [MASK]" in page
    assert not [
        part for part in page.split('"') if part.startswith("http") and "arxiv.org" not in part and "w3" not in part
    ]


def test_the_word_that_decides_speaks_for_the_label_and_against_the_other(run, labelled):
    opened = finished.open_run(run)
    finished.name_labels(opened)
    examples = opened.kind.read_labelled(opened.kind.open(labelled))
    scores = {}
    for label in ("yes", "no"):
        choice = content.Choice(("1",), 1, "first", label, None)
        (told,) = content.explain(opened, "new", examples, choice, "cpu", 8).told
        assert told.attribution.complete
        assert (told.prediction, told.gold, told.target) == ("yes", "yes", f"logit of {label}")
        scores[label] = {word.text: word.score for word in told.words}
    assert max(scores["yes"], key=lambda word: scores["yes"][word]) == "good"
    assert scores["no"]["good"] < 0


def test_examples_are_chosen_by_name_or_by_how_wrong_or_uncertain_they_are(run, labelled, tl_explain):
    rows = [json.loads(line) for line in labelled.read_text().splitlines()]
    rows[17]["label"] = "no"  # it is good
    rows[5]["text"] = "the film was good and bad"
    labelled.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = tl_explain(run, labelled, "--ids", "4, 2")[1].splitlines()
    assert [line.split(":")[0] for line in shown if ": says" in line] == ["4", "2"]
    wrong = tl_explain(run, labelled, "--order", "wrong", "--examples", "1")[1]
    assert "17: says yes" in wrong
    assert "the file no: wrong" in wrong
    assert "\n5: says" in tl_explain(run, labelled, "--order", "uncertain", "--examples", "1")[1]


def test_without_labels_there_are_no_probes(run, labelled, tl_explain):
    Path("bare.csv").write_text("text\ngood\nthe film was bad\n")
    code, out, _ = tl_explain(run, "bare.csv", "-o", "bare.html")
    assert code == 0
    assert "the file has no labels" in out
    assert "no probes: 0 examples with labels" in out
    assert "CKA is too high with fewer examples (2) than dimensions (16)" in out
    assert Path("bare.html").read_text().count("<svg") == 1


def test_a_teacher_is_no_part_of_the_start(run, table, tl_run):
    given = ["task=classification", f"task.train={table}", "task.max_length=16", "model=custom", "model.path=start"]
    given += ["transfer=distill", "transfer.teacher=mine", "training.max_steps=1", "hydra.run.dir=student"]
    assert tl_run(*given) == 0
    student = finished.open_run(Path("student"))
    finished.name_labels(student)
    assert start(student).config.num_labels == 2


@pytest.mark.parametrize(
    ("harm", "words"), [("away", "no such folder"), ("other", "are not the files that the run began")]
)
def test_a_start_that_is_not_there_any_more_is_told_and_the_rest_shown(run, labelled, tl_explain, harm, words):
    if harm == "away":
        shutil.rmtree("start")
    else:
        config = json.loads(Path("start/config.json").read_text())
        Path("start/config.json").write_text(json.dumps(config | {"hidden_dropout_prob": 0.2}))
    code, out, _ = tl_explain(run, labelled, "--examples", "1")
    assert code == 0
    assert "no comparison with the model before fine-tuning" in out
    assert words in out
    assert "layer  probe after\n" in out
    page = (run / "explain.html").read_text()
    assert words in page
    assert page.count("<svg") == 1


@pytest.mark.parametrize(
    "model",
    [
        ["model=rnn", "model.hidden=16", "model.head=linear"],
        ["model=transformer-small", "model.hidden=16", "model.heads=2"],
        ["model=separable-cnn", "model.hidden=16"],
    ],
)
def test_own_models_and_numbers_with_the_random_weights_they_began_with(tl_run, labelled, tl_explain, model):
    rows = [json.loads(line) for line in labelled.read_text().splitlines()]
    Path("n.jsonl").write_text(
        "".join(json.dumps(r | {"label": len(r["text"]) + (r["label"] == "yes")}) + "\n" for r in rows)
    )
    given = [
        "task=regression",
        "task.train=n.jsonl",
        "task.max_length=16",
        *model,
        "model.layers=2",
        "optimizer.lr=1e-2",
    ]
    assert tl_run(*given, "freeze=pattern", "freeze.pattern=layers", "training.epochs=2", "hydra.run.dir=own") == 0
    code, out, err = tl_explain("own", "n.jsonl", "--examples", "2", "--order", "wrong")
    assert (code, err) == (0, "")
    assert out.count("the output: ") == 2
    assert "not complete" not in out
    assert "probe before" in out
    opened = finished.open_run(Path("own"))
    before, after = start(opened), finished.load(opened, "cpu")[0]
    weights = dict(before.named_parameters())
    same = {name: torch.equal(weights[name], p) for name, p in after.named_parameters()}
    assert all(kept for name, kept in same.items() if ".layers." in name), "the same seed draws the same weights"
    assert not all(same.values())


def test_mistakes(run, labelled, tl_run, tl_explain):
    Path("odd.csv").write_text("text,label\ngood,maybe\n")
    Path("n.csv").write_text("text,label\n" + "".join(f"good film,{i}\n" for i in range(12)))
    for kind, folder in (("regression", "numbers"), ("tagging-demo", "tags")):
        data = ["task.train=n.csv"] if kind == "regression" else []
        assert tl_run(f"task={kind}", *data, "model=tiny", "training.max_steps=1", f"hydra.run.dir={folder}") == 0
    for arguments, words in {
        ("nix", labelled): "nix: no run lies there",
        ("tags", labelled): "task.kind=tagging: tl-explain works with classification (one label each) and regression",
        (run, "nix.csv"): "nix.csv: not found",
        (run, "odd.csv"): "odd.csv, line 2: label 'maybe' does not occur in train",
        (run, labelled, "--ids", "4,99"): "has no example '99'",
        (run, labelled, "--ids", "4", "--order", "wrong"): "--ids names the examples: leave out",
        (run, labelled, "--examples", "0"): "--examples 0: must be at least 1",
        (run, labelled, "--label", "yess"): "the run's labels are no, yes. Did you mean 'yes'?",
        ("numbers", "n.csv", "--label", "yes"): "the run predicts numbers: leave it out",
        ("numbers", "n.csv", "--order", "uncertain"): "a number has no probability",
    }.items():
        code, out, err = tl_explain(*arguments)
        assert (code, out) == (2, ""), arguments
        assert words in err
        assert len(err.splitlines()) <= 3
