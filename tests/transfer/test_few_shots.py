"""Few shots: prototypes, Reptile and MAML against cases by hand, what episodes leave as it was, and what is stored."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from conftest import bert_folder
from finished_objects import assemble
from kind_runs import assert_the_store_changes_nothing, lines
from tiny_models import gpt2
from tl_run import freeze
from tl_run.errors import BadOption
from tl_run.transfer.adapting import descend, shuffled

DEMO = ("task=episodes-demo", "hardware=cpu", "task.episodes=6", "task.validation_episodes=4")


@pytest.fixture
def plain(tmp_path: Path) -> list[str]:
    """The demonstration, without dropout."""
    folder = bert_folder(tmp_path / "plain", hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    return [*DEMO, "model=custom", f"model.path={folder}", "model.dropout=0", "model.head=linear"]


def made(*overrides: str):
    """The finished objects, with what learns set as the loop does."""
    parts = assemble(*overrides)
    freeze.apply(parts.model, parts.freeze.phases[0])
    return parts


def gradient(parts, step=0):
    batches = {name: stream.batch(step) for name, stream in parts.method.streams().items()}
    parts.model.zero_grad()
    how = {"step": step, "progress": 0.0, "micro_batch_size": 16, "backward": lambda loss: loss.backward()}
    found = parts.method.gradient(parts.model, batches, **how)
    return found["loss"].item(), parts.gradients()


# -- prototypes


def test_prototypes_and_their_loss_by_hand(plain):
    method = made(*plain, "transfer=protonet", "task.ways=2", "task.shots=2", "task.queries=1").method
    vectors = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [1.0, 1.0]], [[0.0, 4.0], [0.0, 6.0], [0.0, 3.0]]])
    # the prototypes are (1, 0) and (0, 5); squared distances 1 and 17, and 10 and 4
    logits = method.compare(vectors)
    assert logits.tolist() == [[-1, -17], [-10, -4]]
    expected = (math.log(1 + math.exp(-16)) + math.log(1 + math.exp(-6))) / 2
    assert F.cross_entropy(logits, torch.tensor([0, 1])).item() == pytest.approx(expected, rel=1e-4)
    by_angle = made(
        *(*plain, "transfer=protonet", "transfer.distance=cosine", "transfer.scale=10"),
        *("task.ways=2", "task.shots=2", "task.queries=1"),
    ).method
    assert by_angle.compare(vectors)[0].tolist() == pytest.approx([10 * (math.sqrt(0.5) - 1)] * 2, rel=1e-5)


def test_vectors_that_know_nothing_are_right_by_chance(plain):
    method = made(*plain, "transfer=protonet").method
    generator, right = torch.Generator().manual_seed(0), []
    for _ in range(600):
        logits = method.compare(torch.randn(3, 6, 8, generator=generator))
        right.append((logits.argmax(-1) == torch.arange(3).repeat_interleave(4)).float().mean().item())
    assert np.mean(right) == pytest.approx(1 / 3, abs=3 * np.std(right) / math.sqrt(600))


def test_scores_are_those_of_vectors_made_one_by_one(plain):
    parts = made(*plain, "transfer=protonet")
    parts.model.eval()
    found = parts.method.evaluate(parts.model, "test", parts.score)
    episode = parts.method.pools["test"].episode(3)
    with torch.no_grad():
        vectors = torch.stack([parts.method.vectors(parts.model, "test", rows) for rows in episode])
    expected = parts.method.compare(vectors).softmax(-1).numpy()
    said = [answer.probabilities for answer in found.predictions if answer.episode == 3]
    np.testing.assert_allclose(said, expected, atol=1e-5)


def test_prototypes_of_a_decoder_are_of_one_vector_for_each_example(plain, tl_run, tmp_path):
    decoder = [*plain[:-3], f"model.path={gpt2(tmp_path / 'gpt2')}", "transfer=protonet"]
    parts = made(*decoder)
    parts.model.eval()
    with torch.no_grad():
        vectors = parts.method.vectors(parts.model, "test", np.arange(7))
        said = parts.method.says(parts.model, "test", np.arange(7))
    assert vectors.shape == (7, 16)
    torch.testing.assert_close(parts.method.last(vectors), said)
    assert_the_store_changes_nothing(tl_run, *decoder, "freeze=trunk", "task.episodes=3", "task.validation_episodes=2")


def test_prototypes_of_a_frozen_trunk_need_no_training(plain):
    assert made(*plain, "transfer=protonet", "freeze=trunk").budget.steps == 0
    assert made(*plain, "transfer=protonet", "freeze=trunk", "model.head=mlp").budget.steps == 30
    with pytest.raises(BadOption, match=r"transfer.ways=7, but train has 6 classes"):
        made(*plain, "transfer=protonet", "transfer.ways=7")
    assert made(*plain, "transfer=protonet", "transfer.ways=6").method.episodes({"train": np.arange(36)})[0].shape == (
        6,
        6,
    )


# -- steps of gradient descent


def test_a_scalar_goes_down_by_hand():
    start = {"w": torch.tensor(1.0, requires_grad=True)}
    weights, losses = descend(start, lambda w, c: (w["w"] - c) ** 2 / 2, [3.0, 5.0], lr=0.5)
    assert weights["w"].item() == pytest.approx(3.5)  # 1 -> 2 -> 3.5
    assert losses == pytest.approx([2.0, 4.5])
    assert start["w"].item() == 1


@pytest.mark.parametrize("through", [True, False])
def test_a_gradient_through_the_steps_is_the_closed_form(through):
    a, q, lr, steps = torch.tensor([[2.0, 0.5], [0.5, 1.0]]), torch.tensor([1.0, -1.0]), 0.3, 3
    start = torch.tensor([0.7, 0.2], requires_grad=True)
    weights, _ = descend({"w": start}, lambda w, _: w["w"] @ a @ w["w"] / 2, [None] * steps, lr, through=through)
    loss = (weights["w"] - q).square().sum() / 2
    loss.backward()
    shrink = torch.linalg.matrix_power(torch.eye(2) - lr * a, steps)  # of w' = (1 - lr a)^k w
    torch.testing.assert_close(weights["w"], shrink @ start)
    expected = shrink.T @ (shrink @ start - q) if through else shrink @ start - q
    torch.testing.assert_close(start.grad, expected.detach())


def test_batches_come_round_in_new_order():
    rows = np.arange(10, 15), torch.arange(5)
    found = [*shuffled(rows, size=2, steps=6, key=(0,))]
    assert [len(own) for own, _ in found] == [2, 2, 1, 2, 2, 1]
    assert all((own - 10).tolist() == labels.tolist() for own, labels in found)
    rounds = [np.concatenate([own for own, _ in found[i : i + 3]]) for i in (0, 3)]
    assert [sorted(each.tolist()) for each in rounds] == [[*range(10, 15)]] * 2
    assert not np.array_equal(*rounds)
    again = [*shuffled(rows, size=2, steps=6, key=(0,))]
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(found, again, strict=True))


# -- MAML


def test_the_second_order_is_that_of_finite_differences(plain):
    parts = made(*plain, "transfer=maml", "transfer.episodes=2", "transfer.inner_lr=0.5", "transfer.inner_steps=2")
    parts.model.double()
    _, found = gradient(parts)
    first = made(*plain, "transfer=maml", "transfer.episodes=2", "transfer.inner_lr=0.5", "transfer.first_order=true")
    generator = torch.Generator().manual_seed(0)
    along = {name: torch.randn(g.shape, generator=generator, dtype=g.dtype) for name, g in found.items()}
    norm = math.sqrt(sum(float(v.square().sum()) for v in along.values()))
    step, losses = 0.1 / norm, []
    for sign in (1, -1):
        with torch.no_grad():
            for name, p in parts.model.named_parameters():
                p += sign * step * along[name]
        losses.append(gradient(parts)[0])
        with torch.no_grad():
            for name, p in parts.model.named_parameters():
                p -= sign * step * along[name]
    expected = sum(float((g * along[name]).sum()) for name, g in found.items())
    assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(expected, rel=0.02)
    assert first.method.options.first_order


def test_the_first_order_is_the_gradient_where_the_steps_end(plain):
    parts = made(*plain, "transfer=maml", "transfer.episodes=1", "transfer.first_order=true", "transfer.inner_lr=0.5")
    method, model = parts.method, parts.model
    _, found = gradient(parts)
    (episode,) = method.episodes({"train": method.streams()["train"].batch(0)})
    shots = method.support(episode[:, :2])
    weights, _ = method.adapt(model, "train", [shots] * 3)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(weights[name])
    model.zero_grad()
    rows, labels = method.support(episode[:, 2:])
    F.cross_entropy(method.says(model, "train", rows), labels).backward()
    for name, expected in parts.gradients().items():
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-6)
    second = made(*plain, "transfer=maml", "transfer.episodes=1", "transfer.inner_lr=0.5")
    _, other = gradient(second)
    assert not torch.allclose(other["head.classifier.weight"], found["head.classifier.weight"], rtol=1e-3)


# -- Reptile


def test_gradient_descent_goes_to_the_mean_of_what_was_adapted(plain, monkeypatch):
    parts = made(
        *plain, "transfer=reptile", "transfer.episodes=2", "optimizer=sgd", "optimizer.lr=0.25", "optimizer.momentum=0"
    )
    start = {name: p.detach().clone() for name, p in parts.model.named_parameters()}
    ends = iter([1.0, 2.0])

    def adapt(model, split, batches):
        assert sum(1 for _ in batches) == 5
        end = next(ends)
        return {name: p + end for name, p in model.named_parameters()}, [2.0, 1.0]

    monkeypatch.setattr(parts.method, "adapt", adapt)
    loss, found = gradient(parts)
    assert loss == 1.5
    assert all(torch.allclose(g, torch.tensor(-1.5), atol=1e-4) for g in found.values())
    parts.optimizer.step()
    for name, p in parts.model.named_parameters():
        torch.testing.assert_close(p.detach(), start[name] + 0.25 * 1.5, atol=1e-4, rtol=0)
    size = math.sqrt(sum(p.numel() for p in parts.model.parameters()))
    assert parts.method.scalars(0, 0.0) == {
        "reptile/first_loss": 2,
        "reptile/last_loss": 1,
        "reptile/distance": pytest.approx(1.5 * size, rel=1e-3),
    }


def test_one_inner_step_is_plain_gradient_descent(plain):
    parts = made(*plain, "transfer=reptile", "transfer.episodes=1", "transfer.inner_steps=1", "training.batch_size=18")
    _, found = gradient(parts)
    (episode,) = parts.method.episodes({"train": parts.method.streams()["train"].batch(0)})
    parts.model.zero_grad()
    rows, labels = parts.method.support(episode)
    F.cross_entropy(parts.method.says(parts.model, "train", rows), labels).backward()
    for name, slope in parts.gradients().items():
        torch.testing.assert_close(found[name], 0.05 * slope, rtol=1e-3, atol=1e-6)


# -- runs


@pytest.mark.parametrize("method", ["finetune", "reptile", "maml"])
def test_episodes_leave_the_weights_as_they_were(method, plain):
    parts = made(*plain, f"transfer={method}", "optimizer.lr=0.01")
    before = {name: p.detach().clone() for name, p in parts.model.named_parameters()}
    first = parts.method.evaluate(parts.model, "test", parts.score)
    assert all(torch.equal(p, before[name]) for name, p in parts.model.named_parameters())
    assert all(p.grad is None for p in parts.model.parameters())
    solve, pool = parts.method.solver(parts.model, "test"), parts.method.pools["test"]
    alone = solve(pool.episode(4)).softmax(-1).numpy()
    said = [answer.probabilities for answer in first.predictions if answer.episode == 4]
    np.testing.assert_allclose(said, alone, atol=1e-6)
    assert not np.allclose(
        alone, parts.method.says(parts.model, "test", pool.episode(4)[:, 2:].ravel()).softmax(-1).detach().numpy()
    )


def test_an_episode_is_fine_tuned_as_a_run_would_from_a_head_that_knows_nothing(plain):
    """Two steps of plain gradient descent on all shots, from a last layer of zeros."""
    parts = made(
        *(*plain, "transfer=finetune", "training.max_steps=2", "training.clip=null"),
        *("optimizer=sgd", "optimizer.lr=0.5", "optimizer.momentum=0", "optimizer.schedule=constant"),
    )
    method, model, episode = parts.method, parts.model.eval(), parts.method.pools["test"].episode(0)
    found = method.solver(model, "test")(episode)
    rows, labels = episode[:, :2].ravel(), method.labels(3, 2)
    with torch.no_grad():
        for p in method.last.parameters():
            p.zero_()
    for _ in range(2):
        model.zero_grad()
        F.cross_entropy(method.says(model, "test", rows), labels).backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.5 * p.grad
    with torch.no_grad():
        torch.testing.assert_close(found, method.says(model, "test", episode[:, 2:].ravel()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["finetune", "protonet", "reptile", "maml"])
def test_a_run_is_the_same_whatever_is_stored(method, tl_run):
    command = [*DEMO, f"transfer={method}", "freeze=bottom", "freeze.layers=1", "training.max_steps=3"]
    command += ["training.log_every=1", "task.episodes=3", "task.validation_episodes=2", "transfer.episodes=2"]
    command = [each for each in command if method != "finetune" or each != "transfer.episodes=2"]
    records = assert_the_store_changes_nothing(tl_run, *command)
    train = [record for record in records if record["kind"] == "train"]
    assert len(train) == (0 if method == "finetune" else 3)
    own = {"protonet": {"accuracy"}, "maml": {"accuracy", "shots_before", "shots_last"}}
    own["reptile"] = {"first_loss", "last_loss", "distance"}
    for record in train:
        assert {f"{method}/{name}" for name in own[method]} <= record.keys()


def test_seeds_and_methods_are_asked_the_same(tl_run):
    asked = []
    for number, more in enumerate((["transfer=protonet"], ["transfer=protonet", "seed=1"], ["freeze=trunk"])):
        assert tl_run(*DEMO, *more, "training.max_steps=1", f"hydra.run.dir=run{number}") == 0
        asked.append([line["id"] for line in lines(Path(f"run{number}/predictions-test.jsonl"))])
    assert asked[0] == asked[1] == asked[2]
    results = [json.loads(Path(f"run{i}/result.json").read_text()) for i in range(2)]
    assert results[0]["test"]["accuracy"] != results[1]["test"]["accuracy"]


def test_adapters_adapt(tl_run):
    command = [*DEMO, "transfer=maml", "adapter=lora", "training.max_steps=2", "hydra.run.dir=run"]
    assert tl_run(*command) == 0
    assert json.loads(Path("run/result.json").read_text())["audit"]["frozen_moved"] == []
