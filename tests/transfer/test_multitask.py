"""Several tasks at once: parts of a step, weights, one trunk under several heads, and what such a run leaves."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import pipeline

from composing import compose
from conftest import bert_folder
from finished_objects import assemble, toy
from forked_runs import Command, Forks
from kind_runs import CLOCK, assert_any_cut_gives_the_same_gradient, lines
from tl_run import embedded, identity
from tl_run.config import check
from tl_run.errors import BadOption
from tl_run.predict import predict
from tl_run.prepare import prepare
from tl_run.transfer.multitask import Multitask, Uncertainty
from tl_run.transfer.sampling import Apportioned, Portion, parts

BOTH = ["transfer=multitask", "transfer.tasks={words:classification,names:tagging}"]


@pytest.fixture
def single(tmp_path: Path) -> dict[str, list[str]]:
    """Options of two tasks, each as it is typed alone: 48 texts, and as many sentences."""
    texts = [option.partition(".")[2] for option in toy(tmp_path) if option.startswith("task.")]
    for split, count in (("train", 48), ("validation", 8), ("test", 10)):
        rows = [
            f"the O\n{('film', 'plot')[i % 2]} {('O', 'B-X')[i % 2]}\nwas O\n{'ab'[i % 2]} O\n" for i in range(count)
        ]
        (tmp_path / f"{split}.conll").write_text("\n".join(rows))
    splits = ("train", "validation", "test")
    return {"words": texts, "names": [f"{split}={tmp_path / split}.conll" for split in splits] + ["max_length=32"]}


@pytest.fixture
def small(tmp_path: Path) -> list[str]:
    """A model without dropout, and steps enough to learn something."""
    folder = bert_folder(tmp_path / "plain", hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    common = ["model=custom", f"model.path={folder}", "hardware=cpu", "optimizer.lr=0.01", "training.log_every=1"]
    return [*common, "training.epochs=1", "training.batch_size=16"]


@pytest.fixture
def both(single: dict[str, list[str]], small: list[str]) -> list[str]:
    """Both tasks in one run."""
    typed = [f"transfer.options.{name}.{option}" for name, options in single.items() for option in options]
    return [*BOTH, *typed, *small]


def forced(overrides: list[str]) -> list[str]:
    """As the command passes them on to Hydra."""
    return [f"++{each}" if each.startswith(("transfer.options.", "transfer.weights.")) else each for each in overrides]


# -- parts of a step


@pytest.mark.parametrize(
    ("sampling", "epoch", "expected"),
    [
        ("proportional", 3, [100, 400]),
        ("equal", 1, [1, 1]),
        ("temperature", 1, [10, 20]),  # T = 2: square roots
        ("annealed", 1, [100, 400]),
        ("annealed", 3, [100**0.6, 400**0.6]),
        ("annealed", 5, [100**0.2, 400**0.2]),
        ("annealed", 9, [100**0.2, 400**0.2]),
    ],
)
def test_parts_are_the_formula(sampling: str, epoch: int, expected: list[float]):
    found = parts([100, 400], sampling, 2.0, epoch, 5)
    assert found.tolist() == pytest.approx([each / sum(expected) for each in expected])
    assert parts([3, 1], "annealed", 2.0, 1, 1).tolist() == [0.75, 0.25]


def test_places_are_given_to_whoever_lacks_most():
    places = Apportioned(4, lambda step: np.array([0.6, 0.28, 0.12]))
    assert [places.at(step).tolist() for step in range(5)] == [[2, 1, 1], [3, 1, 0], [2, 1, 1], [3, 1, 0], [2, 2, 0]]
    assert places.before(5).tolist() == [12, 6, 2]


def test_every_task_has_what_is_due_to_it_at_any_time():
    changing = [np.array([0.9, 0.05, 0.04, 0.01]), np.array([0.1, 0.2, 0.3, 0.4])]
    places = Apportioned(16, lambda step: changing[step // 100])
    due = np.cumsum([16 * changing[step // 100] for step in range(200)], axis=0)
    for step in range(200):
        assert places.at(step).sum() == 16
        assert places.at(step).min() >= 0
        assert np.abs(places.before(step + 1) - due[step]).max() < 2
    again = Apportioned(16, lambda step: changing[step // 100])
    assert again.at(150).tolist() == places.at(150).tolist()


def test_a_task_sees_each_of_its_examples_once_before_any_twice():
    places = Apportioned(8, lambda step: np.array([10, 30]) / 40)
    few, many = (
        Portion(np.arange(size), size // 5, 0, task=task, places=places, per_epoch=5)
        for task, size in enumerate((10, 30))
    )
    for epoch in range(3):
        steps = range(5 * epoch, 5 * epoch + 5)
        for stream, size in ((few, 10), (many, 30)):
            seen = np.concatenate([stream.batch(step) for step in steps])
            assert sorted(seen) == list(range(size))
            assert {stream.epoch(step) for step in steps} == {epoch}
    assert few.batch(0).tolist() != few.batch(5).tolist()


# -- the loss


def test_uncertainty_is_the_formula():
    """exp(-s) L + s / 2, for half of a step's examples of each task."""
    method = Multitask.__new__(Multitask)
    method.batch_size = 4
    method.data = {"a": None, "b": None}  # type: ignore[dict-item]
    method.places = Apportioned(4, lambda step: np.array([0.5, 0.5]))
    method.uncertainty = Uncertainty(2)
    method.kinds = dict.fromkeys("ab", SimpleNamespace(weight=lambda data, indices: len(indices)))
    summed = {"a": torch.tensor(6.0, requires_grad=True), "b": torch.tensor(2.0, requires_grad=True)}
    method._loss = lambda model, name, indices, step: summed[name]  # type: ignore[method-assign]
    with torch.no_grad():
        method.uncertainty.s.copy_(torch.tensor([1.0, -2.0]))
    batches = {"a": np.array([0, 1]), "b": np.array([0, 1])}
    means = method.gradient(
        torch.nn.Module(), batches, step=0, progress=0, micro_batch_size=4, backward=lambda loss: loss.backward()
    )
    expected = 0.5 * (np.exp(-1) * 3 + 1 / 2) + 0.5 * (np.exp(2) * 1 - 2 / 2)
    assert means["loss"].item() == pytest.approx(expected)
    assert {name: mean.item() for name, mean in means.items()} | {"loss": 0} == {
        "loss": 0, "a": 3, "b": 1, "a/s": 1, "b/s": -2
    }  # fmt: skip
    slopes = [0.5 * (0.5 - np.exp(-1) * 3), 0.5 * (0.5 - np.exp(2) * 1)]
    assert method.uncertainty.s.grad is not None
    assert method.uncertainty.s.grad.tolist() == pytest.approx(slopes)
    assert summed["a"].grad is not None
    assert summed["a"].grad.item() == pytest.approx(0.5 * np.exp(-1) / 2)


