"""Which phases a strategy makes, and what it says when the model has not what was asked for."""

import pytest
import transformers
from torch import nn

from composing import compose
from tl_run import freeze
from tl_run.config import check
from tl_run.errors import BadOption
from tl_run.model.anatomy import Anatomy, anatomy
from tl_run.strategies import End

SIZES = {"hidden_size": 4, "num_attention_heads": 1, "intermediate_size": 4}


@pytest.fixture(scope="module")
def bert() -> Anatomy:
    config = transformers.BertConfig(vocab_size=9, num_hidden_layers=3, **SIZES)
    return anatomy(transformers.BertForSequenceClassification(config))


def phases(parts: Anatomy, *overrides: str) -> list[tuple[str, End | None]]:
    made = freeze.Freeze(parts, check.check(compose(*overrides)).freeze)
    assert made.ever == frozenset().union(*(phase.learns for phase in made.phases))
    return [(phase.words, phase.end) for phase in made.phases]


def test_gradual_thaws_from_the_top_down(bert: Anatomy) -> None:
    assert phases(bert, "freeze=gradual") == [
        ("head", End(1)),
        ("head, top, layer 2", End(2)),
        ("head, top, layers 1-2", End(3)),
        ("head, top, layers 0-2", End(4)),
        ("everything", None),
    ]


def test_gradual_by_parts_of_epochs_and_by_steps(bert: Anatomy) -> None:
    ends = [end for _, end in phases(bert, "freeze=gradual", "freeze.every=0.5", "freeze.head_first=0")]
    assert ends == [End(0.5), End(1), End(1.5), None]
    ends = [end for _, end in phases(bert, "freeze=gradual", "freeze.every_steps=30", "freeze.head_first=2")]
    assert ends == [End(2), End(2, 30), End(2, 60), End(2, 90), None]


@pytest.mark.parametrize(("end", "step"), [(End(2), 14), (End(0.5), 4), (End(1, 30), 37), (End(0, 5), 5)])
def test_a_moment_of_a_run_in_steps(end: End, step: int) -> None:
    assert end.step(per_epoch=7) == step


def test_phases_as_they_are_listed(bert: Anatomy) -> None:
    listed = "[{until:1,learns:head,lr_factor:50},{until_steps:9,learns:2},{patience:3,learns:0.34},"
    listed += "{until:5,learns:'layer.1.*bias'},{learns:all}]"
    made = freeze.Freeze(bert, check.check(compose("freeze=schedule", f"freeze.phases={listed}")).freeze).phases
    assert [(each.words, each.end, each.lr_factor, each.patience) for each in made] == [
        ("head", End(1), 50, None),
        ("head, top, layers 1-2", End(0, 9), 1, None),
        ("head, top, layer 2", None, 1, 3),
        ("part of layer 1", End(5), 1, None),
        ("everything", None, 1, None),
    ]
    assert all(name.endswith("bias") and ".layer.1." in name for name in made[3].learns)


def test_the_listed_phases_by_default_are_linear_probing_and_then_fine_tuning(bert: Anatomy) -> None:
    assert phases(bert, "freeze=schedule") == [("head", End(1)), ("everything", None)]


def test_only_norms_learn(bert: Anatomy) -> None:
    learns = freeze.Freeze(bert, check.check(compose("freeze=all_but_norms")).freeze).ever
    assert {name for name in learns if "LayerNorm" not in name} == {"classifier.weight", "classifier.bias"}
    assert len(learns) == 2 + 2 * (1 + 2 * 3)


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ("[{learns:4}]", r"freeze.phases\[0\].learns=4, but the model has 3 layers: type a number from 1 to 3"),
        ("[{learns:heda}]", r"'heda' matches no parameter; names look like bert.*; or type all, head, or a number of"),
    ],
)
def test_a_phase_that_the_model_cannot_have(listed: str, words: str, bert: Anatomy) -> None:
    with pytest.raises(BadOption, match=words):
        phases(bert, "freeze=schedule", f"freeze.phases={listed}")


@pytest.mark.parametrize(
    ("overrides", "option"),
    [
        (["freeze=bottom"], "freeze.layers"),
        (["freeze=embeddings"], "freeze=embeddings"),
        (["freeze=gradual"], "freeze=gradual"),
        (["freeze=schedule", "freeze.phases=[{learns:1}]"], r"freeze.phases\[0\].learns"),
    ],
)
def test_a_model_without_layers_is_told_what_to_type(overrides: list[str], option: str) -> None:
    parts = anatomy(nn.Sequential(nn.Embedding(3, 2), nn.GRU(2, 2), nn.Linear(2, 2)), {"2.weight", "2.bias"})
    with pytest.raises(
        BadOption, match=rf"^{option}: no list of equal layers .* type freeze=pattern .* like 0.weight, 1"
    ):
        phases(parts, *overrides)


def test_a_phase_in_which_nothing_learns() -> None:
    parts = anatomy(transformers.BertModel(transformers.BertConfig(vocab_size=9, num_hidden_layers=1, **SIZES)))
    with pytest.raises(BadOption, match="freeze=schedule leaves nothing that learns"):
        phases(parts, "freeze=schedule")
