"""Several labels per text: reading, the loss and scores against references, and what a saved model says."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from sklearn import metrics

from composing import compose
from finished_objects import assemble
from kind_runs import assert_any_cut_gives_the_same_gradient, assert_the_store_changes_nothing, jsonl, lines
from tl_run import cli, predict, task
from tl_run.config.check import check
from tl_run.data.table import Table
from tl_run.errors import BadInput

BAR = "task.label_separator='|'"


def kind(*overrides: str):
    return task.load(
        check(compose("task=classification", "task.train=x.csv", "task.multi_label=true", *overrides)).task
    )


def labelled(*labels, path="train.csv", **more) -> Table:
    rows = [{"text": f"text {i}", "label": label} for i, label in enumerate(labels)]
    return Table(path, ("text", "label"), rows, list(range(2, len(rows) + 2)), **more)


@pytest.mark.parametrize(
    ("options", "given", "more"),
    [
        ([], [["b", "a"], [], ["a", "10", "a"]], {}),
        ([], [["b", "a"], [], ["a", 10, "a"]], {}),
        ([BAR], ["b|a", "", " a | 10|a"], {}),
        ([], [[2, 1], [], [1, 0]], {"class_names": {"label": ["10", "a", "b"]}}),
    ],
)
def test_labels_are_those_of_train_however_they_are_written(options, given, more):
    made = kind(*options)
    examples = made.read({"train": labelled(*given, **more)})["train"]
    assert made.labels == ["10", "a", "b"]
    assert [example.label for example in examples] == [(1, 2), (), (0, 1)]
    assert made.label_array([example.label for example in examples]).tolist() == [[0, 1, 1], [0, 0, 0], [1, 1, 0]]
    assert made.inputs(examples[0])["gold"] == ["a", "b"]
    assert {made.stratum(example) for example in examples} == {0}


@pytest.mark.parametrize(("options", "empty"), [([BAR], ""), ([], None), ([], [])])
def test_a_split_without_any_labels_is_not_scored(options, empty):
    made = kind(*options)
    train = labelled("a|b", "b") if options else labelled(["a", "b"], ["b"])
    test = made.read({"train": train, "test": labelled(empty, empty)})["test"]
    assert [made.stratum(example) for example in test] == [None, None]
    assert np.isnan(made.label_array([example.label for example in test])).all()


@pytest.mark.parametrize(
    ("options", "tables", "words"),
    [
        (
            [],
            {"train": labelled("a,b", ["a"], None)},
            [
                "train.csv, line 2: 'label' is text: several labels are a list, or type task.label_separator=','",
                "train.csv, line 4: 'label' is missing: several labels are a list, or type task.label_separator=','",
            ],
        ),
        ([BAR], {"train": labelled("a|b", "a||b")}, ["train.csv, line 3: 'label' holds a label that is missing"]),
        ([], {"train": labelled(["a", "b"], [0.5])}, ["train.csv, line 3: 'label' holds a label that is a number"]),
        ([BAR], {"train": labelled("a", "a")}, ["train.csv: 'label' holds 1 label (a), two or more are needed"]),
        (
            [BAR],
            {"train": labelled("yes|no", "no"), "test": labelled("yess", "no", path="test.csv")},
            ["test.csv, line 2: label 'yess' does not occur in train. Did you mean 'yes'?"],
        ),
    ],
)
def test_problems_are_told_with_their_lines(options, tables, words):
    with pytest.raises(BadInput) as failure:
        kind(*options).read(tables)
    told = str(failure.value).splitlines()
    assert len(told) == len(words)
    for line, start in zip(told, words, strict=True):
        assert line.startswith(start)


def test_the_mean_loss_is_transformers_own():
    made = kind()
    made.labels = ["a", "b", "c"]
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(5, 3, generator=generator)
    labels = (torch.rand(5, 3, generator=generator) > 0.5).float()
    config = transformers.BertConfig(
        vocab_size=8, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4, **made.head()
    )
    stock = transformers.BertForSequenceClassification(config).eval()
    stock.classifier = torch.nn.Identity()
    outputs = transformers.modeling_outputs.BaseModelOutputWithPooling(logits[:, None], logits)
    stock.bert.forward = lambda *_, **__: outputs  # type: ignore[method-assign]
    theirs = stock(input_ids=torch.zeros(5, 1, dtype=torch.long), labels=labels).loss
    total = made.loss(SimpleNamespace(logits=logits.bfloat16().float()), {"labels": labels})
    assert total.dtype == torch.float32
    assert made.loss(SimpleNamespace(logits=logits), {"labels": labels}).item() / made.weight(
        None, np.arange(5)
    ) == pytest.approx(theirs.item(), rel=1e-6)


def test_scores_are_scikit_learns():
    made, generator = kind(), np.random.default_rng(0)
    made.labels = ["a", "b", "c", "never"]
    assert made.metric == "f1_micro"
    for _ in range(5):
        gold, scores = generator.random((30, 4)) > 0.6, generator.random((30, 4)).round(2)
        gold[:, 3] = False
        found = scores >= 0.5
        encoded = SimpleNamespace(labels=gold.astype(np.float32))
        assert made.metrics(list(scores), encoded) == pytest.approx(
            {
                "f1_micro": metrics.f1_score(gold, found, average="micro"),
                "f1_macro": metrics.f1_score(gold, found, average="macro", zero_division=0),
                "subset_accuracy": metrics.accuracy_score(gold, found),
                "pr_auc": metrics.average_precision_score(gold[:, :3], scores[:, :3], average="macro"),
            }
        )
        report = metrics.classification_report(gold, found, target_names=made.labels, output_dict=True, zero_division=0)
        for name, row in made.tables(list(scores), encoded)["per_class"].items():
            assert row == pytest.approx({key.removesuffix("-score"): value for key, value in report[name].items()})


# -- runs


@pytest.fixture
def command(bert, tmp_path) -> list[str]:
    """Each of two words says that a label holds; 40 training examples, 12 of each other split."""
    fill = ["film", "plot", "story", "ending", "it"]
    command = ["task=classification", "task.multi_label=true", BAR, "task.max_length=16", "model=custom"]
    for split, count in (("train", 40), ("validation", 12), ("test", 12)):
        rows = ["text,label"]
        for i in range(count):
            words = [*(["good"] if i % 2 else []), *(["dull"] if i // 2 % 2 else [])]
            rows.append(f"{fill[i % 5]} is {' '.join(words)} and {fill[i // 5 % 5]},{'|'.join(sorted(words))}")
        (tmp_path / f"{split}.csv").write_text("\n".join(rows) + "\n")
        command.append(f"task.{split}={split}.csv")
    command += [f"model.path={bert}", "optimizer.lr=0.02", "training.epochs=2", "training.batch_size=8"]
    return [*command, "hardware=cpu"]


def test_any_cut_gives_the_same_gradient(command):
    assert_any_cut_gives_the_same_gradient(*command)


def test_a_head_of_ours_on_the_store(command, tl_run):
    assert_the_store_changes_nothing(tl_run, *command, "freeze=trunk", "model.head=linear")


def test_a_pipeline_and_tl_predict_say_the_same(command, tl_run, capsys):
    assert tl_run(*command, "training.epochs=12", "hydra.run.dir=run") == 0
    assert json.loads(Path("run/result.json").read_text())["metric"]["value"] > 0.7
    told = lines(Path("run/predictions-test.jsonl"))
    assert [line["gold"] for line in told[:4]] == [[], ["good"], ["dull"], ["dull", "good"]]
    pipe = transformers.pipeline("text-classification", model="run/model", device="cpu")
    for line, found in zip(told, pipe([line["text"] for line in told], top_k=None), strict=True):
        assert {each["label"]: each["score"] for each in found} == pytest.approx(line["probabilities"], abs=1e-4)
        assert line["prediction"] == sorted(each["label"] for each in found if each["score"] >= 0.5)
    jsonl(Path("new.jsonl"), [{"text": line["text"]} for line in told])
    for form in ("csv", "jsonl"):
        assert cli.outcome(lambda form=form: predict.predict(["run", "new.jsonl", "-o", f"found.{form}"])) == 0
    assert [line["prediction"] for line in lines(Path("found.jsonl"))] == [line["prediction"] for line in told]
    table = predict.readers.read_table("found.csv")
    assert table.columns == ("id", "prediction", "probability_dull", "probability_good")
    assert [json.loads(row["prediction"]) for row in table.rows] == [line["prediction"] for line in told]


@pytest.mark.parametrize("options", [["freeze=bottom", "freeze.layers=1"], ["hardware.precision=bf16"]])
def test_it_goes_with_the_rest(command, options, tl_run):
    assert tl_run(*command, *options, "task.metric=pr_auc", "hydra.run.dir=run") == 0
    assert 0 < json.loads(Path("run/result.json").read_text())["metric"]["value"] <= 1


def test_labels_reach_the_model_as_numbers(command):
    parts = assemble(*command)
    batch = parts.job.task.collate(parts.encoded["train"], np.arange(4), parts.found.pad)
    assert batch["labels"].dtype == torch.float32
    assert batch["labels"].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert parts.encoded["train"].labelled.all()