def gradients(*overrides: str) -> dict[str, torch.Tensor]:
    """Of the first step, by the names that the trunk gives its parameters; those of heads under their last two."""
    made = assemble(*overrides)
    made.model.eval()
    batches = {name: stream.batch(0) for name, stream in made.method.streams().items()}
    made.method.gradient(
        made.model, batches, step=0, progress=0, micro_batch_size=16, backward=lambda loss: loss.backward()
    )
    known = {id(parameter): name for name, parameter in made.model.base_model.named_parameters()}
    return {
        known.get(id(p), name.removeprefix("heads.")): p.grad.clone()
        for name, p in made.model.named_parameters()
        if p.grad is not None
    }


def test_the_gradient_is_the_sum_of_those_of_the_tasks_alone(single, small, both):
    found = gradients(*forced(both), "++transfer.weights.names=3")
    alone = ["training.batch_size=8"]
    words = gradients("task=classification", *(f"task.{o}" for o in single["words"]), *small, *alone)
    names = gradients("task=tagging", *(f"task.{o}" for o in single["names"]), *small, *alone)
    shared = [name for name in found if name in words and name in names]
    assert len(shared) > 30
    for name in shared:
        expected = 0.5 * words[name] + 0.5 * 3 * names[name]
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found["words.classifier.weight"], 0.5 * words["classifier.weight"])
    torch.testing.assert_close(found["names.classifier.weight"], 1.5 * names["classifier.weight"])


@pytest.mark.parametrize("weighting", ["fixed", "uncertainty"])
def test_any_cut_gives_the_same_gradient(weighting, both):
    assert_any_cut_gives_the_same_gradient(*forced(both), f"transfer.weighting={weighting}")


def test_without_the_weight_of_the_others_a_task_learns_as_it_does_alone(single, small, tl_run, bert, both):
    """With dropout: half of a step counts twice, so that its loss is that of a whole one."""
    run = [f"model.path={bert}", "hydra.run.dir=several", "transfer.weights.words=2", "transfer.weights.names=0"]
    assert tl_run(*both, *run) == 0
    own = [f"task.{option}" for option in single["words"]]
    where = [f"model.path={bert}", "training.batch_size=8", "hydra.run.dir=alone"]
    assert tl_run("task=classification", *own, *small, *where) == 0
    several, alone = (load_file(f"{folder}/model.safetensors") for folder in ("several/model/words", "alone/model"))
    assert several.keys() == alone.keys()
    words = "bert.embeddings.word_embeddings.weight"  # those that only the other task has decay one by one
    torch.testing.assert_close(several.pop(words), alone.pop(words), rtol=0, atol=1e-8)
    assert all(torch.equal(several[name], alone[name]) for name in alone)


