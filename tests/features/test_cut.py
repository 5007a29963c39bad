"""A model run from a cut on gives what the whole model gives, for every family and every height of the cut."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from tiny_models import FAMILIES
from tl_run import freeze
from tl_run.features.cut import Cut, Trunk
from tl_run.freeze import Freeze
from tl_run.model.anatomy import anatomy

READINGS = {
    "bert": "pooled",
    "roberta": "first",
    "xlm-roberta": "first",
    "distilbert": "first",
    "electra": "first",
    "gpt2": "last",
    "llama": "last",
}
# Texts of three lengths; 1 is no pad token of any family but those whose pad is 1, which their masks say.
LENGTHS = [7, 5, 3]


def load(family: str, folder: Path) -> Any:
    FAMILIES[family](folder)
    torch.manual_seed(1)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)
    model.config.pad_token_id = 0
    return model.eval()


def texts() -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return {"input_ids": torch.randint(3, 30, mask.shape) * mask, "attention_mask": mask.long()}


def trunk_of(model: Any) -> Trunk:
    new = {name for name, _ in model.named_parameters() if "classifier" in name or "score" in name}
    return Trunk(model, anatomy(model, new), texts())


def phase(trunk: Trunk, **options: Any) -> frozenset[str]:
    learning = Freeze(trunk.anatomy, SimpleNamespace(**options))
    freeze.apply(trunk.model, learning.phases[0])
    return learning.phases[0].learns


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layers", [1, 2])
def test_from_the_cut_on_it_is_the_same_model(family, layers, tmp_path):
    trunk = trunk_of(load(family, tmp_path))
    inputs, learns = texts(), phase(trunk, name="bottom", layers=layers)
    cut, why = trunk.find(learns)
    assert cut == Cut(layers), why
    with torch.no_grad(), trunk.evaluating():
        whole = trunk.model(**inputs).logits
        states = trunk.run(inputs, [cut])[cut]
        assert states.shape == (3, 7, trunk.hidden)
        with trunk.above(cut, states, inputs) as rest:
            assert torch.equal(trunk.model(**rest).logits, whole)
        assert torch.equal(trunk.model(**inputs).logits, whole)  # nothing is left of it outside


@pytest.mark.parametrize("family", FAMILIES)
def test_of_a_frozen_trunk_only_what_the_head_reads_is_kept(family, tmp_path):
    trunk = trunk_of(load(family, tmp_path))
    inputs, learns = texts(), phase(trunk, name="trunk")
    cut, why = trunk.find(learns)
    assert cut == Cut(3, READINGS[family]), why
    with torch.no_grad():
        states = trunk.run(inputs, [cut])[cut]
        assert states.shape == (3, 1, trunk.hidden)
        with trunk.evaluating(), trunk.above(cut, states, inputs) as rest:
            again = trunk.model(**rest).logits
        with trunk.evaluating():
            torch.testing.assert_close(again, trunk.model(**inputs).logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_higher_cut_is_reached_from_a_lower_one_with_the_same_bits(family, tmp_path):
    trunk = trunk_of(load(family, tmp_path))
    inputs = texts()
    trunk.find(phase(trunk, name="trunk"))
    top = Cut(3, READINGS[family])
    with torch.no_grad(), trunk.evaluating():
        direct = trunk.run(inputs, [Cut(1), Cut(2), top])
        padding = inputs["attention_mask"][..., None]
        again = trunk.run(inputs, [Cut(2), top], Cut(1), direct[Cut(1)] * padding)
    assert torch.equal(again[Cut(2)] * padding, direct[Cut(2)] * padding)
    assert torch.equal(again[top], direct[top])


def test_the_gradient_above_the_cut_is_that_of_the_whole_model(tmp_path):
    trunk = trunk_of(load("bert", tmp_path))
    inputs = texts()
    cut, _ = trunk.find(phase(trunk, name="bottom", layers=2))
    assert cut

    def gradients(inputs: Any) -> dict[str, torch.Tensor]:
        trunk.model.zero_grad()
        trunk.model(**inputs).logits.square().sum().backward()
        return {name: p.grad.clone() for name, p in trunk.model.named_parameters() if p.grad is not None}

    with trunk.evaluating():
        whole = gradients(inputs)
        with torch.no_grad():
            states = trunk.run(inputs, [cut])[cut]
        with trunk.above(cut, states, inputs) as rest:
            again = gradients(rest)
    assert whole.keys() == again.keys()
    assert any(".layer.2." in name for name in whole)
    assert not any(".layer.1." in name for name in whole)
    for name in whole:
        assert torch.equal(again[name], whole[name]), name


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"name": "none"}, "embeddings learn"),
        ({"name": "embeddings"}, "lowest layer"),
        ({"name": "all_but_bias"}, "em"),
    ],
)
def test_where_nothing_can_be_kept_it_says_why(options, reason, tmp_path):
    trunk = trunk_of(load("bert", tmp_path))
    cut, why = trunk.find(phase(trunk, **options))
    assert cut is None
    assert reason in why


def test_dropout_below_the_cut_is_found(tmp_path):
    trunk = trunk_of(load("bert", tmp_path))
    learns = phase(trunk, name="bottom", layers=2)
    trunk.model.bert.encoder.layer[0].train()
    cut, why = trunk.find(learns)
    assert cut is None
    assert "dropout" in why


def test_something_that_learns_below_the_cut_is_found(tmp_path):
    model = load("bert", tmp_path)
    trunk = trunk_of(model)
    learns = phase(trunk, name="bottom", layers=2)
    tied = nn.Parameter(torch.zeros(16))  # outside the layers, and read in one of them
    model.bert.encoder.layer[0].register_forward_hook(lambda module, args, output: output + tied)
    cut, why = trunk.find(learns)
    assert cut is None
    assert "something that learns" in why


def test_layers_that_are_run_twice_are_no_plain_stack(tmp_path):
    config = transformers.AlbertConfig(
        vocab_size=30,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
    )
    torch.manual_seed(0)
    trunk = trunk_of(transformers.AlbertForSequenceClassification(config).eval())
    cut, why = trunk.find(phase(trunk, name="bottom", layers=1))
    assert cut is None
    assert "not a plain stack" in why
