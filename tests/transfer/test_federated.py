"""Federated learning: the mean of clients by hand, what holds and hides them, and what may not be combined."""

import json
import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from composing import compose
from conftest import bert_folder
from finished_objects import assemble, toy
from kind_runs import assert_the_store_changes_nothing, lines
from tl_run.config import check
from tl_run.distributed import Group
from tl_run.errors import BadOption
from tl_run.transfer import fedavg
from tl_run.transfer.clients import Client, split_by_class, split_evenly
from tl_run.transfer.fedavg import Rounds
from tl_run.transfer.privacy import epsilon

PRIVATE = pytest.mark.skipif(find_spec("opacus") is None, reason="tl-run[privacy] is not installed")


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    folder = bert_folder(tmp_path / "plain", hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    return [*toy(tmp_path), "model=custom", f"model.path={folder}", "transfer=fedavg", "transfer.local_lr=0.1"]


def gradient(parts, step=0, **how):
    batches = {name: stream.batch(step) for name, stream in parts.method.streams().items()}
    how = {"progress": 0.0, "micro_batch_size": 16, "backward": lambda loss: loss.backward()} | how
    parts.model.eval()
    parts.model.zero_grad()
    found = parts.method.gradient(parts.model, batches, step=step, **how)
    return found, parts.gradients()


def test_a_client_takes_steps_of_its_own_and_leaves_the_weights():
    weight = torch.nn.Parameter(torch.tensor([1.0]))

    def slope(rows: np.ndarray) -> torch.Tensor:  # of (w - mean of rows)^2 / 2
        weight.grad = (weight - float(rows.mean())).detach()
        return weight.grad[0] ** 2 / 2

    client = Client(0, np.array([3, 5]), batch_size=2, seed=0)
    how = {"round": 0, "epochs": 2, "lr": 0.5}
    update, loss = client.update({"w": weight}, slope, mu=0.0, **how)
    assert weight.item() == 1
    assert update["w"].item() == pytest.approx(2.25)  # 1 -> 2.5 -> 3.25
    assert loss == pytest.approx((4.5 + 1.125) / 2)
    held, _ = client.update({"w": weight}, slope, mu=1.0, **how)
    assert held["w"].item() == pytest.approx(1.5)  # 1 -> 2.5, and there -1.5 against 1 * 1.5


def test_one_step_of_all_clients_is_one_of_gradient_descent(options):
    federated = assemble(*options, "transfer.clients=3", "transfer.fraction=1", "training.batch_size=48")
    plain = assemble(*options[:-2], "training.batch_size=48")
    plain.model.eval()
    plain.method.gradient(
        plain.model,
        {"train": np.arange(48)},
        step=0,
        progress=0.0,
        micro_batch_size=48,
        backward=lambda loss: loss.backward(),
    )
    means, found = gradient(federated)
    for name, expected in plain.gradients().items():
        torch.testing.assert_close(found[name], 0.1 * expected, rtol=1e-3, atol=1e-6)
    assert federated.method.examples({"clients": np.arange(3)}) == 48
    assert 0 < means["loss"] < 2


def test_updates_are_cut(options):
    parts = assemble(*options, "transfer.clients=1", "transfer.fraction=1", "transfer.clip=0.001")
    _, found = gradient(parts)
    assert math.sqrt(sum(float(each.square().sum()) for each in found.values())) == pytest.approx(0.001, rel=1e-4)
    assert parts.method.scalars(0, 0.0)["fedavg/cut"] == 1


def test_processes_show_the_norms_of_all_clients(options):
    """Two processes, of which this one asks a client of three, and the other has told of norms of 3 and 4."""

    class Pair(Group):
        def gather(self, found):
            return [*found, 3.0, 4.0]

    parts = assemble(*options, "transfer.clients=3", "transfer.fraction=1", "transfer.clip=2")
    gradient(parts, group=Pair(rank=1, size=2))
    shown = parts.method.scalars(0, 0.0)
    assert 7 / 3 < shown["fedavg/update_norm"] < 3
    assert shown["fedavg/cut"] == pytest.approx(2 / 3)


def test_noise_has_its_spread_and_is_that_of_the_step(options, monkeypatch):
    monkeypatch.setattr("tl_run.config.check_transfer.find_spec", lambda name: True)
    noisy = [*options, "transfer.clients=4", "transfer.fraction=0.5", "transfer.clip=1e-9", "transfer.noise=1e8"]
    parts = assemble(*noisy)
    _, found = gradient(parts)
    values = torch.cat([each.flatten() for each in found.values()])
    assert values.std().item() == pytest.approx(1e8 * 1e-9 / 2, rel=0.02)
    _, again = gradient(parts)
    assert all(torch.equal(found[name], again[name]) for name in found)
    assert not torch.equal(gradient(parts, step=1)[1]["classifier.weight"], found["classifier.weight"])
    assert "noise falls on every row" in parts.method.whole_vocabulary


def test_who_takes_part():
    fixed, coins = Rounds(10, 0.3, 0, by_coin=False), Rounds(1000, 0.3, 0, by_coin=True)
    assert {len({*fixed.batch(step).tolist()}) for step in range(9)} == {3}
    assert {number for step in range(50) for number in fixed.batch(step).tolist()} == {*range(10)}
    sizes = [len(coins.batch(step)) for step in range(50)]
    assert len({*sizes}) > 10
    assert np.mean(sizes) == pytest.approx(300, rel=0.05)
    assert (fixed.steps_per_epoch, coins.expected) == (1, 300)


def test_every_example_has_one_client():
    labels = np.repeat([0, 1, 2], 200)
    for parts in (split_evenly(600, 7, 0), split_by_class(labels, 7, 0.1, 0), split_by_class(labels, 7, 100.0, 0)):
        assert sorted(np.concatenate(parts).tolist()) == [*range(600)]
    uneven, even = (
        np.mean([np.bincount(labels[p], minlength=3).max() / len(p) for p in split_by_class(labels, 7, c, 0) if len(p)])
        for c in (0.1, 100.0)
    )
    assert uneven > 0.7 > 0.45 > even


@PRIVATE
def test_epsilon_of_all_clients_is_that_of_the_gaussian_mechanism():
    rounds, noise, delta = 10, 4.0, 1e-5
    orders = np.linspace(1.01, 64, 6000)
    classic = (rounds * orders / (2 * noise**2) + math.log(1 / delta) / (orders - 1)).min()  # arXiv:1702.07476
    assert 0.8 * classic < epsilon(noise, 1.0, rounds, delta) <= classic
    assert epsilon(1.1, 256 / 60000, 60 * 60000 // 256, 1e-5) == pytest.approx(2.6, abs=0.05)
    assert epsilon(1.1, 0.1, 0, 1e-5) == 0


def test_a_run_reports_what_was_spent(options, tl_run, monkeypatch):
    monkeypatch.setattr("tl_run.config.check_transfer.find_spec", lambda name: True)
    monkeypatch.setattr(fedavg, "epsilon", lambda noise, fraction, rounds, delta: float(rounds))
    more = ["transfer.clip=1", "transfer.noise=0.01", "training.epochs=3", "training.log_every=1", "hydra.run.dir=run"]
    assert tl_run(*options, *more) == 0
    result = json.loads(Path("run/result.json").read_text())
    assert (result["privacy"]["epsilon"], result["privacy"]["rounds"], result["steps"]) == (3, 3, 3)
    train = [line for line in lines(Path("run/metrics.jsonl")) if line["kind"] == "train"]
    assert [line["fedavg/epsilon"] for line in train] == [1, 2, 3]


@pytest.mark.parametrize("method", ["fedavg", "fedprox"])
def test_rounds_learn_whatever_is_stored(method, tl_run, capsys):
    command = ["experiment=fedavg", f"transfer={method}", "freeze=trunk", "transfer.split=dirichlet", "hardware=cpu"]
    records = assert_the_store_changes_nothing(tl_run, *command, "training.epochs=4")
    losses = [record["loss"] for record in records if record["kind"] == "validation"]
    assert losses[-1] < losses[0]
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{method}: " in printed
    assert "an epoch is a round, the optimizer is the server's" in printed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("transfer.noise=1",), "hides a client only where its update has a largest norm: type transfer.clip=1"),
        (("hardware.precision=fp16",), "without a scaler: type hardware.precision=bf16 or fp32"),
        (("task=tagging-demo", "transfer.split=dirichlet"), "splits classes among clients, one class of several"),
        (("transfer.fraction=0",), "transfer.fraction: 0 must be above 0"),
    ],
)
def test_what_cannot_be_is_said(options, said):
    with pytest.raises(BadOption) as failure:
        check.check(compose("transfer=fedavg", *options))
    assert said in str(failure.value)


def test_what_counts_privacy_is_asked_for(monkeypatch):
    monkeypatch.setattr("tl_run.config.check_transfer.find_spec", lambda name: None)
    with pytest.raises(BadOption, match=r"opacus, which is missing: pip install 'tl-run\[privacy\]'"):
        check.check(compose("transfer=fedavg", "transfer.noise=1", "transfer.clip=1"))


def test_there_are_not_more_clients_than_examples(options):
    with pytest.raises(BadOption, match="there are 48 training examples"):
        assemble(*options, "transfer.clients=49")
