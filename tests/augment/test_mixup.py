"""Two texts read as one: shares and losses by hand, embeddings of the longer one, any cut of a batch."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from composing import compose
from conftest import bert_folder
from finished_objects import assemble, toy
from kind_runs import assert_any_cut_gives_the_same_gradient, assert_the_store_changes_nothing
from tiny_models import bart
from tl_run.augment.mixup import MixedEmbeddings, between, drawn
from tl_run.config import check
from tl_run.errors import BadOption


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    folder = bert_folder(tmp_path / "plain", hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    return [*toy(tmp_path), "model=custom", f"model.path={folder}", "augment=mixup"]


def test_every_example_is_a_partner_once_and_shares_are_of_the_beta_distribution():
    partners, shares = drawn(1000, 0.2, 0, 0)
    assert sorted(partners) == list(range(1000))
    assert shares.mean() == pytest.approx(0.5, abs=0.05)
    assert shares.var() == pytest.approx(1 / (4 * (2 * 0.2 + 1)), abs=0.02)
    for other in (drawn(1000, 0.2, 1, 0), drawn(1000, 0.2, 0, 1)):
        assert (other[0] != partners).any()


def test_a_mixture_by_hand():
    one, other = torch.tensor([[1.0, 2.0], [4.0, 0.0]]), torch.tensor([[3.0, 2.0], [0.0, 8.0]])
    assert between(one, other, torch.tensor([0.25, 1.0])).tolist() == [[2.5, 2.0], [4.0, 0.0]]


def step(parts, indices):
    task, train = parts.method.task, parts.encoded["train"]
    batch = task.collate_training(train, indices, parts.found.pad, 0, 3)
    return batch, parts.method.forward(parts.model.eval(), train, indices, batch)


def test_of_sentences_logits_and_losses_are_mixed(options):
    parts = assemble(*options)
    indices = np.array([5, 2, 40])
    partners, shares = (each[indices] for each in drawn(48, 1.0, 0, 3))
    batch, outputs = step(parts, indices)
    logits, labels = [], []
    for rows in (indices, partners):
        plain = parts.job.task.collate(parts.encoded["train"], rows, parts.found.pad)
        labels.append(plain.pop("labels"))
        logits.append(parts.model(**plain).logits)
    share = torch.from_numpy(shares)[:, None]
    expected = share * logits[0] + (1 - share) * logits[1]
    torch.testing.assert_close(outputs.logits, expected, rtol=1e-4, atol=1e-5)
    chances = expected.log_softmax(-1)
    loss = -sum(
        s * chances[i, labels[0][i]] + (1 - s) * chances[i, labels[1][i]] for i, s in enumerate(shares.tolist())
    )
    assert parts.method.task.loss(outputs, batch).item() == pytest.approx(loss.item(), rel=1e-4)


def test_what_enters_the_last_layer_is_mixed_with_them(options):
    parts = assemble(*options)
    seen = []
    parts.model.classifier.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    batch, outputs = step(parts, np.array([5, 2, 40]))
    vectors = between(*seen[0].chunk(2), batch["shares"])
    torch.testing.assert_close(outputs.logits, parts.model.classifier(vectors), rtol=1e-4, atol=1e-5)


def test_of_embeddings_the_shorter_text_is_filled_up_with_nothing(options):
    parts = assemble(*options, "augment.at=embeddings")
    table = parts.model.base_model.get_input_embeddings()
    with torch.no_grad():
        table.weight[0] = 1  # what pads is not nothing by itself
    inputs = {  # two texts, and then their partners: a longer one, and a shorter one
        "input_ids": torch.tensor([[7, 8, 0], [9, 10, 11], [9, 10, 11], [12, 0, 0]]),
        "attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 1], [1, 0, 0]]),
        "token_type_ids": torch.tensor([[0, 1, 0], [0, 0, 1], [1, 1, 1], [1, 0, 0]]),
    }
    with MixedEmbeddings(parts.model, inputs, torch.tensor([0.75, 0.5])) as one:
        assert one["attention_mask"].tolist() == [[1, 1, 1]] * 2
        assert one["token_type_ids"].tolist() == [[0, 1, 1], [0, 0, 1]]
        found = table(one["input_ids"])
    e = table.weight
    longer = torch.stack([0.75 * e[7] + 0.25 * e[9], 0.75 * e[8] + 0.25 * e[10], 0.25 * e[11]])
    shorter = torch.stack([0.5 * e[9] + 0.5 * e[12], 0.5 * e[10], 0.5 * e[11]])
    torch.testing.assert_close(found, torch.stack([longer, shorter]))
    assert torch.equal(table(torch.tensor([7]))[0], e[7])  # as it was


def test_a_text_mixed_with_its_like_is_itself(options):
    parts = assemble(*options, "augment.at=embeddings")
    plain = parts.job.task.collate(parts.encoded["train"], np.array([3]), parts.found.pad)
    del plain["labels"]
    twice = {name: torch.cat([tensor, tensor]) for name, tensor in plain.items()}
    with MixedEmbeddings(parts.model.eval(), twice, torch.tensor([0.3])) as one:
        mixed = parts.model(**one).logits
    torch.testing.assert_close(mixed, parts.model(**plain).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("at", ["sentence", "embeddings"])
@pytest.mark.parametrize("method", [("transfer=finetune",), ("transfer=rdrop", "model.dropout=0.1")])
def test_any_cut_gives_the_same_gradient(at, method, options):
    assert_any_cut_gives_the_same_gradient(*options, f"augment.at={at}", *method)


@pytest.mark.parametrize("task", ["regression-demo", "relation-demo"])
def test_other_kinds_are_mixed_too(task):
    assert_any_cut_gives_the_same_gradient(f"task={task}", "hardware=cpu", "augment=mixup")


def test_of_a_frozen_trunk_the_states_of_whole_texts_are_stored(options, tl_run):
    more = ("freeze=trunk", "training.epochs=1", "training.log_every=1")
    assert_the_store_changes_nothing(tl_run, *options, *more)
    assert json.loads(Path("warm/result.json").read_text())["stored_mb"] > 0


def test_embeddings_that_are_looked_up_twice_are_refused(options, tmp_path):
    model = ["model=custom", f"model.path={bart(tmp_path)}"]
    with pytest.raises(BadOption, match=r"encoder and its decoder: type augment\.at=sentence"):
        assemble(*options, *model, "augment.at=embeddings")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("task=tagging-demo",), "there is no one label, or number, of which two could be mixed; it goes with classif"),
        (("task=qa-demo",), "type augment=token_dropout, or augment=none"),
        (("task=lm-demo",), "type augment=none"),
        (("task=generation-demo",), "type augment=none"),
        (("transfer=fedavg",), "augment=mixup does not go with transfer=fedavg; it goes with finetune, l2sp"),
        (("transfer=dann", "task.domain.train=x.csv"), "type augment=none, or transfer=finetune"),
        (("task.class_weights=balanced",), "type task.class_weights=none"),
        (("hardware=fsdp", "hardware.processes=2"), "type hardware.shard=false"),
        (("hardware.compile=true", "augment.at=embeddings"), "type hardware.compile=false, or augment.at=sentence"),
        (("task=relation-demo", "augment.at=embeddings"), "which two texts do not share: type augment.at=sentence"),
        (("augment.alpha=0",), "augment.alpha: 0 must be above 0"),
    ],
)
def test_what_cannot_be_is_said(options, said):
    with pytest.raises(BadOption) as failure:
        check.check(compose("augment=mixup", *options))
    assert said in str(failure.value)
