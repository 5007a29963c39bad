"""Labels, problems with their lines, scores against scikit-learn, the loss against a formula."""

import json
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from sklearn import metrics
from sklearn.utils.class_weight import compute_class_weight

from composing import compose
from finished_objects import toy
from kind_runs import assert_any_cut_gives_the_same_gradient
from tl_run import task
from tl_run.config.check import check
from tl_run.data.table import Table
from tl_run.errors import BadInput
from tl_run.task.classes import THRESHOLDS, pr_curves


def kind(*overrides: str):
    return task.load(check(compose("task=classification", "task.train=x.csv", *overrides)).task)


def table(*rows: tuple, columns=("text", "label"), path="train.csv", **more) -> Table:
    return Table(
        path, columns, [dict(zip(columns, row, strict=True)) for row in rows], list(range(2, len(rows) + 2)), **more
    )


def labelled(*labels, **more) -> Table:
    return table(*((f"text {i}", label) for i, label in enumerate(labels)), **more)


@pytest.mark.parametrize(
    ("given", "order"),
    [
        (["yes", "no", "maybe", "no"], ["maybe", "no", "yes"]),
        (["10", "9", "2", "10"], ["2", "9", "10"]),
        (["1", "-1", "0"], ["-1", "0", "1"]),
        ([3, 1, 2], ["1", "2", "3"]),
        (["NA", "b", "10", "2"], ["2", "10", "NA", "b"]),
        (["差评", "好评"], ["好评", "差评"]),
    ],
)
def test_labels_are_those_of_train_sorted(given, order):
    for seed in range(3):
        made = kind()
        made.read({"train": labelled(*random.Random(seed).sample(given, len(given)))})
        assert made.labels == order


def test_an_example_is_what_its_row_says():
    made = kind("task.text=one", "task.text_pair=two", "task.label=y", "task.id=key")
    columns = ("key", "one", "two", "y")
    rows = table(("k1", "a", "b", "yes"), ("k2", "c", "d", "no"), columns=columns)
    examples = made.read({"train": rows, "test": table(("k3", "e", "f", "yes"), columns=columns)})
    assert [(e.id, e.text, e.pair, e.label) for e in examples["train"]] == [("k1", "a", "b", 1), ("k2", "c", "d", 0)]
    assert made.inputs(examples["test"][0]) == {"id": "k3", "text": "e", "text_pair": "f", "gold": "yes"}
    unlabelled = made.read_unlabelled(table(("g", "h"), columns=("one", "two")))
    assert made.inputs(unlabelled[0]) == {"id": "0", "text": "g", "text_pair": "h", "gold": None}


def test_the_hubs_class_numbers_have_names_and_none_is_no_label():
    names = {"class_names": {"label": ["negative", "positive"]}}
    made = kind()
    examples = made.read({"train": labelled(1, 0, None, **names), "test": labelled(None, None, **names)})
    assert made.labels == ["negative", "positive"]
    assert [example.label for example in examples["train"]] == [1, 0, None]
    assert [made.stratum(example) for example in examples["test"]] == [None, None]


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"train": labelled("a", "")}, ["train.csv, line 3: the label in 'label' is missing (task.label)"]),
        ({"train": labelled("a", None)}, ["train.csv, line 3: the label in 'label' is missing (task.label)"]),
        (
            {"train": labelled("a", 0.5)},
            ["train.csv, line 3: the label in 'label' is 0.5: text or a whole number is needed (task.label)"],
        ),
        ({"train": labelled("a", ["b"])}, ["train.csv, line 3: the label in 'label' is a list (task.label)"]),
        (
            {"train": table((None, "a"), ("x", "b"))},
            ["train.csv, line 2: 'text' is missing, a text is needed"],
        ),
        (
            {"train": table((5, "a"), ("x", "b"))},
            ["train.csv, line 2: 'text' is a number, a text is needed"],
        ),
        (
            {"train": labelled("a", "a")},
            ["train.csv: 'label' holds 1 label (a), two or more are needed"],
        ),
        (
            {"train": labelled(*map(str, range(11)))},
            ["train.csv: every row has a label of its own in 'label'"],
        ),
        (
            {"train": labelled("yes", "no"), "validation": labelled("yes", "yess", path="dev.csv")},
            ["dev.csv, line 3: label 'yess' does not occur in train. Did you mean 'yes'?"],
        ),
        (
            {"train": labelled("a", "b"), "test": labelled(*"acdefb", path="test.csv")},
            [*(f"test.csv, line {line}: label " for line in (3, 4)), "... and 2 more problems like these"],
        ),
    ],
)
def test_problems_are_told_with_their_lines_three_at_most(tables, words):
    with pytest.raises(BadInput) as failure:
        kind().read(tables)
    lines = str(failure.value).splitlines()
    assert len(lines) == len(words)
    for line, start in zip(lines, words, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("counts", "option", "metric"),
    [
        ((4, 1), "auto", "accuracy"),
        ((5, 1), "auto", "f1_macro"),
        ((5, 1), "accuracy", "accuracy"),
        ((1, 1), "mcc", "mcc"),
    ],
)
def test_macro_f1_chooses_where_one_class_is_large(counts, option, metric):
    made = kind(f"task.metric={option}")
    made.read({"train": labelled(*["a"] * counts[0], *["b"] * counts[1])})
    assert made.metric == metric
    assert bool(made.notes) == (metric == "f1_macro")


