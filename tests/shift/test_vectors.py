"""What the frozen model makes of texts."""

import numpy as np
import pytest
import torch
import transformers

import tiny_models
from tl_run.errors import BadOption
from tl_run.hardware import Hardware
from tl_run.shift import vectors

TEXTS = ["the film was good", "bad", "a very dull plot and i hated it", ""]
CPU = Hardware(torch.device("cpu"), "fp32")


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2"])
def test_a_vector_is_the_mean_of_the_last_layer_over_the_tokens(tmp_path, family):
    folder = tiny_models.FAMILIES[family](tmp_path / family)
    loaded, length = vectors.load(folder, family, 16)
    made = vectors.vectors(loaded, TEXTS[:3], length, CPU, batch_size=2)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    for text, vector in zip(TEXTS, made, strict=False):
        with torch.no_grad():
            ids = tokenizer(text, truncation=True, max_length=16, return_tensors="pt")
            expected = model(**ids).last_hidden_state[0].mean(0)
        assert vector == pytest.approx(expected.numpy(), abs=1e-5)


def test_neither_the_batch_nor_what_is_beside_changes_a_vector(bert):
    loaded, length = vectors.load(bert, "bert", None)
    assert length == 64, "all it has positions for"
    whole = vectors.vectors(loaded, TEXTS, length, CPU, batch_size=4)
    assert np.allclose(vectors.vectors(loaded, TEXTS[::-1], length, CPU, batch_size=1)[::-1], whole, atol=1e-6)


def test_tokens_and_what_is_unknown_or_cut(bert):
    loaded, _ = vectors.load(bert, "bert", None)
    total, unknown, cut = vectors.pieces(loaded, ["good film", "ab", "好", "the the the the the"], 6)
    assert total == 2 + 2 + 1 + 5, "ab is a and ##b; no special tokens"
    assert unknown == pytest.approx(1 / 10)
    assert cut == 0.25, "two of six tokens are special"


def test_a_text_longer_than_the_model(bert):
    with pytest.raises(BadOption, match="--max-length 99: bert reads at most 64 tokens: type --max-length 64"):
        vectors.load(bert, "bert", 99)