# -- runs


def test_the_embedded_trial_leaves_a_model_and_predictions_of_each_task(tl_run, capsys):
    tasks = "transfer.tasks=[tagging-demo,relation-demo]"
    assert tl_run("transfer=multitask", tasks, "training.max_steps=8", "training.log_every=1") == 0
    printed = capsys.readouterr().out
    run = next(Path("outputs/tagging-demo+relation-demo/tiny").iterdir())
    assert "multitask: proportional parts of each step, tagging-demo 48 (44%), relation-demo 60 (56%)" in printed
    assert f"tl-predict {run}/model/relation-demo new.csv" in printed
    result = json.loads((run / "result.json").read_text())
    assert result["task"] == "tagging-demo+relation-demo"
    assert result["seen"] == {"tagging-demo": 57, "relation-demo": 71}
    own = {name: of["test"][of["metric"]] for name, of in result["tasks"].items()}
    assert [of["metric"] for of in result["tasks"].values()] == ["f1", "f1_macro"]
    assert result["metric"]["name"] == "mean"
    assert result["metric"]["value"] == pytest.approx(np.mean([*own.values()]))
    assert result["test"]["relation-demo/f1_macro"] == own["relation-demo"]
    records = lines(run / "metrics.jsonl")
    train = next(record for record in records if record["kind"] == "train")
    assert {"term/tagging-demo", "term/relation-demo"} <= train.keys()
    validation = next(record for record in records if record["kind"] == "validation")
    assert validation["mean"] == pytest.approx(
        (validation["tagging-demo/f1"] + validation["relation-demo/f1_macro"]) / 2
    )
    for name, file in (("tagging-demo", "names/test.conll"), ("relation-demo", "relation-demo/test.csv")):
        predict([f"{run}/model/{name}", str(embedded.locate(f"embedded:{file}")), "-o", "new.jsonl"])
        then = [{k: row[k] for k in ("id", "prediction")} for row in lines(run / f"predictions-test-{name}.jsonl")]
        assert [{k: row[k] for k in ("id", "prediction")} for row in lines(Path("new.jsonl"))] == then


def test_each_model_is_a_stock_one(both, tl_run):
    assert tl_run(*both, "training.epochs=4", "hydra.run.dir=run") == 0
    say = pipeline("text-classification", model="run/model/words", top_k=None)
    for row in lines(Path("run/predictions-test-words.jsonl")):
        found = {each["label"]: each["score"] for each in say([row["text"]])[0]}
        assert found == pytest.approx(row["probabilities"], abs=1e-5)
    tag = pipeline("token-classification", model="run/model/names", ignore_labels=[])
    for row in lines(Path("run/predictions-test-names.jsonl")):
        assert [each["entity"] for each in tag(" ".join(row["tokens"]))] == row["prediction"]
    for name, pooler in (("words", True), ("names", False)):
        saved = load_file(f"run/model/{name}/model.safetensors")
        assert ("bert.pooler.dense.weight" in saved) is pooler
    trunks = [load_file(f"run/model/{name}/model.safetensors") for name in ("words", "names")]
    shared = [name for name in trunks[1] if name.startswith("bert.")]
    assert all(torch.equal(trunks[0][name], trunks[1][name]) for name in shared)
    result = json.loads(Path("run/result.json").read_text())
    assert result["tasks"]["names"]["test"]["f1"] == 1
    with pytest.raises(
        BadOption, match=r"several tasks \(words, names\): type one of their models, such as run/model/"
    ):
        predict(["run", "x.csv"])
    with pytest.raises(BadOption, match="run/model/other: the run is of several tasks"):
        predict(["run/model/other", "x.csv"])
    assert tl_run(*both, "training.epochs=4", "hydra.run.dir=run") == 0  # done, and told


