"""Old examples by weight, new ones by the model's own labels: by hand, in the loop, and what may not be combined."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from composing import compose
from conftest import bert_folder
from finished_objects import assemble, toy
from kind_runs import assert_any_cut_gives_the_same_gradient, assert_the_store_changes_nothing, lines
from tl_run.config import check
from tl_run.errors import BadInput, BadOption
from tl_run.transfer.instance_weighting import effective, importance
from tl_run.transfer.self_training import surest

METHODS = ("instance_weighting", "self_training")


@pytest.fixture
def domains(tmp_path: Path) -> list[str]:
    folder = bert_folder(tmp_path / "plain", hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    new = tmp_path / "new.csv"
    new.write_text("text\n" + "".join(f"it was {word} and great\n" for word in ("good", "bad", "dull", "great") * 5))
    options = [option for option in toy(tmp_path) if not option.startswith("task.test")]
    options += [f"task.domain.train={new}", f"task.domain.test={tmp_path / 'test.csv'}", "optimizer.lr=0.01"]
    return [*options, "model=custom", f"model.path={folder}"]


def test_weights_by_hand():
    chance = np.array([0.5, 0.8, 0.0])
    ratio = np.array([2, 5, 0.2])  # of 8 old and 4 new ones: odds times 2, clipped
    assert importance(chance, 8, 4, 5.0) == pytest.approx(ratio / ratio.mean())
    assert effective(np.array([1.0, 1, 1, 1])) == 4
    assert effective(np.array([2.0, 0, 0, 2])) == 2


@pytest.mark.parametrize(("count", "said"), [(1, "1 example, and"), (3, "type more examples, or transfer.folds=3")])
def test_a_domain_with_fewer_examples_than_folds_is_refused(domains, tmp_path, count, said):
    (tmp_path / "few.csv").write_text("text\n" + "".join(f"it was {i}\n" for i in range(count)))
    with pytest.raises(BadInput, match=said):
        assemble(*domains, f"task.domain.train={tmp_path / 'few.csv'}", "transfer=instance_weighting")


def test_what_looks_like_the_new_domain_counts_more(domains):
    parts = assemble(*domains, "transfer=instance_weighting", "transfer.clip=1000")
    method, examples = parts.method, parts.job.splits.train
    alike = np.array(["great" in example.text for example in examples])
    weights = method.importance.numpy()
    assert 0 < alike.sum() < len(alike)
    assert weights.mean() == pytest.approx(1)
    assert weights[alike].mean() > 2 * weights[~alike].mean()
    assert method.effective == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    again = assemble(*domains, "transfer=instance_weighting", "transfer.clip=1000").method
    assert np.array_equal(again.importance, weights)


def test_the_loss_is_weighted(domains):
    parts = assemble(*domains, "transfer=instance_weighting")
    parts.model.eval()
    rows = parts.method.streams()["train"].batch(0)
    parts.method.importance = torch.zeros(48)
    parts.method.importance[rows[:2]] = torch.tensor([3.0, 0.5])
    loss = parts.method.terms(parts.model, {"train": rows}, 0, 0.0)["task"][1]
    batch = parts.job.task.collate(parts.encoded["train"], rows, parts.found.pad)
    logits = parts.model(**{name: t for name, t in batch.items() if name != "labels"}).logits
    each = -logits.log_softmax(-1)[torch.arange(len(rows)), batch["labels"]]
    assert loss.item() == pytest.approx((3 * each[0] + 0.5 * each[1]).item(), rel=1e-5)


def test_rounds_begin_where_they_should(domains):
    method = assemble(*domains, "transfer=self_training", "transfer.warmup=0.2", "transfer.rounds=4").method
    assert [method.due(p) for p in (0, 0.19, 0.2, 0.39, 0.41, 0.61, 0.99, 1.0)] == [0, 0, 1, 1, 2, 3, 4, 4]


def test_only_sure_labels_of_its_own_join_the_loss(domains):
    parts = assemble(
        *domains, "transfer=self_training", "transfer.threshold=0.5", "transfer.weight=2", "transfer.balanced=false"
    )
    method, rows = parts.method, np.arange(4)
    batches = {"train": method.stream.batch(0), "domain": rows}
    assert "pseudo" not in method.terms(parts.model, batches, 0, 0.0)
    parts.model.train()
    method.prepare(parts.model, 0, 0.1)
    assert not method.sure.any()
    method.prepare(parts.model, 0, 0.3)
    assert parts.model.training
    parts.model.eval()
    batch = parts.job.task.collate(parts.encoded["domain"], rows, parts.found.pad)
    logits = parts.model(**{name: t for name, t in batch.items() if name != "labels"}).logits
    labels = method.own["labels"]
    torch.testing.assert_close(labels.confidence[:4], logits.softmax(-1).max(-1).values.detach())
    assert torch.equal(labels.label[:4], logits.argmax(-1))
    labels.confidence[:4] = torch.tensor([0.6, 0.4, 0.7, 0.1])
    method.choose()
    expected = -logits.log_softmax(-1).max(-1).values[[0, 2]].sum()
    factor, loss = method.terms(parts.model, batches, 0, 0.3)["pseudo"]
    assert (factor, method.weights(batches)["pseudo"]) == (2, 2)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    said = labels.label.clone()
    with torch.no_grad():
        parts.model.classifier.bias.add_(torch.tensor([100.0, -100.0]))
    method.prepare(parts.model, 0, 0.31)
    assert torch.equal(labels.label, said)  # the same round
    method.prepare(parts.model, 0, 0.99)
    assert not labels.label.any()


def test_of_each_class_the_surest_by_hand():
    label = torch.tensor([0, 0, 0, 0, 1, 1, -1])
    confidence = torch.tensor([0.99, 0.95, 0.97, 0.6, 0.7, 0.8, 0.0])
    counts = 3 * torch.tensor([0.5, 0.5])  # three are above 0.9, and half of the training examples are of each class
    chosen = surest(label, confidence, counts)
    assert chosen.tolist() == [True, False, True, False, True, True, False]
    assert not surest(label, confidence, 0 * counts).any()
    assert surest(label, confidence, torch.tensor([1.0, 5.0])).sum() == 1 + 2  # more there are not


def test_a_model_that_is_surer_of_one_class_does_not_drift_to_it(domains):
    parts = assemble(*domains, "transfer=self_training", "transfer.threshold=0.9", "transfer.balanced=true")
    method, labels = parts.method, parts.method.own["labels"]
    assert method.shares.tolist() == [0.5, 0.5]
    labels.label[:], labels.confidence[:] = torch.arange(20) % 2, torch.where(torch.arange(20) % 2 == 0, 0.95, 0.6)
    method.choose()
    assert torch.bincount(labels.label[method.sure]).tolist() == [5, 5]
    free = assemble(*domains, "transfer=self_training", "transfer.threshold=0.9", "transfer.balanced=false").method
    free.own["labels"].load_state_dict(labels.state_dict())
    free.choose()
    assert free.sure.tolist() == [True, False] * 10


@pytest.mark.parametrize("method", METHODS)
def test_any_cut_gives_the_same_gradient(method, domains, monkeypatch):
    from tl_run.transfer.self_training import SelfTraining

    monkeypatch.setattr(SelfTraining, "sure", property(lambda self: torch.arange(20) % 3 == 0))
    assert_any_cut_gives_the_same_gradient(*domains, f"transfer={method}")


@pytest.mark.parametrize("method", METHODS)
def test_a_run_scores_the_new_domain_and_shows_what_it_does(method, domains, tl_run, capsys):
    own = ["transfer.threshold=0.5"] if method == "self_training" else []
    more = ("freeze=bottom", "freeze.layers=1", "training.epochs=2", "training.log_every=1", f"transfer={method}")
    records = assert_the_store_changes_nothing(tl_run, *domains, *more, *own)
    printed = capsys.readouterr().out
    train = [record for record in records if record["kind"] == "train"]
    if method == "self_training":
        assert "after 30% of the run 20 examples of the new domain are labelled, 3 times" in " ".join(printed.split())
        assert train[0]["self_training/sure"] == 0 < train[-1]["self_training/sure"]
        assert [train[0]["self_training/round"], train[-1]["self_training/round"]] == [0, 3]
        assert train[-1]["term/pseudo"] > 0
    else:
        assert "of 48 examples in effect; the domains are told apart" in " ".join(printed.split())
        assert 1 < train[0]["instance_weighting/effective_size"] < 48
    assert json.loads(Path("off/result.json").read_text())["splits"]["domain"] == 20
    assert lines(Path("off/metrics.jsonl"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("transfer=self_training",), "transfer=self_training needs examples of the new domain, without labels: type"),
        (("transfer=instance_weighting",), "needs examples of the new domain, without labels: type task.domain.train="),
        (("transfer=self_training", "task=regression-demo", "task.domain.train=x.csv"), "it goes with classification,"),
        (("transfer=instance_weighting", "task=images-demo", "task.domain.train=x"), "weighs texts with one label"),
        (("transfer=instance_weighting", "model.head=svm", "freeze=trunk"), "type transfer=finetune"),
    ],
)
def test_what_cannot_be_is_said(options, said):
    with pytest.raises(BadOption) as failure:
        check.check(compose(*options))
    assert said in str(failure.value)
