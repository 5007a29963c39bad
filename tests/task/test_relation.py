"""Relations: reading, the head at the entities, scores by hand and by scikit-learn, and what a run does with them."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn import metrics

import tl_run as package
from composing import compose
from finished_objects import assemble
from kind_runs import assert_any_cut_gives_the_same_gradient, assert_the_store_changes_nothing, jsonl, lines
from tiny_models import FAMILIES
from tl_run import cli, predict, task
from tl_run.config.check import check
from tl_run.data.table import Table
from tl_run.errors import BadInput, BadOption

LABELS = ["Cause(e1,e2)", "Cause(e2,e1)", "Other", "Part(e1,e2)", "Part(e2,e1)"]


def kind(*overrides: str):
    return task.load(check(compose("task=relation", "task.train=x.csv", *overrides)).task)


def table(*rows: dict, path="train.jsonl") -> Table:
    return Table(path, tuple(rows[0]), list(rows), list(range(1, len(rows) + 1)))


def row(text="the <e1>plot</e1> of the <e2>film</e2>", label="a") -> dict:
    return {"text": text, "label": label}


def offsets(head, tail, label="a") -> dict:
    return {"text": "the plot of the film", "label": label, "one": head, "two": tail}


def test_tags_and_offsets_say_the_same():
    tagged = kind().read({"train": table(row(), row(label="b"))})["train"][0]
    made = kind("task.head=one", "task.tail=two")
    rows = table(offsets([4, 8], [16, 20]), offsets("[4, 8]", "[16,20]", "b"))
    first, second = made.read({"train": rows})["train"]
    assert first == tagged
    assert first.spans == second.spans == ((4, 8), (16, 20))
    line = {"id": "0", "text": "the plot of the film", "head": "plot", "tail": "film"}
    assert made.inputs(first) == line | {"gold": "a"}
    assert made.inputs(made.read_unlabelled(rows)[0]) == line | {"gold": None}


@pytest.mark.parametrize(
    ("options", "rows", "words"),
    [
        (
            [],
            [row("no tags"), row("<e1>a</e1> <e2>b</e2> <e2>c</e2>", "b")],
            [
                "train.jsonl, line 1: no <e1> and no </e1> and no <e2> and no </e2> in 'text'; both entities are "
                "marked so: <e1>one</e1> and <e2>other</e2>",
                "train.jsonl, line 2: <e2> twice in 'text'; both",
            ],
        ),
        ([], [row(None), row(label="b")], ["train.jsonl, line 1: 'text' is missing, a text is needed (task.text)"]),
        (
            ["task.head=one", "task.tail=two"],
            [offsets([4, 21], [4, 4], "b"), offsets([4, 8], [4, 4]), offsets(None, 3), offsets(None, 3)],
            [
                "train.jsonl, line 1: 'one' is [4, 21], but the text has characters 0 to 20, and start is below end",
                "train.jsonl, line 2: 'two' is [4, 4], but the text",
                "... and 2 more problems like these",
            ],
        ),
        (["task.head=one", "task.tail=tow"], [offsets([1, 2], [3, 4])], ["task.tail: train.jsonl has no column 'tow'"]),
        (
            ["task.other=other"],
            [row(label="Other"), row(label="b")],
            ["task.other: no row of train.jsonl has the label 'other'. Did you mean 'Other'? Type task.other=null"],
        ),
        (
            ["task.metric=f1_semeval"],
            [row(), row(label="b")],
            ["task.metric=f1_semeval: no label of train.jsonl ends in a direction, as in Cause-Effect(e1,e2): type"],
        ),
    ],
)
def test_problems_are_told_with_their_lines(options, rows, words):
    with pytest.raises(BadInput) as failure:
        kind(*options).read({"train": table(*rows)})
    told = str(failure.value).splitlines()
    assert len(told) == len(words)
    for line, start in zip(told, words, strict=True):
        assert line.startswith(start)


def test_one_column_of_two_is_refused():
    with pytest.raises(BadOption, match=r"task\.head and task\.tail name the columns of both entities: type both"):
        kind("task.head=one")


def scores(gold: list[int], found: list[int], *options: str) -> dict[str, float]:
    made = kind(*options)
    made.labels = LABELS
    return made.metrics(list(np.eye(5)[found]), SimpleNamespace(labels=np.array(gold)))


def test_semevals_score_by_hand():
    """Of Cause 3 gold, 2 found: 1 a hit, 1 in the other direction. Of Part 2 gold, 3 found, 2 hits."""
    gold = [0, 0, 1, 3, 4, 2, 2]
    found = [0, 1, 3, 3, 4, 2, 2]
    by_hand = (2 * 1 / (3 + 2) + 2 * 2 / (2 + 3)) / 2
    result = scores(gold, found, "task.other=Other")
    assert result["f1_semeval"] == pytest.approx(by_hand)
    assert result["f1_macro"] == pytest.approx((2 / 3 + 0 + 2 / 3 + 1) / 4)
    assert result["f1_micro"] == pytest.approx(2 * 3 / (5 + 5))
    assert result["accuracy"] == pytest.approx(5 / 7)


@pytest.mark.parametrize("other", ["null", "Other"])
def test_scores_are_scikit_learns(other):
    generator = np.random.default_rng(0)
    counted = [i for i, name in enumerate(LABELS) if name != other]
    directed = [[i for i, name in enumerate(LABELS) if name.startswith(relation)] for relation in ("Cause", "Part")]
    directed += [[2]] if other == "null" else []
    for _ in range(5):
        gold, found = generator.integers(0, 5, 40), generator.integers(0, 5, 40)
        f1 = []
        for labels in directed:
            hits = sum(g == f and g in labels for g, f in zip(gold, found, strict=True))
            f1.append(2 * hits / (np.isin(gold, labels).sum() + np.isin(found, labels).sum()))
        assert scores(gold.tolist(), found.tolist(), f"task.other={other}") == pytest.approx(
            {
                "accuracy": (gold == found).mean(),
                "f1_micro": metrics.f1_score(gold, found, labels=counted, average="micro"),
                "f1_macro": metrics.f1_score(gold, found, labels=counted, average="macro"),
                "f1_semeval": np.mean(f1),
            }
        )


# -- runs


@pytest.fixture
def command(bert, tmp_path) -> list[str]:
    """The word between the entities decides: `was` or `is`; 40 training examples, 12 of each other split."""
    nouns = ["film", "plot", "story", "ending"]
    command = ["task=relation", "task.other=Other", "task.max_length=24", "model=custom", f"model.path={bert}"]
    for split, count in (("train", 40), ("validation", 12), ("test", 12)):
        rows = []
        for i in range(count):
            one, two = nouns[i % 4], nouns[(i + 1 + i // 4 % 3) % 4]
            verb, label = [("was", "A(e1,e2)"), ("is", "A(e2,e1)"), ("and", "Other")][i % 3]
            rows.append({"text": f"{'very ' * (i % 5)}the <e1>{one}</e1> {verb} the <e2>{two}</e2>", "label": label})
        command.append(f"task.{split}={jsonl(tmp_path / f'{split}.jsonl', rows)}")
    return [*command, "optimizer.lr=0.01", "training.epochs=2", "training.batch_size=8", "hardware=cpu"]


def test_the_head_is_linear_over_the_states_where_the_entities_begin(command):
    parts = assemble(*command)
    parts.model.eval()
    batch = parts.job.task.collate(parts.encoded["test"], np.arange(4), parts.found.pad)
    labels, where = batch.pop("labels"), batch["entities"]
    assert labels.tolist() == [0, 1, 2, 0]
    with torch.no_grad():
        logits = parts.model(**batch).logits
        states = parts.model.base(**{k: v for k, v in batch.items() if k != "entities"}).last_hidden_state
    for i in range(4):
        both = torch.cat([states[i, where[i].tolist().index(1)], states[i, where[i].tolist().index(2)]])
        linear = parts.model.head.classifier
        assert torch.allclose(logits[i], linear.weight @ both + linear.bias, atol=1e-6)
    new = {name for name, _ in parts.model.named_parameters() if name not in parts.anatomy.trunk}
    assert new == {"head.classifier.weight", "head.classifier.bias"}


def test_any_cut_gives_the_same_gradient(command):
    assert_any_cut_gives_the_same_gradient(*command, "task.class_weights=balanced")


@pytest.mark.parametrize(
    ("options", "stored"),
    [
        (["freeze=trunk"], "every layer's states, pooled"),
        (["freeze=trunk", "model.head=weighted"], "every layer's states, pooled"),
        (["freeze=bottom", "freeze.layers=1"], "states of the lowest 1 of 2 layers"),
    ],
)
def test_the_store_changes_nothing(command, options, stored, tl_run, capsys):
    assert tl_run(*command, *options, "--plan") == 0
    assert stored in " ".join(capsys.readouterr().out.split())
    records = assert_the_store_changes_nothing(tl_run, *command, *options)
    assert records[-1]["f1_semeval"] >= 0


def test_what_is_saved_says_the_same_again(command, tl_run, capsys):
    assert tl_run(*command, "training.epochs=12", "hydra.run.dir=run") == 0
    result = json.loads(Path("run/result.json").read_text())
    assert result["metric"]["name"] == "f1_macro"
    assert result["test"]["f1_macro"] > 0.7
    told = lines(Path("run/predictions-test.jsonl"))
    assert (told[0]["head"], told[0]["tail"], told[0]["gold"]) == ("film", "plot", "A(e1,e2)")
    new = [{"text": row["text"]} for row in lines(Path("test.jsonl"))]
    jsonl(Path("new.jsonl"), new)
    for form in ("jsonl", "csv"):
        assert cli.outcome(lambda form=form: predict.predict(["run", "new.jsonl", "-o", f"new.{form}.{form}"])) == 0
    again = lines(Path("new.jsonl.jsonl"))
    assert [row["prediction"] for row in again] == [row["prediction"] for row in told]
    assert [row["probability"] for row in again] == pytest.approx([row["probability"] for row in told], abs=1e-5)
    assert len(Path("new.csv.csv").read_text().splitlines()) == 1 + len(new)
    model, tokenizer = package.load_model("run/model")
    ids = tokenizer("the @ film @ was the # plot #", return_tensors="pt")
    where = torch.zeros_like(ids["input_ids"])
    where[0, 2], where[0, 7] = 1, 2
    with torch.no_grad():
        best = model(**ids, entities=where).logits.argmax().item()
    assert model.config.id2label[best] == "A(e1,e2)"
    assert "tl-predict" in Path("run/model/README.md").read_text()


@pytest.mark.parametrize("options", [["hardware.precision=bf16"], ["model.head=svm", "freeze=trunk"], ["adapter=lora"]])
def test_it_goes_with_the_rest(command, options, tl_run):
    assert tl_run(*command, *options, "hydra.run.dir=run") == 0
    assert 0 <= json.loads(Path("run/result.json").read_text())["test"]["f1_macro"] <= 1


def test_a_decoder_has_not_seen_an_entity_where_it_begins(command, tl_run, tmp_path, capsys):
    folder = FAMILIES["gpt2"](tmp_path / "gpt2")
    command = [*(each for each in command if not each.startswith("model.path")), f"model.path={folder}"]
    command += ["task.max_length=64", "training.max_steps=1", "hydra.run.dir=run"]
    assert tl_run(*command) == 2
    assert "Type model.head=linear model.pooling=last" in " ".join(capsys.readouterr().err.split())
    assert tl_run(*command, "model.head=linear", "model.pooling=last") == 0


def test_the_demo_learns(tl_run):
    assert tl_run("task=relation-demo", "training.eval_every=20", "hydra.run.dir=run") == 0
    assert json.loads(Path("run/result.json").read_text())["test"]["f1_macro"] > 0.5