@pytest.mark.parametrize("options", [["freeze=trunk"], ["freeze=bottom", "freeze.layers=1", "adapter=lora"]])
def test_what_is_frozen_stays_and_adapters_are_merged(options, both, tl_run, small):
    assert tl_run(*both, *options, "hydra.run.dir=run") == 0
    start = load_file(f"{small[1].partition('=')[2]}/model.safetensors")
    saved = {name: load_file(f"run/model/{name}/model.safetensors") for name in ("words", "names")}
    frozen = [name for name in start if "layer.0" in name or "embeddings" in name]
    assert frozen
    for own in saved.values():
        assert not [name for name in own if "lora" in name]
        assert all(torch.equal(own[f"bert.{name}"], start[name]) for name in frozen)
    moved = not torch.equal(
        saved["names"]["bert.encoder.layer.1.attention.self.query.weight"],
        start["encoder.layer.1.attention.self.query.weight"],
    )
    assert moved is ("adapter=lora" in options)


@pytest.mark.parametrize("options", [["freeze=gradual"], ["freeze=all_but_bias"], ["model.pretrained=false"]])
def test_it_goes_with_other_ways_to_freeze(options, both, tl_run):
    assert tl_run(*both, *options, "training.epochs=3", "transfer.weighting=uncertainty", "hydra.run.dir=run") == 0
    train = [line for line in lines(Path("run/metrics.jsonl")) if line["kind"] == "train"]
    assert train[0]["term/words/s"] == 0
    assert train[-1]["term/words/s"] != 0
    assert not [name for name in load_file("run/model/words/model.safetensors") if "uncertainty" in name]


def test_all_kinds_that_may_stand_together_do(tl_run):
    kinds = ("tagging", "relation", "classification", "regression", "qa", "srl")
    tasks = ",".join(f"{kind}-demo" for kind in kinds)
    options = ["transfer.sampling=equal", "training.max_steps=2"]
    options += [f"transfer.options.{kind}-demo.limit=8" for kind in kinds]
    assert tl_run("transfer=multitask", f"transfer.tasks=[{tasks}]", *options, "hydra.run.dir=run") == 0
    found = json.loads(Path("run/result.json").read_text())["tasks"]
    assert [*found] == tasks.split(",")
    assert all(of["metric"] in of["test"] for of in found.values())


def test_it_begins_with_nothing_too(both, tl_run):
    rest = [each for each in both if not each.startswith("model")]
    assert tl_run(*rest, "model=transformer-small", "model.hidden=16", "hydra.run.dir=run") == 0
    assert Path("run/model/names/config.json").is_file()


def test_a_later_run_begins_with_the_model_of_its_task(both, single, small, tl_run):
    assert tl_run(*both, "hydra.run.dir=run") == 0
    own = ["task=tagging", *(f"task.{option}" for option in single["names"]), "model=custom", "model.from_run=run"]
    rest = [each for each in small if not each.startswith("model")]
    assert tl_run(*own, *rest, "hydra.run.dir=later") == 0
    start = json.loads(Path("later/result.json").read_text())["start"]
    assert [link["transfer"] for link in start["chain"]] == ["multitask"]


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    forks = Forks()
    yield forks
    forks.close()


def outcome(run: Path) -> dict[str, Any]:
    """All that a run left but its clock."""
    result = json.loads((run / "result.json").read_text())
    return {
        "records": [{k: v for k, v in line.items() if k not in CLOCK} for line in lines(run / "metrics.jsonl")],
        "files": {str(p.relative_to(run)): p.read_bytes() for p in sorted((run / "model").rglob("*")) if p.is_file()},
        "predictions": [path.read_text() for path in sorted(run.glob("predictions-*"))],
        "result": {k: v for k, v in result.items() if k not in CLOCK},
    }


@pytest.mark.parametrize("options", [["transfer.weighting=uncertainty", "transfer.sampling=annealed"]])
def test_a_run_that_is_stopped_and_resumed_ends_with_the_same_bits(options, both, bert, forks, tmp_path):
    command = [*both, f"model.path={bert}", *options, "training.epochs=3", "hydra.run.dir=run"]
    places = [tmp_path / name for name in ("whole", "stopped")]
    for place in places:
        place.mkdir()
    assert forks.run([[Command(str(places[0]), command)]]) == [[0]], (places[0] / "output").read_text()
    operations = (places[0] / "operations").read_text().splitlines()
    at = [n for n, words in enumerate(operations, 1) if words == "write run/metrics.jsonl"][8]
    stopped = [Command(str(places[1]), command, at=at, signals=["SIGTERM"]), Command(str(places[1]), ["resume=run"])]
    assert forks.run([stopped]) == [[75, 0]], (places[1] / "output").read_text()
    assert outcome(places[0] / "run") == outcome(places[1] / "run")


# -- what is typed


