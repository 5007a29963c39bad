"""The loop: any cut gives the same gradient, any precision learns, and what goes wrong is said at its step."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import bert_folder
from finished_objects import Parts, assemble, toy
from tl_run.errors import MachineFault, NonFinite
from tl_run.training import Evaluation, Record
from tl_run.transfer.finetune import FineTune

Assemble = Callable[..., Parts]

# Sums of float32 in another order: relative to the largest entry of a tensor's gradient.
TOLERANCE = 1e-5


@pytest.fixture
def learnable(bert: Path, tmp_path: Path) -> list[str]:
    """Overrides under which 72 steps learn the toy entirely."""
    return [*toy(tmp_path), "model=custom", f"model.path={bert}", "optimizer.lr=0.01", *EPOCHS]


EPOCHS = ["training.epochs=12", "training.batch_size=8", "training.log_every=1"]


def values(records: Iterator[Record]) -> list[tuple[Any, ...]]:
    """Records without the clock."""
    return [
        (r.kind, r.step, r.epoch, {k: v for k, v in r.values.items() if k != "examples_per_second"}, r.tables)
        for r in records
    ]


def of_kind(records: list[tuple[Any, ...]], kind: str) -> list[tuple[Any, ...]]:
    return [record for record in records if record[0] == kind]


# -- cutting a batch


@pytest.fixture
def no_dropout(tmp_path: Path) -> list[str]:
    folder = bert_folder(tmp_path / "plain", hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    return [*toy(tmp_path), "model=custom", f"model.path={folder}", "optimizer.lr=0.01", "training.batch_size=16"]


def gradients(parts: Parts, micro_batch_size: int) -> tuple[dict[str, torch.Tensor], float]:
    means = parts.method.gradient(
        parts.model,
        {"train": parts.method.streams()["train"].batch(0)},
        step=0,
        progress=0.0,
        micro_batch_size=micro_batch_size,
        backward=lambda loss: loss.backward(),
    )
    found = {name: p.grad.clone() for name, p in parts.model.named_parameters() if p.grad is not None}
    parts.model.zero_grad()
    return found, means["loss"].item()


def assert_equal_gradients(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    scale = max(tensor.abs().max().item() for tensor in expected.values())
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=TOLERANCE, atol=TOLERANCE * scale, msg=name)


@pytest.mark.parametrize("size", [8, 6, 5, 4, 1])
def test_any_cut_gives_the_same_gradient_and_loss(size: int, no_dropout: list[str]) -> None:
    parts = assemble(*no_dropout)
    whole, loss = gradients(parts, 16)
    found, other = gradients(parts, size)
    assert_equal_gradients(found, whole)
    assert other == pytest.approx(loss, rel=TOLERANCE)


def test_the_gradient_is_that_of_the_mean_loss(no_dropout: list[str]) -> None:
    parts = assemble(*no_dropout)
    found, loss = gradients(parts, 6)
    indices = parts.method.streams()["train"].batch(0)
    batch = parts.job.task.collate(parts.encoded["train"], indices, parts.found.pad)
    expected = parts.model(**batch).loss  # transformers' own mean
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=TOLERANCE)
    assert_equal_gradients(found, {n: p.grad for n, p in parts.model.named_parameters() if p.grad is not None})


@pytest.mark.parametrize("size", [8, 6, 4])
def test_any_cut_gives_the_same_run(size: int, no_dropout: list[str]) -> None:
    """Also where the last batch is shorter than the others: 40 examples are 16, 16 and 8."""
    options = [*no_dropout, "task.limit=40", "training.epochs=2", "training.log_every=1", "optimizer=sgd"]
    whole = values(assemble(*options, "optimizer.lr=0.1").train())
    found = values(assemble(*options, "optimizer.lr=0.1", f"training.micro_batch_size={size}").train())
    assert [r[:3] for r in found] == [r[:3] for r in whole]
    for one, other in zip(found, whole, strict=True):
        assert one[3] == pytest.approx(other[3], rel=1e-4)


# -- learning


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_precision_learns(precision: str, learnable: list[str]) -> None:
    parts = assemble(*learnable, f"hardware.precision={precision}")
    assert parts.scaler.is_enabled() == (precision == "fp16")
    losses = [record[3]["loss"] for record in of_kind(values(parts.train()), "train")]
    assert np.mean(losses[-6:]) < 0.5 * np.mean(losses[:6])
    assert parts.score("test").scores["accuracy"] == 1.0
    assert {p.dtype for p in parts.model.parameters()} == {torch.float32}


def test_fp16_steps_over_an_overflow_and_says_so(learnable: list[str]) -> None:
    parts = assemble(*learnable, "hardware.precision=fp16", "training.max_steps=3")
    parts.scaler.load_state_dict(parts.scaler.state_dict() | {"scale": 2.0**60})
    before = parts.model.classifier.weight.detach().clone()
    records = parts.train()
    first = next(records)
    assert not np.isfinite(first.values["gradient_norm"])
    assert torch.equal(parts.model.classifier.weight, before)
    assert parts.state.scale == 2.0**59


def test_the_same_seed_gives_the_same_records_and_another_others(learnable: list[str]) -> None:
    options = [*learnable, "training.max_steps=8"]
    first = values(assemble(*options).train())
    torch.rand(3)
    assert values(assemble(*options).train()) == first
    assert values(assemble(*options, "seed=1").train()) != first


@pytest.mark.parametrize("limit", [None, 5, 100])
def test_it_ends_where_the_budget_says(limit: int | None, learnable: list[str]) -> None:
    parts = assemble(*learnable, f"training.max_steps={limit or 'null'}", "training.epochs=2")
    records = values(parts.train())
    assert parts.state.step == (limit or 12)
    assert [r[0] for r in records if r[1] == parts.state.step] == ["train", "validation"]
    assert parts.state.examples == 8 * parts.state.step


def test_records_of_training_are_means_since_the_last(learnable: list[str]) -> None:
    options = [*learnable, "training.max_steps=7"]
    single = [r[3]["loss"] for r in of_kind(values(assemble(*options).train()), "train")]
    rows = of_kind(values(assemble(*options, "training.log_every=3").train()), "train")
    assert [row[1] for row in rows] == [3, 6, 7]
    assert [row[3]["loss"] for row in rows] == pytest.approx(
        [np.mean(single[:3]), np.mean(single[3:6]), np.mean(single[6:])], rel=1e-12
    )


def test_the_gradient_is_clipped(learnable: list[str]) -> None:
    """Plain SGD at rate 1 moves the weights by exactly the gradient."""
    options = ["optimizer=sgd", "optimizer.lr=1", "optimizer.momentum=0", "optimizer.schedule=constant"]
    parts = assemble(*learnable, *options, "training.max_steps=1", "training.clip=0.01")
    before = {name: p.detach().clone() for name, p in parts.model.named_parameters()}
    [record, _] = parts.train()
    moved = torch.stack([(p - before[name]).norm() for name, p in parts.model.named_parameters()]).norm()
    assert moved.item() == pytest.approx(0.01, rel=1e-3)
    assert record.values["gradient_norm"] > 0.02  # as it was before


# -- evaluation


@pytest.mark.parametrize(("every", "steps"), [("epoch", [6, 12, 14]), ("4", [4, 8, 12, 14]), ("100", [14])])
def test_when_it_evaluates(every: str, steps: list[int], learnable: list[str]) -> None:
    parts = assemble(*learnable, f"training.eval_every={every}", "training.max_steps=14")
    assert [r[1] for r in of_kind(values(parts.train()), "validation")] == steps


def scripted(parts: Parts, scores: list[float]) -> Callable[[], Evaluation]:
    """Evaluations with these accuracies, one after the other."""
    left = iter(scores)
    return lambda: Evaluation({"accuracy": next(left), "loss": 1.0}, {}, [])


@pytest.mark.parametrize(
    ("scores", "patience", "min_delta", "stops", "best"),
    [
        ([0.5, 0.7, 0.6, 0.7, 0.4, 0.9], None, 0.0, 6, 6),
        ([0.5, 0.7, 0.6, 0.7, 0.4, 0.9], 2, 0.0, 4, 2),  # equal is no gain
        ([0.5, 0.7, 0.6, 0.71, 0.4, 0.4], 2, 0.0, 6, 4),
        ([0.5, 0.55, 0.59, 0.9, 0.9, 0.9], 2, 0.1, 3, 3),  # no gain that counts, but the best is the best
        ([0.5, 0.5, 0.5, 0.5, 0.5, 0.5], 1, 0.0, 2, 1),  # the first of equals
    ],
)
def test_early_stopping_and_the_best(
    scores: list[float], patience: int | None, min_delta: float, stops: int, best: int, learnable: list[str]
) -> None:
    stopping = [f"training.early_stopping.patience={patience or 'null'}", "training.eval_every=1"]
    stopping += [f"training.early_stopping.min_delta={min_delta}", "training.max_steps=6"]
    parts = assemble(*learnable, *stopping)
    weights = {}
    for record in parts.train(evaluate=scripted(parts, scores)):
        if record.kind == "validation":
            weights[record.step] = parts.model.classifier.weight.detach().clone()
    assert parts.state.step == stops
    assert (parts.state.best_step, parts.state.best_value) == (best, scores[best - 1])
    assert torch.equal(parts.state.best_weights["classifier.weight"], weights[best])


@pytest.mark.parametrize(
    ("scores", "listed", "begins", "stops"),
    [
        # The first value of a phase is its best, be it below what was reached before.
        ([0.9, 0.5, 0.4, 0.6, 0.4, 0.4], "{learns:head,patience:1},{learns:all}", [2], 6),
        ([0.5, 0.6, 0.7, 0.8, 0.9, 1.0], "{learns:head,patience:1},{learns:all}", [], 6),
        ([0.5, 0.4, 0.3, 0.2, 0.1, 0.0], "{learns:head,patience:1},{learns:all,patience:2}", [2], 5),
        ([0.5, 0.4, 0.3, 0.2, 0.1, 0.0], "{learns:head,until_steps:3,patience:4},{learns:all}", [3], 6),
        ([0.5, 0.4, 0.3, 0.2, 0.1, 0.0], "{learns:head,until_steps:3,patience:1},{learns:all}", [2], 6),
        # min_delta is 0.05: 0.54 is no gain.
        ([0.5, 0.54, 0.6, 0.9, 0.9, 0.9], "{learns:head,patience:1},{learns:all}", [2], 6),
    ],
)
def test_early_stopping_within_a_phase(
    scores: list[float], listed: str, begins: list[int], stops: int, learnable: list[str]
) -> None:
    options = [*learnable, "training.eval_every=1", "training.max_steps=6", "training.early_stopping.min_delta=0.05"]
    options += ["freeze=schedule", f"freeze.phases=[{listed}]"]
    parts = assemble(*options)
    records = list(parts.train(evaluate=scripted(parts, scores)))
    assert [record.step for record in records if record.kind == "phase"] == begins
    assert (parts.state.step, parts.state.phase) == (stops, len(begins))
    assert parts.state.stopped == (stops < 6)


def test_a_phase_begins_after_the_evaluation_of_the_one_before(learnable: list[str]) -> None:
    more = ["freeze=schedule", "freeze.phases=[{until:1,learns:head},{until:1.5,learns:1},{learns:all}]"]
    parts = assemble(*learnable, *more, "training.epochs=2")
    kinds = [(r.kind, r.step, r.tables.get("learns")) for r in parts.train() if r.kind in ("phase", "validation")]
    assert kinds == [
        ("validation", 6, None),
        ("phase", 6, "head, top, layer 1"),
        ("phase", 9, "everything"),
        ("validation", 12, None),
    ]


def test_the_lowest_is_best_where_lower_is_better(learnable: list[str]) -> None:
    parts = assemble(*learnable, "training.eval_every=1", "training.max_steps=3")
    list(parts.train(evaluate=scripted(parts, [0.5, 0.2, 0.4]), higher_is_better=False))
    assert (parts.state.best_step, parts.state.best_value) == (2, 0.2)


def test_evaluation_is_in_the_splits_order_whatever_the_batch_size(learnable: list[str]) -> None:
    parts = assemble(*learnable)
    list(parts.train())
    single = parts.score("test", batch_size=1).predictions
    for size in (3, 7, 64):
        np.testing.assert_allclose(parts.score("test", batch_size=size).predictions, single, rtol=1e-4)
    texts = [example.text for example in parts.job.splits.test or []]
    parts.model.eval()
    with torch.inference_mode():
        for text, row in zip(texts, single, strict=True):
            logits = parts.model(**parts.found.tokenizer(text, return_tensors="pt")).logits
            np.testing.assert_allclose(row, logits.softmax(-1)[0].numpy(), rtol=1e-4)


# -- what goes wrong


def poison(monkeypatch: pytest.MonkeyPatch, step: int, factor: float = float("nan"), micro_batch: int = 0) -> None:
    """The loss of that step (from 0) is multiplied by `factor`."""
    terms, calls = FineTune.terms, []

    def terms_then(self: FineTune, *arguments: Any) -> Any:
        calls.append(arguments)
        found = terms(self, *arguments)
        if len(calls) - 1 == step + micro_batch:
            return {name: (f, total * factor) for name, (f, total) in found.items()}
        return found

    monkeypatch.setattr(FineTune, "terms", terms_then)


def test_a_loss_that_is_no_number_stops_the_run_at_its_step(
    tl_run: Callable[..., int],
    learnable: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = [*learnable, "training.epochs=2", "training.checkpoint_every=2"]
    assert tl_run(*command, "hydra.run.dir=undisturbed") == 0
    ids = ", ".join(str(i) for i in assemble(*command).method.streams()["train"].batch(7))
    with monkeypatch.context() as patch:
        poison(patch, step=7)
        assert tl_run(*command, "hydra.run.dir=run") == 4
    error = capsys.readouterr().err
    assert f"error: the loss is not a finite number at step 8 (examples {ids}); the last checkpoint" in error
    assert len(error.strip().splitlines()) <= 3
    assert sorted(path.name for path in Path("run/checkpoints").iterdir()) == ["step-00000004", "step-00000006"]
    assert not Path("run/result.json").exists()
    assert tl_run("resume=run") == 0
    for name in ("model/model.safetensors", "predictions-test.jsonl"):
        assert (Path("run") / name).read_bytes() == (Path("undisturbed") / name).read_bytes()


def test_a_gradient_that_is_no_number_stops_before_the_step(
    learnable: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = assemble(*learnable)
    parts.model.classifier.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = {name: p.detach().clone() for name, p in parts.model.named_parameters()}
    with pytest.raises(NonFinite, match=r"the gradient is not a finite number at step 1 \(examples \d+"):
        list(parts.train())
    assert all(torch.equal(p, before[name]) for name, p in parts.model.named_parameters())
    assert parts.state.step == 0


def test_weights_that_explode_in_the_last_step_are_no_result(
    tl_run: Callable[..., int], learnable: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The loss of the step was fine; the validation that follows shows it."""
    command = [*learnable, "optimizer.lr=1e37", "optimizer.warmup=0", "training.max_steps=1", "hydra.run.dir=run"]
    assert tl_run(*command) == 4
    assert "not a finite number" in capsys.readouterr().err
    assert not Path("run/result.json").exists()