def test_scores_are_scikit_learns():
    made, generator = kind(), np.random.default_rng(0)
    made.labels = ["a", "b", "c", "never"]
    for _ in range(5):
        gold, predictions = generator.integers(0, 3, 50), generator.dirichlet(np.ones(4), 50)
        predictions[:, 3] = 0
        found, best = made.metrics(list(predictions), SimpleNamespace(labels=gold)), predictions.argmax(1)
        assert found == pytest.approx(
            {
                "accuracy": (gold == best).mean(),
                "f1_macro": metrics.f1_score(gold, best, labels=range(4), average="macro", zero_division=0),
                "f1_weighted": metrics.f1_score(gold, best, average="weighted", zero_division=0),
                "mcc": metrics.matthews_corrcoef(gold, best),
            }
        )
        tables = made.tables(list(predictions), SimpleNamespace(labels=gold))
        assert tables["confusion"] == [[int(((gold == g) & (best == b)).sum()) for b in range(4)] for g in range(4)]
        report = metrics.classification_report(
            gold, best, labels=range(4), target_names=made.labels, output_dict=True, zero_division=0
        )
        for name in made.labels:
            row = {key.removesuffix("-score"): value for key, value in report[name].items()}
            assert tables["per_class"][name] == pytest.approx(row)


def test_precision_recall_counts_are_those_of_each_threshold():
    gold = np.array([[True, False], [False, True], [True, False], [False, True]])
    scores = np.array([[0.9, 0.1], [0.5, 0.5], [0.29, 0.71], [0.0, 1.0]])
    curves = pr_curves(["a", "b"], gold, scores)["pr_curve"]
    for i, name in enumerate(("a", "b")):
        for step, threshold in enumerate(np.linspace(0, 1, THRESHOLDS)):
            taken = scores[:, i] >= threshold - 1e-9
            assert curves[name]["tp"][step] == (taken & gold[:, i]).sum()
            assert curves[name]["fp"][step] == (taken & ~gold[:, i]).sum()
    many = np.zeros((2, 11))
    assert pr_curves([*"abcdefghijk"], many > 0, many) == {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_loss_is_a_sum_of_negative_log_probabilities(dtype):
    made = kind()
    logits = (5 * torch.randn(12, 3, generator=torch.Generator().manual_seed(0))).to(dtype)
    labels = torch.arange(12) % 3
    exact = logits.double().numpy()
    expected = sum(np.log(np.exp(row).sum()) - row[gold] for row, gold in zip(exact, labels.tolist(), strict=True))
    loss = made.loss(SimpleNamespace(logits=logits), {"labels": labels})
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert made.weight(None, np.arange(12)) == 12
    for row, probabilities in zip(exact, made.decode(SimpleNamespace(logits=logits), {}, None), strict=True):
        np.testing.assert_allclose(probabilities, np.exp(row) / np.exp(row).sum(), rtol=1e-4)


@pytest.mark.parametrize(
    ("option", "weights"),
    [
        ("none", None),
        ("balanced", [6 / (3 * 3), 6 / (3 * 1), 6 / (3 * 2)]),
        ("{yes:3}", [1, 1, 3]),
        ("{yes:3,maybe:0.5,no:2}", [0.5, 2, 3]),
    ],
)
def test_weights_are_torchs_and_a_sum_over_any_part(option, weights):
    made = kind(f"task.class_weights={option}")
    made.read({"train": labelled("yes", "maybe", "no", "yes", "maybe", "maybe")})
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([2, 0, 1, 2, 0, 0])
    encoded = SimpleNamespace(labels=labels.numpy())
    expected = torch.nn.functional.cross_entropy(logits, labels, weights and torch.tensor(weights, dtype=torch.float32))
    whole = made.loss(SimpleNamespace(logits=logits), {"labels": labels}).item()
    assert whole / made.weight(encoded, np.arange(6)) == pytest.approx(expected.item(), rel=1e-6)
    parts = [np.arange(0, 1), np.arange(1, 3), np.arange(3, 6)]
    sums = [made.loss(SimpleNamespace(logits=logits[p]), {"labels": labels[p]}).item() for p in parts]
    assert sum(sums) / sum(made.weight(encoded, p) for p in parts) == pytest.approx(expected.item(), rel=1e-6)
    assert bool(made.notes) == (option != "none")


def test_balanced_weights_are_scikit_learns():
    given = ["a"] * 7 + ["b"] * 2 + ["c"]
    made = kind("task.class_weights=balanced")
    made.read({"train": labelled(*given)})
    expected = compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=np.array(given))
    assert made.weights.tolist() == pytest.approx(expected.tolist())


