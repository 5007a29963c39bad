"""Frozen means frozen, for every strategy: no gradient, no optimizer state, eval mode, the same bits afterwards."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from conftest import bert_folder
from finished_objects import Parts, assemble, toy
from tl_run import freeze
from tl_run.errors import BadOption
from tl_run.transfer.finetune import FineTune

EMBEDDINGS, LAYER, POOLER = r"bert\.embeddings\.", r"bert\.encoder\.layer\.", r"bert\.pooler\."

# Strategy: its options, and what stays in a BERT with three layers.
EXPECTED = {
    "none": ([], r"(?!)"),
    "trunk": ([], r"bert\."),
    "embeddings": ([], EMBEDDINGS),
    "bottom": (["freeze.layers=2"], rf"{EMBEDDINGS}|{LAYER}[01]\."),
    "pattern": (["freeze.pattern=attention"], rf"{LAYER}\d\.attention\."),
    "all_but_bias": ([], r"bert\..*\.weight$"),
}


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert_folder(tmp_path_factory.mktemp("models") / "deep", num_hidden_layers=3)


@pytest.fixture
def arguments(deep: Path, tmp_path: Path) -> list[str]:
    more = ["training.max_steps=4", "training.batch_size=8", "optimizer.lr=0.01", "optimizer.weight_decay=0.1"]
    return [*toy(tmp_path), "model=custom", f"model.path={deep}", *more]


def test_every_strategy_is_tested() -> None:
    assert EXPECTED.keys() == freeze.STRATEGIES.keys()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("name", EXPECTED)
def test_the_frozen_stay_and_the_others_move(name: str, optimizer: str, arguments: list[str]) -> None:
    options, pattern = EXPECTED[name]
    parts = assemble(*arguments, f"freeze={name}", f"optimizer={optimizer}", *options)
    before = {name: p.detach().clone() for name, p in parts.model.named_parameters()}
    stays = {name for name in before if re.match(pattern, name)}
    gradients = watch_gradients(parts)
    assert len(list(parts.train())) > 4
    for name, parameter in parts.model.named_parameters():
        if name in stays:
            assert torch.equal(parameter, before[name]), name
            assert not parameter.requires_grad, name
        elif not name.endswith("key.bias"):  # softmax takes its effect away
            assert (parameter != before[name]).any(), name
    held = {id(p) for group in parts.optimizer.param_groups for p in group["params"]} | {
        id(p) for p in parts.optimizer.state
    }
    names = {name for name, p in parts.model.named_parameters() if id(p) in held}
    assert names == parts.freeze.ever == before.keys() - stays
    assert gradients == before.keys() - stays


def watch_gradients(parts: Parts) -> set[str]:
    """Names of the parameters that ever have a gradient when the optimizer steps."""
    seen: set[str] = set()

    def look(*_: object) -> None:
        seen.update(name for name, p in parts.model.named_parameters() if p.grad is not None)

    parts.optimizer.register_step_pre_hook(look)
    return seen


@pytest.mark.parametrize("name", EXPECTED)
def test_a_block_in_which_nothing_learns_is_in_eval_mode(name: str, arguments: list[str]) -> None:
    options, pattern = EXPECTED[name]
    parts = assemble(*arguments, f"freeze={name}", *options)
    training: dict[str, bool] = {}

    def look(module: nn.Module, *_: object) -> None:
        if parts.model.training:
            training.update({name: m.training for name, m in parts.model.named_modules()})

    parts.model.register_forward_pre_hook(look)
    list(parts.train())
    modules = dict(parts.model.named_modules())
    for name, module in modules.items():
        own = [f"{name}.{inner}".lstrip(".") for inner, _ in module.named_parameters()]
        if own:
            assert training[name] == any(not re.match(pattern, each) for each in own), name
        elif isinstance(module, nn.Dropout):  # as the module that it belongs to
            assert training[name] == training[name.rpartition(".")[0]], name


def test_dropout_of_frozen_layers_is_off_and_beside_learning_ones_on(arguments: list[str]) -> None:
    model = assemble(*arguments, "freeze=bottom", "freeze.layers=2").model
    assert not model.bert.embeddings.dropout.training
    assert not model.bert.encoder.layer[1].output.dropout.training
    assert model.bert.encoder.layer[2].output.dropout.training
    assert model.dropout.training


def test_evaluation_in_between_does_not_leave_its_mode(arguments: list[str]) -> None:
    parts = assemble(*arguments, "freeze=bottom", "freeze.layers=1", "training.eval_every=1")
    modes = []
    for record in parts.train():
        if record.kind == "validation":
            assert not parts.model.training
        else:
            modes.append((parts.model.training, parts.model.bert.encoder.layer[0].training))
    assert modes == [(True, False)] * 4


@pytest.mark.parametrize(("layers", "frozen"), [("1", 1), ("3", 3), ("0.5", 2), ("0.34", 1), ("0.1", 0)])
def test_bottom_by_number_or_share(layers: str, frozen: int, arguments: list[str]) -> None:
    parts = assemble(*arguments, "freeze=bottom", f"freeze.layers={layers}")
    stays = set(parts.anatomy.trunk) - parts.freeze.ever
    assert stays == {*parts.anatomy.embeddings, *(n for layer in parts.anatomy.layers[:frozen] for n in layer)}


def test_more_layers_than_there_are(arguments: list[str]) -> None:
    with pytest.raises(BadOption, match=r"freeze.layers=4, but the model has 3 layers: type a number from 1 to 3"):
        assemble(*arguments, "freeze=bottom", "freeze.layers=4")


def test_a_pattern_that_matches_nothing_shows_what_names_look_like(arguments: list[str]) -> None:
    with pytest.raises(BadOption, match=r"freeze.pattern: 'heads' matches no parameter; names look like bert\.emb.*, "):
        assemble(*arguments, "freeze=pattern", "freeze.pattern=heads")


def test_a_pattern_that_leaves_nothing_to_learn(arguments: list[str]) -> None:
    with pytest.raises(BadOption, match="leaves nothing that learns"):
        assemble(*arguments, "freeze=pattern", "freeze.pattern=.")


def test_a_frozen_model_from_random_weights_has_a_head_only(arguments: list[str]) -> None:
    """With pretrained=false everything is new, but freeze=trunk still means all but the head."""
    parts = assemble(*arguments, "freeze=trunk", "model.pretrained=false")
    assert parts.freeze.ever == {"classifier.weight", "classifier.bias"}


def test_the_audit_names_what_moved(bert: Path) -> None:
    model = nn.ModuleDict({"trunk": nn.Linear(2, 2), "head": nn.Linear(2, 2)})
    ever = frozenset({"head.weight", "head.bias"})
    before = freeze.fingerprints(freeze.stays(model, ever))
    initial = freeze.fingerprints({name: p for name, p in model.named_parameters() if name in ever})
    with torch.no_grad():
        model["trunk"].weight[0, 0] += 1e-6
        model["head"].bias += 1
    found = freeze.audit(before, model, ever, initial)
    assert found == {"frozen": 2, "frozen_moved": ["trunk.weight"], "learning": 2, "learning_moved": 1}


def test_a_run_reports_its_audit(tl_run: Callable[..., int], arguments: list[str]) -> None:
    assert tl_run(*arguments, "freeze=trunk", "hydra.run.dir=run") == 0
    result = json.loads(Path("run/result.json").read_text())
    assert result["audit"] == {"frozen": 55, "frozen_moved": [], "learning": 2, "learning_moved": 2}
    assert result["parameters"]["trainable"] == 34


def test_a_run_in_which_something_frozen_moves_fails(
    tl_run: Callable[..., int],
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    terms = FineTune.terms

    def push(self, model, batches, progress):
        with torch.no_grad():
            model.bert.pooler.dense.bias[3] += 1e-6
        return terms(self, model, batches, progress)

    monkeypatch.setattr(FineTune, "terms", push)
    assert tl_run(*arguments, "freeze=trunk", "hydra.run.dir=run") == 70
    assert "frozen tensors moved: bert.pooler.dense.bias" in capsys.readouterr().err
    assert not Path("run/result.json").exists()
    assert not Path("run/model").exists()
