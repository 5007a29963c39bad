"""Integrated gradients: exact where a formula says so, complete where none does, and honest where neither holds."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from tiny_models import FAMILIES
from tl_run.errors import BadOption
from tl_run.explain.attribution import TOLERANCE, attribute
from tl_run.explain.words import words
from tl_run.model import heads, pretrained
from tl_run.model.design import STOCK, Design

TEXT = "the film was very good, not dull"
LABELS = {"num_labels": 2, "id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}}


class OfWords(nn.Module):
    """Logits that are a function of the embeddings (batch, tokens, hidden) alone."""

    def __init__(self, score: Any, times: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.score, self.times = nn.Embedding(9, 4), score, times
        self.double()

    @property
    def base_model(self) -> Any:
        return self

    def get_input_embeddings(self) -> nn.Embedding:
        return self.table

    def forward(self, input_ids: torch.Tensor) -> Any:
        states = sum(self.table(input_ids) for _ in range(self.times))
        return SimpleNamespace(logits=self.score(states))


IDS = torch.tensor([[1, 5, 6, 7, 2]])
KEPT = torch.tensor([True, False, False, False, True])


def test_of_a_linear_model_they_are_weight_times_input():
    weight = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    model = OfWords(lambda states: torch.einsum("bth,lth->bl", states, weight) + 3)
    for baseline, nothing in ((8, model.table.weight[8]), (None, torch.zeros(4))):
        found = attribute(model, {"input_ids": IDS}, 1, baseline=baseline, kept=KEPT)
        expected = (weight[1] * (model.table(IDS)[0] - nothing)).sum(-1).masked_fill(KEPT, 0)
        assert np.allclose(found.scores, expected.detach().numpy(), rtol=0, atol=1e-12)
        assert found.error < 1e-10
        assert found.complete


def test_of_a_product_they_are_what_the_integral_says():
    """f = a b along the straight line from 0 gives each of both a b / 2."""
    model = OfWords(lambda states: (states[:, 1, :1] * states[:, 2, :1]).repeat(1, 2))
    found = attribute(model, {"input_ids": IDS}, 0, baseline=None, kept=torch.zeros(5, dtype=torch.bool))
    a, b = model.table(IDS)[0, 1:3, 0].tolist()
    assert found.scores == pytest.approx([0, a * b / 2, a * b / 2, 0, 0], abs=1e-12)


def test_steps_double_until_it_is_complete_and_what_stays_incomplete_says_so():
    def steep(states: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(40 * states.sum((1, 2)))[:, None].repeat(1, 2)

    model = OfWords(steep)
    few = attribute(model, {"input_ids": IDS}, 0, baseline=8, kept=KEPT, most=8)
    assert (few.steps, few.complete) == (8, False)
    assert few.error > TOLERANCE
    many = attribute(model, {"input_ids": IDS}, 0, baseline=8, kept=KEPT)
    assert many.complete
    assert many.steps > 8
    assert many.scores.sum() == pytest.approx(many.end - many.start, rel=TOLERANCE)


def test_words_that_change_nothing_get_nothing():
    model = OfWords(lambda states: states.sum((1, 2))[:, None] * torch.ones(1, 2))
    found = attribute(model, {"input_ids": IDS}, 0, baseline=8, kept=torch.ones(5, dtype=torch.bool))
    assert not found.scores.any()
    assert found.error == 0


def test_a_model_that_looks_up_its_words_twice_is_refused():
    with pytest.raises(BadOption, match="OfWords looks up its words 2 times in one table"):
        attribute(OfWords(lambda states: states.sum(1), times=2), {"input_ids": IDS}, 0, baseline=8, kept=KEPT)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("design", [STOCK, Design("weighted"), Design("linear", pooling="attention")])
def test_completeness_holds_for_every_family_and_head(family, design, tmp_path):
    folder = FAMILIES[family](tmp_path / "model")
    found = pretrained.load(
        folder,
        "AutoModelForSequenceClassification",
        LABELS,
        pretrained=True,
        max_length=64,
        seed=0,
        name=family,
        design=design,
    )
    model, tokenizer = found.model, found.tokenizer
    with torch.no_grad():  # a head that says something
        for name, parameter in model.named_parameters():
            if "base" not in name and parameter.shape[0] == 2:
                parameter.mul_(20)
    model.double()
    inputs = tokenizer(TEXT, return_tensors="pt")
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    special = torch.tensor(sorted({*tokenizer.all_special_ids} - {tokenizer.unk_token_id}))
    kept = torch.isin(inputs["input_ids"][0], special)
    own = attribute(model, inputs, 1, baseline=tokenizer.pad_token_id, kept=kept)
    with torch.no_grad():
        assert own.end == pytest.approx(model(**inputs).logits[0, 1].item(), abs=1e-12)
    assert own.complete
    assert abs(own.end - own.start) > 1e-6
    assert not own.scores[kept.numpy()].any()
    shown = words(tokenizer, (TEXT, None), inputs["input_ids"][0].numpy(), own.scores, 64)
    assert sum(word.score for word in shown) == pytest.approx(own.scores.sum())
    assert "".join(word.before + word.text for word in shown) == TEXT
    assert [word.text.rstrip(",") for word in shown if word.text != ","] == TEXT.replace(",", "").split()
    assert isinstance(model, heads.Headed) == (design is not STOCK)


def test_words_of_a_pair_and_of_a_text_that_is_cut(bert):
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    pair = ("the story", "was Great!")
    ids = np.array(tokenizer(*pair)["input_ids"])
    shown = words(tokenizer, pair, ids, np.arange(len(ids), dtype=float), 32)
    assert "".join(word.before + word.text for word in shown) == "the story / was Great!"
    assert [word.score for word in shown] == [1, 2, 4, 5, 6]
    ids = np.array(tokenizer(TEXT, truncation=True, max_length=6)["input_ids"])
    assert [word.text for word in words(tokenizer, (TEXT, None), ids, np.ones(6), 6)] == TEXT.split()[:4]