def test_a_weight_for_a_label_that_is_not_there():
    with pytest.raises(BadInput, match=r"task\.class_weights: no row of train\.csv has the label 'yess'\. Did you"):
        kind("task.class_weights={yess:2}").read({"train": labelled("yes", "no")})


@pytest.mark.parametrize("cut", ["balanced", "{no:0.2}"])
def test_with_weights_any_cut_gives_the_same_gradient(cut, bert, tmp_path):
    command = [*toy(tmp_path), "model=custom", f"model.path={bert}", f"task.class_weights={cut}"]
    assert_any_cut_gives_the_same_gradient(*command)


@pytest.mark.parametrize(
    ("given", "option", "counted"),
    [
        (["a", "b", "b", "b", "b", "b"], "auto", [0]),
        (["a", "a", "a", "a", "a", "b"], "auto", [1]),
        (["a", "b"], "auto", None),
        (["a", "b", "b"], "pr_auc", [0]),
        (["a", "b", "c", "c", "c", "c", "c"], "auto", [0, 1, 2]),
    ],
)
def test_average_precision_is_scikit_learns_where_classes_are_imbalanced(given, option, counted):
    made, generator = kind(f"task.metric={option}"), np.random.default_rng(0)
    made.read({"train": labelled(*given)})
    gold = generator.integers(0, len(made.labels), 40)
    predictions = generator.dirichlet(np.ones(len(made.labels)), 40)
    scores = made.metrics(list(predictions), SimpleNamespace(labels=gold))
    if counted is None:
        assert "pr_auc" not in scores
    else:
        each = [metrics.average_precision_score(gold == i, predictions[:, i]) for i in counted]
        assert scores["pr_auc"] == pytest.approx(np.mean(each))
    # what does not occur has no average precision
    none = made.metrics(list(predictions), SimpleNamespace(labels=np.full(40, -1)))
    assert none.get("pr_auc", 0) == 0


def test_the_demo_learns(tl_run):
    assert tl_run("task=classification-demo", "training.eval_every=20", "hydra.run.dir=run") == 0
    assert json.loads(Path("run/result.json").read_text())["test"]["accuracy"] > 0.6


def test_a_prediction_in_words():
    made = kind()
    made.labels = ["no", "yes"]
    assert made.describe(None, np.array([0.25, 0.75])) == {
        "prediction": "yes",
        "probability": 0.75,
        "probabilities": {"no": 0.25, "yes": 0.75},
    }
    assert made.head()["id2label"] == {0: "no", 1: "yes"}
    assert made.head()["label2id"] == {"no": 0, "yes": 1}
    assert made.head()["num_labels"] == 2


def test_encoded_and_collated(bert):
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    made = kind("task.text_pair=two", "task.max_length=8")
    columns = ("text", "two", "label")
    rows = table(("the film", "was good", "b"), ("a", "the plot was very dull " * 3, "a"), columns=columns)
    encoded = made.encode(made.read({"train": rows})["train"], tokenizer)
    batch = made.collate(encoded, np.array([1, 0]), {"input_ids": tokenizer.pad_token_id})
    own = tokenizer(
        ["a", "the film"],
        ["the plot was very dull " * 3, "was good"],
        truncation=True,
        max_length=8,
        padding=True,
        return_tensors="pt",
    )
    assert batch.pop("labels").tolist() == [0, 1]
    assert batch.keys() == own.keys()
    for name in own:
        assert torch.equal(batch[name], own[name])