def test_weights_that_are_no_numbers_are_no_checkpoint(
    tl_run: Callable[..., int], learnable: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*learnable, "optimizer.lr=1e39", "optimizer.warmup=0", "training.checkpoint_every=1"]
    assert tl_run(*command, "hydra.run.dir=run") == 4
    ids = ", ".join(assemble(*command).method.ids(0))
    assert re.search(rf"error: \S+ is not finite after step 1 \(examples {ids}\)", capsys.readouterr().err)
    assert not [*Path("run").glob("checkpoints/*")]


class SmallMemory:
    """Runs out in training above `rows` per forward pass, or at one call."""

    def __init__(self, parts: Parts, rows: int = 10**9, at_call: int = 0) -> None:
        self.rows, self.at_call, self.calls = rows, at_call, 0
        parts.model.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, model: torch.nn.Module, args: Any, kwargs: Any) -> None:
        if model.training:
            self.calls += 1
            if kwargs["input_ids"].shape[0] > self.rows or self.calls == self.at_call:
                raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(("rows", "size"), [(7, 4), (3, 2), (1, 1)])
def test_memory_that_runs_out_halves_the_micro_batch(rows: int, size: int, learnable: list[str]) -> None:
    """The result, dropout and all, is that of a run that began so."""
    options = [*learnable, "training.max_steps=6"]
    expected = assemble(*options, f"training.micro_batch_size={size}")
    records = values(expected.train())
    parts = assemble(*options)
    SmallMemory(parts, rows)
    assert values(parts.train()) == records
    assert parts.state.micro_batch_size == size
    for one, other in zip(parts.model.parameters(), expected.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_half_a_gradient_is_forgotten_when_memory_runs_out(learnable: list[str]) -> None:
    options = [*learnable, "training.max_steps=3"]
    records = values(assemble(*options, "training.micro_batch_size=2").train())
    parts = assemble(*options)
    parts.state.micro_batch_size = 4
    SmallMemory(parts, at_call=2)
    assert values(parts.train()) == records


def test_a_micro_batch_of_the_users_own_is_not_changed(learnable: list[str]) -> None:
    parts = assemble(*learnable, "training.micro_batch_size=4")
    SmallMemory(parts, rows=2)
    with pytest.raises(MachineFault, match=r"out of memory at step 1 with training.micro_batch_size=4: type a smaller"):
        list(parts.train())


def test_memory_for_not_even_one_example(learnable: list[str]) -> None:
    parts = assemble(*learnable)
    SmallMemory(parts, rows=0)
    with pytest.raises(MachineFault, match=r"training\.micro_batch_size=1:"):
        list(parts.train())


# -- on a GPU


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(
    "options",
    [["hardware.precision=bf16", "freeze=bottom", "freeze.layers=1"], ["hardware.precision=fp16"]],
    ids=["bf16", "fp16"],
)
def test_a_run_on_a_gpu(options: list[str], tl_run: Callable[..., int], learnable: list[str]) -> None:
    assert tl_run(*learnable, "hardware=gpu", *options, "hydra.run.dir=run") == 0
    result = json.loads(Path("run/result.json").read_text())
    assert result["test"]["accuracy"] == 1.0
    assert result["audit"]["frozen_moved"] == []
    assert 0 < result["peak_memory_mb"] < 2000
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert all(0 < line["gpu_memory_mb"] < 2000 for line in lines if line["kind"] == "train")
    environment = json.loads(Path("run/environment.json").read_text())
    assert (environment["device"], environment["precision"]) == ("cuda", options[0].rpartition("=")[2])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_run_goes_on_after_a_stop(tl_run: Callable[..., int], learnable: list[str]) -> None:
    command = [*learnable, "hardware=gpu", "training.epochs=2", "training.checkpoint_every=2"]
    assert tl_run(*command, "hydra.run.dir=undisturbed") == 0
    with pytest.MonkeyPatch.context() as patch:
        poison(patch, step=7)
        assert tl_run(*command, "hydra.run.dir=run") == 4
    assert tl_run("resume=run") == 0
    scores = [json.loads(Path(run, "result.json").read_text())["validation"] for run in ("undisturbed", "run")]
    assert scores[0] == pytest.approx(scores[1], rel=1e-3)
