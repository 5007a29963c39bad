"""Numbers: reading, scores against scipy and formulas, the loss, where it starts, and what a saved model says."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import torch
import transformers

from composing import compose
from finished_objects import assemble
from kind_runs import assert_any_cut_gives_the_same_gradient, assert_the_store_changes_nothing, jsonl, lines
from tiny_models import FAMILIES
from tl_run import cli, predict, task
from tl_run.config.check import check
from tl_run.data.table import Table
from tl_run.errors import BadInput


def kind(*overrides: str):
    return task.load(check(compose("task=regression", "task.train=x.csv", *overrides)).task)


def labelled(*labels, path="train.csv") -> Table:
    rows = [{"text": f"text {i}", "label": label} for i, label in enumerate(labels)]
    return Table(path, ("text", "label"), rows, list(range(2, len(rows) + 2)))


def test_labels_are_numbers_however_they_are_written():
    made = kind()
    examples = made.read({"train": labelled("3.5", " -1e2", 2, 0.25), "test": labelled("", None)})
    assert [example.label for example in examples["train"]] == [3.5, -100, 2, 0.25]
    assert [made.stratum(example) for example in examples["train"]] == [0] * 4
    assert [made.stratum(example) for example in examples["test"]] == [None, None]
    array = made.label_array([1.5, None])
    assert array.dtype == np.float32
    assert array[0] == 1.5
    assert np.isnan(array[1])
    assert made.inputs(examples["train"][0])["gold"] == 3.5
    assert made.inputs(examples["test"][0])["gold"] is None


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (
            {"train": labelled("1", "high", "nan", "inf", "", "2")},
            [
                "train.csv, line 3: 'label' is 'high', a number is needed (task.label)",
                "train.csv, line 4: 'label' is 'nan', a number",
                "... and 2 more problems like these",
            ],
        ),
        (
            {"train": labelled(1, True, None)},
            [
                "train.csv, line 3: 'label' is true or false, a number is needed",
                "train.csv, line 4: 'label' is missing, a number",
            ],
        ),
        ({"train": labelled("2", "2.0")}, ["train.csv: 'label' holds 1 value, two or more are needed; task.label can"]),
        (
            {"train": labelled(1, 2), "test": labelled(-1, -1.0, path="test.csv")},
            ["test.csv: every 'label' is -1: the hub writes so where there is none; type task.test=null"],
        ),
    ],
)
def test_problems_are_told_with_their_lines(tables, words):
    with pytest.raises(BadInput) as failure:
        kind().read(tables)
    told = str(failure.value).splitlines()
    assert len(told) == len(words)
    for line, start in zip(told, words, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(("option", "metric", "higher"), [("auto", "spearman", True), ("rmse", "rmse", False)])
def test_what_chooses_the_model(option, metric, higher):
    made = kind(f"task.metric={option}")
    assert (made.metric, made.higher_is_better) == (metric, higher)


def test_scores_are_scipys_and_the_formula():
    generator = np.random.default_rng(0)
    for _ in range(5):
        gold, found = generator.integers(0, 6, 30).astype(np.float32), generator.normal(size=30).round(1)
        rmse = sum((float(g) - f) ** 2 for g, f in zip(gold, found, strict=True)) / 30
        assert kind().metrics(found.tolist(), SimpleNamespace(labels=gold)) == pytest.approx(
            {
                "spearman": scipy.stats.spearmanr(gold, found)[0],
                "pearson": scipy.stats.pearsonr(gold, found)[0],
                "rmse": rmse**0.5,
            }
        )


@pytest.mark.parametrize(("gold", "found"), [([1, 2, 3], [2, 2, 2]), ([2, 2], [1, 3]), ([1], [3])])
def test_what_never_varies_correlates_with_nothing(gold, found):
    scores = kind().metrics(found, SimpleNamespace(labels=np.array(gold, np.float32)))
    assert (scores["spearman"], scores["pearson"]) == (0, 0)
    assert scores["rmse"] == pytest.approx(np.mean((np.array(gold) - np.array(found)) ** 2) ** 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_loss_is_a_sum_of_squares_in_float32(dtype):
    logits = torch.tensor([[0.5], [2.0], [-3.0]], dtype=dtype)
    loss = kind().loss(SimpleNamespace(logits=logits), {"labels": torch.tensor([1.0, 2.0, 1.0])})
    assert loss.dtype == torch.float32
    assert loss.item() == 0.25 + 0 + 16
    assert kind().weight(None, np.arange(3)) == 3
    assert kind().decode(SimpleNamespace(logits=logits), {}, None) == [0.5, 2.0, -3.0]
    assert kind().describe(None, 1.23456789) == {"prediction": 1.234568}


# -- runs


@pytest.fixture
def command(bert, tmp_path) -> list[str]:
    """So many times `good` is the number, from 5 to 8; 40 training examples, 12 of each other split."""
    fill = ["film", "plot", "story", "ending", "it"]
    command = ["task=regression", "task.max_length=16", "model=custom", f"model.path={bert}", "hardware=cpu"]
    for split, count in (("train", 40), ("validation", 12), ("test", 12)):
        rows = [f"the {fill[i % 5]} is {'good ' * (i % 4)}and {fill[i // 5 % 5]},{5 + i % 4}" for i in range(count)]
        (tmp_path / f"{split}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
        command.append(f"task.{split}={split}.csv")
    return [*command, "optimizer.lr=0.01", "training.epochs=2", "training.batch_size=8"]


@pytest.mark.parametrize("options", [[], ["model.head=linear"], ["model.head=weighted"], ["model.pretrained=false"]])
def test_the_output_starts_at_the_mean_of_the_labels(command, options):
    parts = assemble(*command, *options)
    found = np.array(parts.score().predictions)
    assert abs(found.mean() - 6.5) < 0.5
    assert any(p.shape == (1,) and p.item() == 6.5 for p in parts.model.parameters())


def test_a_head_that_has_learned_stays_as_it_is(command, tl_run):
    assert tl_run(*command, "hydra.run.dir=run") == 0
    learned = transformers.AutoModelForSequenceClassification.from_pretrained("run/model").classifier.bias.item()
    again = assemble(*(each for each in command if not each.startswith("model.path")), "model.path=run/model")
    assert again.model.classifier.bias.item() == learned != 6.5


def test_an_output_without_a_bias(command, tmp_path):
    folder = FAMILIES["gpt2"](tmp_path / "gpt2")
    parts = assemble(*(each for each in command if not each.startswith("model.path")), f"model.path={folder}")
    assert parts.model.score.bias is None


def test_any_cut_gives_the_same_gradient(command):
    assert_any_cut_gives_the_same_gradient(*command)


@pytest.mark.parametrize("options", [["freeze=trunk", "model.head=linear"], ["freeze=bottom", "freeze.layers=1"]])
def test_the_store_changes_nothing(command, options, tl_run):
    assert_the_store_changes_nothing(tl_run, *command, *options)


def test_a_pipeline_and_tl_predict_say_the_same(command, tl_run, capsys):
    assert tl_run(*command, "training.epochs=12", "task.metric=rmse", "hydra.run.dir=run") == 0
    result = json.loads(Path("run/result.json").read_text())
    assert result["metric"]["name"] == "rmse"
    assert result["test"]["spearman"] > 0.7
    told = lines(Path("run/predictions-test.jsonl"))
    assert [line["gold"] for line in told[:4]] == [5, 6, 7, 8]
    best = min(row["rmse"] for row in lines(Path("run/metrics.jsonl")) if row["kind"] == "validation")
    assert result["validation"]["rmse"] == best
    pipe = transformers.pipeline("text-classification", model="run/model", device="cpu")
    found = pipe([line["text"] for line in told], function_to_apply="none")
    assert [each["score"] for each in found] == pytest.approx([line["prediction"] for line in told], abs=1e-4)
    assert 'function_to_apply="none"' in Path("run/model/README.md").read_text()
    jsonl(Path("new.jsonl"), [{"text": line["text"]} for line in told])
    for form in ("csv", "jsonl"):
        assert cli.outcome(lambda form=form: predict.predict(["run", "new.jsonl", "-o", f"found.{form}"])) == 0
    again = [line["prediction"] for line in lines(Path("found.jsonl"))]
    assert again == pytest.approx([line["prediction"] for line in told], abs=1e-5)
    table = predict.readers.read_table("found.csv")
    assert table.columns == ("id", "prediction")
    assert [float(row["prediction"]) for row in table.rows] == again


def test_a_test_split_without_labels_is_not_scored(command, tl_run, tmp_path, capsys):
    (tmp_path / "test.csv").write_text("text,label\nthe film is good,\nthe plot is good,\n")
    assert tl_run(*command, "hydra.run.dir=run", "hardware.precision=bf16") == 0
    assert "the test split has no labels: validation is the test" in " ".join(capsys.readouterr().out.split())
    assert json.loads(Path("run/result.json").read_text())["metric"]["split"] == "test"


def test_the_demo_learns(tl_run):
    assert tl_run("task=regression-demo", "training.eval_every=20", "hydra.run.dir=run") == 0
    assert json.loads(Path("run/result.json").read_text())["test"]["spearman"] > 0.5
