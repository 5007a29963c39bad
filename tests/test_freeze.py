"""Frozen means frozen, for every strategy: no gradient, no optimizer state, eval mode, the same bits afterwards."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from conftest import bert_folder
from finished_objects import Parts, assemble, toy
from tiny_models import FAMILIES
from tl_run import freeze
from tl_run.errors import BadOption
from tl_run.model.anatomy import anatomy
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
    "all_but_norms": ([], r"bert\.(?!.*LayerNorm)"),
    "gradual": (["freeze.head_first=0", "freeze.every_steps=1"], r"(?!)"),
    "schedule": (["freeze.phases=[{until_steps:2,learns:head},{learns:2}]"], rf"{EMBEDDINGS}|{LAYER}0\."),
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
    assert parts.anatomy.frame == ("bert", "bert.encoder")
    for name, module in modules.items():
        own = [f"{name}.{inner}".lstrip(".") for inner, _ in module.named_parameters()]
        if name in parts.anatomy.frame:  # dropout of its own would fall on what goes into the layers
            assert training[name] == any(not re.match(pattern, each) for each in parts.anatomy.embeddings), name
        elif own:
            assert training[name] == any(not re.match(pattern, each) for each in own), name
        elif isinstance(module, nn.Dropout):  # as the module that it belongs to
            assert training[name] == training[name.rpartition(".")[0]], name


def test_dropout_of_frozen_layers_is_off_and_beside_learning_ones_on(arguments: list[str]) -> None:
    model = assemble(*arguments, "freeze=bottom", "freeze.layers=2").model
    assert not model.bert.embeddings.dropout.training
    assert not model.bert.encoder.layer[1].output.dropout.training
    assert model.bert.encoder.layer[2].output.dropout.training
    assert model.dropout.training


@pytest.mark.parametrize(
    ("family", "dropout"),
    [("gpt2", "transformer.drop"), ("bert", "bert.embeddings.dropout"), ("t5", "encoder.dropout")],
)
def test_no_dropout_falls_on_what_goes_into_frozen_layers(family: str, dropout: str, tmp_path: Path) -> None:
    """GPT-2 has it in the base beside the layers, T5 after them."""
    if family == "t5":
        sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 30}
        model: Any = transformers.T5EncoderModel(transformers.T5Config(**sizes))
    else:
        model = transformers.AutoModelForSequenceClassification.from_pretrained(FAMILIES[family](tmp_path / "model"))
    parts = anatomy(model)
    for options, trains in (({"name": "none"}, True), ({"name": "bottom", "layers": 1}, False)):
        freeze.apply(model, freeze.Freeze(parts, SimpleNamespace(**options)).phases[0])
        assert model.get_submodule(dropout).training == trains
        assert any(m.training for m in model.modules() if isinstance(m, nn.Dropout))
    if family != "t5":
        ids = torch.arange(4, 12).view(1, -1)
        first, second = (model(input_ids=ids, output_hidden_states=True).hidden_states for _ in range(2))
        assert torch.equal(first[1], second[1])
        assert not torch.equal(first[-1], second[-1])


def test_dropout_before_layers_without_embeddings_is_that_of_the_first_layer() -> None:
    model = nn.ModuleDict({"drop": nn.Dropout(), "layers": nn.ModuleList(nn.Linear(2, 2) for _ in range(3))})
    for layers, trains in ((0.1, True), (1, False)):
        learning = freeze.Freeze(anatomy(model), SimpleNamespace(name="bottom", layers=layers))
        freeze.apply(model, learning.phases[0])
        assert model["drop"].training == trains


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


def test_a_run_reports_its_audit(tl_run: Callable[..., int], arguments: list[str]) -> None:
    assert tl_run(*arguments, "freeze=trunk", "hydra.run.dir=run") == 0
    result = json.loads(Path("run/result.json").read_text())
    blocks = {"head": 0, "top": None, "layer.2": None, "layer.1": None, "layer.0": None, "embeddings": None}
    assert result["audit"] == {
        "frozen": 55,
        "frozen_moved": [],
        "learning": 2,
        "learning_moved": 2,
        "moves_from_step": blocks,
    }
    assert result["parameters"]["trainable"] == 34


def test_a_run_in_which_something_frozen_moves_fails(
    tl_run: Callable[..., int],
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    terms = FineTune.terms

    def push(self, model, *others):
        with torch.no_grad():
            model.bert.pooler.dense.bias[3] += 1e-6
        return terms(self, model, *others)

    monkeypatch.setattr(FineTune, "terms", push)
    assert tl_run(*arguments, "freeze=trunk", "hydra.run.dir=run") == 70
    assert "frozen tensors moved: bert.pooler.dense.bias" in capsys.readouterr().err
    assert not Path("run/result.json").exists()
    assert not Path("run/model").exists()


# -- phases

AGAIN = "freeze.phases=[{until_steps:2,learns:all},{until_steps:4,learns:head},{until_steps:6,learns:2},{learns:all}]"


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_what_stays_in_a_phase_does_not_move_in_it_though_its_moments_would(
    optimizer: str, arguments: list[str]
) -> None:
    """Nor does weight decay move it. After each step, what differs from before it is just what learns."""
    options = ["freeze=schedule", AGAIN, f"optimizer={optimizer}", "training.max_steps=8", "training.log_every=1"]
    parts = assemble(*arguments, *options, "optimizer.schedule=constant")
    weights = {name: p.detach().clone() for name, p in parts.model.named_parameters()}
    buffer = "momentum_buffer" if optimizer == "sgd" else "exp_avg"
    query = parts.model.bert.encoder.layer[0].attention.self.query.weight
    for record in parts.train():
        if record.kind != "train":
            continue
        phase = parts.freeze.phases[min(3, (record.step - 1) // 2)]
        assert parts.freeze.at(parts.state) is phase
        moved = {name for name, p in parts.model.named_parameters() if not torch.equal(p, weights[name])}
        still = {name for name in phase.learns if name.endswith("key.bias")}  # softmax takes their effect away
        assert phase.learns - still <= moved <= phase.learns, record.step
        assert parts.optimizer.state[query][buffer].abs().sum() > 0  # left from the first phase
        weights = {name: p.detach().clone() for name, p in parts.model.named_parameters()}
    assert parts.state.step == 8


def test_the_rate_of_a_phase(arguments: list[str]) -> None:
    phases = "freeze.phases=[{until_steps:2,learns:head,lr_factor:5},{learns:all,lr_factor:0.5}]"
    more = ["training.log_every=1", "optimizer.schedule=constant", "optimizer.lr=0.01"]
    records = list(assemble(*arguments, "freeze=schedule", phases, *more).train())
    rates = [record.values["lr/trunk"] for record in records if record.kind == "train"]
    assert rates == pytest.approx([0.05, 0.05, 0.005, 0.005])


def test_a_run_says_when_each_block_first_moved(tl_run: Callable[..., int], arguments: list[str]) -> None:
    """Also of a phase that is not the first in which it may."""
    more = ["optimizer.warmup=0", "hydra.run.dir=run", "training.max_steps=10", "training.eval_every=3"]
    assert tl_run(*arguments, "freeze=gradual", "freeze.head_first=0.5", "freeze.every_steps=2", *more) == 0
    audit = json.loads(Path("run/result.json").read_text())["audit"]
    blocks = {"head": 0, "top": 3, "layer.2": 3, "layer.1": 5, "layer.0": 7, "embeddings": 9}
    assert (audit["moves_from_step"], audit["learning_moved"]) == (blocks, audit["learning"])
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["phase"], line["learns"]) for line in lines if line["kind"] == "phase"] == [
        (3, 2, "head, top, layer 2"),
        (5, 3, "head, top, layers 1-2"),
        (7, 4, "head, top, layers 0-2"),
        (9, 5, "everything"),
    ]


def test_what_a_short_run_has_no_time_for_has_not_learned(tl_run: Callable[..., int], arguments: list[str]) -> None:
    assert tl_run(*arguments, "freeze=gradual", "freeze.head_first=0", "freeze.every_steps=3", "hydra.run.dir=run") == 0
    result = json.loads(Path("run/result.json").read_text())
    assert [block for block, step in result["audit"]["moves_from_step"].items() if step is None] == [
        "layer.0",
        "embeddings",
    ]
    assert result["parameters"]["trainable"] < result["parameters"]["total"] / 1.5


@pytest.mark.parametrize("last", ["learns:all", "learns:head"])
def test_a_run_in_which_something_moves_in_a_phase_in_which_it_was_to_stay_fails(
    last: str,
    tl_run: Callable[..., int],
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In the first phase or in the last, though it learns in the other."""
    real = FineTune.terms

    def push(self, model, *others):
        if not model.bert.pooler.dense.bias.requires_grad:
            with torch.no_grad():
                model.bert.pooler.dense.bias[3] += 1e-6
        return real(self, model, *others)

    monkeypatch.setattr(FineTune, "terms", push)
    first = "learns:head" if last == "learns:all" else "learns:all"
    phases = f"freeze.phases=[{{until_steps:2,{first}}},{{{last}}}]"
    assert tl_run(*arguments, "freeze=schedule", phases, "hydra.run.dir=run") == 70
    assert "frozen tensors moved: bert.pooler.dense.bias" in capsys.readouterr().err
    assert not Path("run/result.json").exists()


@pytest.mark.parametrize("name", ["trunk", "all_but_bias", "all_but_norms"])
def test_what_is_fresh_in_the_trunk_learns_as_the_head_does(name: str, arguments: list[str]) -> None:
    parts = assemble(*arguments, "model.copy='embeddings|layer\\.[01]\\.'", f"freeze={name}")
    fresh = {name for name, _ in parts.model.named_parameters() if "layer.2." in name or "bert." not in name}
    assert fresh <= parts.freeze.ever
    assert parts.freeze.ever != {name for name, _ in parts.model.named_parameters()}


def test_fresh_layers_are_thawed_with_the_head(arguments: list[str]) -> None:
    phases = assemble(*arguments, r"model.copy='embeddings|layer\.[01]\.'", "freeze=gradual").freeze.phases
    assert [phase.words for phase in phases] == [
        "head, layer 2",
        "head, layers 1-2",
        "head, layers 0-2",
        "everything",
    ]
