"""Which parameter learns at which rate, with which decay; and schedules beside transformers' own."""

import math
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn
from transformers import get_scheduler

from composing import compose
from finished_objects import assemble, toy
from tiny_models import FAMILIES
from tl_run import optimizer
from tl_run.config import check, options


def optimizer_options(*overrides: str) -> Any:
    return check.check(compose(*overrides)).optimizer


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_no_decay_on_biases_and_norms(family: str, tmp_path: Path) -> None:
    model = FAMILIES[family](tmp_path / "model")
    parts = assemble(*toy(tmp_path), "model=custom", f"model.path={model}", "optimizer.weight_decay=0.1")
    decay = {id(p): group["weight_decay"] for group in parts.optimizer.param_groups for p in group["params"]}
    for name, parameter in parts.model.named_parameters():
        plain = name.endswith("bias") or parameter.dim() == 1
        assert decay[id(parameter)] == (0.0 if plain else 0.1), name


def test_every_parameter_that_learns_is_in_one_group(bert: Path, tmp_path: Path) -> None:
    parts = assemble(
        *toy(tmp_path), "model=custom", f"model.path={bert}", "freeze=embeddings", "optimizer.layer_decay=0.5"
    )
    held = [id(p) for group in parts.optimizer.param_groups for p in group["params"]]
    assert len(held) == len(set(held))
    assert {name for name, p in parts.model.named_parameters() if id(p) in held} == parts.freeze.ever


def test_the_head_has_a_rate_of_its_own(bert: Path, tmp_path: Path) -> None:
    parts = assemble(
        *toy(tmp_path), "model=custom", f"model.path={bert}", "optimizer.lr=0.001", "optimizer.head_lr=0.02"
    )
    rates = {group["name"]: group["peak_lr"] for group in parts.optimizer.param_groups}
    assert rates == {"trunk": 0.001, "head": 0.02}
    head = {id(p) for g in parts.optimizer.param_groups if g["name"] == "head" for p in g["params"]}
    assert {name for name, p in parts.model.named_parameters() if id(p) in head} == {*parts.anatomy.head}


def test_layers_further_down_learn_more_slowly(tmp_path: Path) -> None:
    model = FAMILIES["bert"](tmp_path / "model")
    parts = assemble(
        *toy(tmp_path), "model=custom", f"model.path={model}", "optimizer.lr=0.8", "optimizer.layer_decay=0.5"
    )
    rates = {group["name"]: group["peak_lr"] for group in parts.optimizer.param_groups}
    assert rates == {
        "head": 0.8,
        "top": 0.8,
        "layer.2": 0.8,
        "layer.1": pytest.approx(0.4),
        "layer.0": pytest.approx(0.2),
        "embeddings": pytest.approx(0.1),
    }
    by_name = {id(p): g["name"] for g in parts.optimizer.param_groups for p in g["params"]}
    assert by_name[id(parts.model.bert.encoder.layer[1].output.dense.weight)] == "layer.1"
    assert by_name[id(parts.model.bert.pooler.dense.weight)] == "top"
    shown = optimizer.set_rates(parts.optimizer, 0.5)
    assert shown["layer.1"] == pytest.approx(0.2)
    assert {group["lr"] / group["peak_lr"] for group in parts.optimizer.param_groups} == {0.5}


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_options_reach_the_optimizer(name: str, bert: Path, tmp_path: Path) -> None:
    more = ["optimizer.momentum=0.5", "optimizer.nesterov=true"]
    if name != "sgd":
        more = ["optimizer.betas=[0.8,0.9]", "optimizer.eps=1e-5"]
    parts = assemble(*toy(tmp_path), "model=custom", f"model.path={bert}", f"optimizer={name}", *more)
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}[name]
    assert type(parts.optimizer) is kind
    [*groups] = parts.optimizer.param_groups
    wanted = {"momentum": 0.5, "nesterov": True} if name == "sgd" else {"betas": (0.8, 0.9), "eps": 1e-5}
    assert all(group[key] == value for group in groups for key, value in wanted.items())


def test_every_optimizer_is_tested() -> None:
    assert {"adamw", "adam", "sgd"} == optimizer.OPTIMIZERS.keys()


@pytest.mark.parametrize("warmup", ["0", "0.25", "7"])
@pytest.mark.parametrize("name", [name for name in get_args(options.Schedule) if name != "slanted_triangular"])
def test_schedules_are_those_of_transformers(name: str, warmup: str) -> None:
    steps = 40
    factor = optimizer.schedule(optimizer_options(f"optimizer.schedule={name}", f"optimizer.warmup={warmup}"), steps)
    theirs = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=1.0)
    warmup_steps = {"0": 0, "0.25": 10, "7": 7}[warmup]
    scheduler = get_scheduler(name, theirs, num_warmup_steps=warmup_steps, num_training_steps=steps)
    for step in range(steps):
        assert factor(step) == theirs.param_groups[0]["lr"], step
        theirs.step()
        scheduler.step()


def test_the_slanted_triangle_is_that_of_the_paper() -> None:
    """ULMFiT, equation 3, where its cut falls on a step; it rises from 1/32 to 1 and falls to 1/32 again."""
    total, share, ratio = 40, 0.1, 32
    given = (f"optimizer.warmup={share}", "optimizer.schedule=slanted_triangular")
    factor = optimizer.schedule(optimizer_options(*given), total)
    cut = math.floor(total * share)
    for step in range(total):
        p = step / cut if step < cut else 1 - (step - cut) / (cut * (1 / share - 1))
        assert factor(step) == pytest.approx((1 + p * (ratio - 1)) / ratio, rel=1e-12), step
    assert [factor(0), factor(4), factor(40)] == [1 / 32, 1.0, 1 / 32]


@pytest.mark.parametrize(("warmup", "peak"), [("0", 0), ("3", 3), ("40", 40), ("0.3", 12)])
def test_the_slanted_triangle_has_its_peak_after_the_warmup(warmup: str, peak: int) -> None:
    given = (f"optimizer.warmup={warmup}", "optimizer.schedule=slanted_triangular")
    factor = optimizer.schedule(optimizer_options(*given), 40)
    factors = [factor(step) for step in range(41)]
    assert max(range(41), key=factors.__getitem__) == peak
    assert factors[peak] == 1.0
    assert min(factors) >= 1 / 32


def test_warmup_rises_and_then_falls_to_the_end() -> None:
    factor = optimizer.schedule(optimizer_options("optimizer.warmup=0.1"), 20)
    assert [factor(0), factor(1), factor(2), factor(11)] == [0.0, 0.5, 1.0, 0.5]
    assert 0 < factor(19) < 0.06


@pytest.mark.parametrize(("choice", "lr"), [("none", 1e-3), ("trunk", 5e-2), ("all_but_bias", 1e-2), ("bottom", 1e-3)])
def test_the_rate_is_the_models_times_a_factor_for_what_is_frozen(choice: str, lr: float) -> None:
    assert optimizer_options(f"freeze={choice}", "model.lr=1e-3").lr == pytest.approx(lr)
    assert optimizer_options(f"freeze={choice}", "model.lr=1e-3", "optimizer.lr=0.3").lr == 0.3
