"""The plan before anything is trained: what learns and when, and which part of the model at which rate."""

from collections.abc import Callable
from pathlib import Path

import pytest
import transformers
from torch import nn

from composing import compose
from finished_objects import toy
from tl_run.config import check
from tl_run.model.anatomy import anatomy
from tl_run.plan import _layers, hyperparameters


@pytest.fixture
def plan(
    tl_run: Callable[..., int], bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, list[str]]]:
    """The rows of a plan by their names; a row without a name belongs to the one above."""

    def command(*overrides: str) -> dict[str, list[str]]:
        given = [*toy(tmp_path), "model=custom", f"model.path={bert}", "training.epochs=3", "training.batch_size=8"]
        assert tl_run(*given, *overrides, "--plan") == 0
        rows: dict[str, list[str]] = {}
        for line in capsys.readouterr().out.splitlines():
            name, words = line[:11].strip(), line[12:]
            if not line.startswith("note:"):
                rows.setdefault(name or [*rows][-1], []).append(words)
        return rows

    return command


def test_one_row_where_nothing_changes(plan: Callable[..., dict[str, list[str]]]) -> None:
    rows = plan("freeze=bottom", "freeze.layers=1")
    assert rows["learns"] == ["2,530 of 7,458 parameters (33.9%), freeze=bottom"]
    assert rows["optimizer"] == [
        "adamw, linear with 10% warmup; peak lr trunk 2e-05 (2,496), head 2e-05 (34)",
    ]
    assert rows["model"][0].endswith("2 layers")


def test_a_row_for_each_phase(plan: Callable[..., dict[str, list[str]]]) -> None:
    listed = "[{until:1,learns:head,lr_factor:50},{until_steps:9,learns:1,patience:2},{learns:all}]"
    assert plan("freeze=schedule", f"freeze.phases={listed}")["learns"] == [
        "freeze=schedule, in 3 phases",
        "1. from epoch 0 (step 0): 34 of 7,458 parameters (0.5%), head, lr x50",
        "2. from epoch 1 (step 6): 2,530 of 7,458 parameters (33.9%), head, top, layer 1, patience 2",
        "3. from epoch 1.5 (step 9) at the latest: 7,458 of 7,458 parameters (100.0%), everything",
    ]


def test_a_phase_that_the_run_is_too_short_for_is_said(plan: Callable[..., dict[str, list[str]]]) -> None:
    rows = plan("freeze=gradual", "freeze.every=2")["learns"]
    assert [row.partition(":")[0] for row in rows[1:]] == [
        "1. from epoch 0 (step 0)",
        "2. from epoch 1 (step 6)",
        "3. not reached in 18 steps",
        "4. not reached in 18 steps",
    ]


def test_a_phase_without_a_step_is_said(plan: Callable[..., dict[str, list[str]]]) -> None:
    rows = plan("freeze=gradual", "freeze.every=0.05")["learns"]
    assert [row.partition(":")[0] for row in rows[1:]] == [
        "1. from epoch 0 (step 0)",
        "2. from epoch 1 (step 6), for no step",
        "3. from epoch 1 (step 6)",
        "4. from epoch 1.17 (step 7)",
    ]


def test_many_rates_are_a_table(plan: Callable[..., dict[str, list[str]]]) -> None:
    rows = plan("optimizer.layer_decay=0.5", "optimizer.lr=0.008", "optimizer.head_lr=0.1")["optimizer"]
    assert rows[0] == "adamw, linear with 10% warmup"
    cells = [row.split() for row in rows[2:]]
    assert rows[1].split() == ["group", "peak", "lr", "parameters"]
    assert {name: (lr, count) for name, lr, count in cells} == {
        "head": ("0.1", "34"),
        "top": ("0.008", "272"),
        "layer.1": ("0.008", "2,224"),
        "layer.0": ("0.004", "2,224"),
        "embeddings": ("0.002", "2,704"),
    }
    assert len({len(row) for row in rows[1:]}) == 1  # columns are aligned


def test_shared_layers_and_none_are_said() -> None:
    parts = anatomy(nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 2)), {"1.weight", "1.bias"})
    assert _layers(parts) == "no layers found; tensors: head 2, embeddings 1"
    sizes = {"hidden_size": 4, "num_attention_heads": 1, "intermediate_size": 4, "num_hidden_layers": 6}
    albert = transformers.AlbertModel(transformers.AlbertConfig(vocab_size=9, embedding_size=4, **sizes))
    assert _layers(anatomy(albert)) == "1 layer, shared: run 6 times"


def test_phases_are_hyperparameters_in_words() -> None:
    shown = hyperparameters(check.check(compose("freeze=schedule")))
    assert shown["freeze.phases"] == "until 1.0, learns head, lr_factor 50.0; learns all"
    assert hyperparameters(check.check(compose("freeze=gradual")))["freeze.every"] == 1.0