def test_options_of_a_task_are_part_of_the_identity_and_the_places_of_its_files_are_not(both, tmp_path):
    def of(*more: str) -> str:
        typed = forced([*both, *more])
        return prepare(compose(*typed), typed).identity

    first = of()
    moved = tmp_path / "elsewhere.csv"
    moved.write_bytes((tmp_path / "train.csv").read_bytes())
    assert of(f"transfer.options.words.train={moved}") == first
    assert of("transfer.options.words.limit=40") != first
    assert of("transfer.tasks={words:classification,names:tagging}") == first
    assert of("transfer.weights.words=2") != first
    moved.write_text(moved.read_text() + "a good film,yes\n")
    assert of(f"transfer.options.words.train={moved}") != first
    sums = {"a": {"train": "1"}, "b": {"train": "2", "test": "3"}}
    assert identity.together(sums).keys() == {"train", "test"}


TWO = "transfer.tasks=[tagging-demo,classification-demo]"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["transfer.tasks=[tagging-demo]"], "two tasks or more, not tagging-demo alone"),
        ([], r"needs two tasks or more: type transfer.tasks='\[ner,relation\]'"),
        (["transfer.tasks=[qa-demo,qa-demo]"], "'qa-demo' stands there twice: type transfer.tasks='{one:qa-demo"),
        (["transfer.tasks=[qa-demo,images-demo]"], "images-demo .* has no head that could stand beside others"),
        (["transfer.tasks=[qa-demo,generation-demo]"], "has no (stock )?head"),
        (["transfer.tasks={a/b:qa-demo,c:qa-demo}"], "'a/b' names no folder"),
        (["transfer.tasks={a:[x],c:qa-demo}"], "is no choice of the group task"),
        ([TWO, "transfer.options.tagging-demo.limt=1"], r"transfer.options.tagging-demo.limt'.* Did you mean .*limit'"),
        (
            [TWO, "transfer.options.tags.limit=1"],
            "options.tags: the tasks are tagging-demo, classification-demo",
        ),
        ([TWO, "transfer.options={tagging-demo:3}"], "type transfer.options.<task>.<option>="),
        ([TWO, "transfer.options.tagging-demo.limit=0"], "transfer.options.tagging-demo.limit: 0 must be at least 1"),
        ([TWO, "transfer.weights.tagging-dmo=1"], "no such task. Did you mean 'tagging-demo'"),
        ([TWO, "transfer.weights={tagging-demo:0,classification-demo:0}"], "all are 0"),
        ([TWO, "transfer.weighting=uncertainty", "transfer.weights.tagging-demo=2"], "does nothing with"),
        (
            ["transfer.tasks=[qa-demo,regression-demo]", "transfer.options.regression-demo.metric=rmse"],
            "less is better",
        ),
        ([TWO, "model.head=svm", "freeze=trunk"], "tagging-demo.* has a head of its own"),
        ([TWO, "hardware.compile=true"], "hardware.compile=false"),
        ([TWO, "features.mode=require"], "features.mode=auto"),
        ([TWO, "task.limit=10"], "type transfer.options.tagging-demo.limit=10"),
        ([TWO, "task=qa-demo"], "tasks are named by transfer.tasks: leave it out"),
        (["transfer.tasks=[tagging,qa-demo]"], "task=tagging needs data: type transfer.options.tagging.train="),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_type(typed, words, tl_run, capsys):
    assert tl_run("transfer=multitask", *typed) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(words, said), said


@pytest.mark.parametrize("name", ["type", "loss"])
def test_a_name_that_is_taken_is_refused(name, both, tl_run, capsys):
    typed = [each.replace("words:", f"{name}:").replace(".words.", f".{name}.") for each in both]
    assert tl_run(*typed) == 2
    assert f"transfer.tasks: '{name}' is taken here: type another name" in capsys.readouterr().err


def test_an_unknown_task_is_refused_with_the_nearest(tl_run, capsys):
    assert tl_run("transfer=multitask", "transfer.tasks=[tagging-dmo,qa-demo]") == 2
    assert "there is no task named 'tagging-dmo'. Did you mean 'tagging-demo'?" in capsys.readouterr().err


def test_what_is_wrong_with_a_file_names_the_option_of_its_task(both, tl_run, capsys):
    assert tl_run(*both, "transfer.options.words.text=txt") == 2
    assert "transfer.options.words.text" in capsys.readouterr().err


def test_a_recipe_may_hold_it_all(single, small):
    """In YAML the same names, without the plus of the command line."""
    typed = [f"++transfer.options.words.{option}" for option in single["words"]]
    made = check.check(compose("transfer=multitask", "transfer.tasks={words:classification,more:qa-demo}", *typed))
    assert made.task.tasks["words"].name == "words"
    assert made.task.max_length == max(own.max_length for own in made.task.tasks.values())
