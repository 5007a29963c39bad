"""Embeddings, layers from the bottom up, top and head, in seven families."""

from pathlib import Path

import pytest
import transformers

from tiny_models import FAMILIES
from tl_run.model import pretrained
from tl_run.model.anatomy import Anatomy, anatomy

HEAD = {"num_labels": 2, "id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}}

# Family: the names of its layers, a name among its embeddings, its top and its head.
EXPECTED = {
    "bert": ("bert.encoder.layer.", "word_embeddings", ("bert.pooler.dense",), ("classifier",)),
    "roberta": ("roberta.encoder.layer.", "word_embeddings", (), ("classifier.dense", "classifier.out_proj")),
    "distilbert": ("distilbert.transformer.layer.", "word_embeddings", (), ("pre_classifier", "classifier")),
    "electra": ("electra.encoder.layer.", "embeddings_project", (), ("classifier.dense", "classifier.out_proj")),
    "xlm-roberta": ("roberta.encoder.layer.", "word_embeddings", (), ("classifier.dense", "classifier.out_proj")),
    "gpt2": ("transformer.h.", "wpe", ("transformer.ln_f",), ("score",)),
    "llama": ("model.layers.", "embed_tokens", ("model.norm",), ("score",)),
}


def taken_apart(folder: Path, **options: bool) -> tuple[transformers.PreTrainedModel, Anatomy]:
    found = pretrained.load(
        folder,
        "AutoModelForSequenceClassification",
        HEAD,
        max_length=32,
        seed=0,
        name="m",
        **({"pretrained": True} | options),
    )
    return found.model, anatomy(found.model, found.new)


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_of_a_family(family: str, tmp_path: Path) -> None:
    model, parts = taken_apart(FAMILIES[family](tmp_path / "model"))
    layer, embedding, top, head = EXPECTED[family]
    assert len(parts.layers) == 3
    for number, names in enumerate(parts.layers):
        assert names
        assert all(name.startswith(f"{layer}{number}.") for name in names)
    assert any(embedding in name for name in parts.embeddings)
    assert {name.rpartition(".")[0] for name in parts.top} == set(top)
    assert {name.rpartition(".")[0] for name in parts.head} == set(head)
    assert sorted([*parts.trunk, *parts.head]) == sorted(name for name, _ in model.named_parameters())


def test_layers_are_counted_not_sorted_as_text(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=9, hidden_size=4, num_hidden_layers=12, num_attention_heads=1, intermediate_size=4
    )
    parts = anatomy(transformers.BertForSequenceClassification(config))
    firsts = [names[0].split(".")[3] for names in parts.layers]
    assert firsts == [str(number) for number in range(12)]


def test_a_single_layer_is_a_layer() -> None:
    config = transformers.BertConfig(
        vocab_size=9, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4
    )
    parts = anatomy(transformers.BertForSequenceClassification(config))
    assert [len(layer) for layer in parts.layers] == [16]
    assert not any("encoder" in name for name in parts.embeddings)
    assert {name.split(".")[1] for name in parts.top} == {"pooler"}


def test_what_the_checkpoint_did_not_bring_is_head(bert: Path) -> None:
    model = transformers.BertForSequenceClassification(transformers.BertConfig.from_pretrained(bert))
    new = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    parts = anatomy(model, new)
    assert new < set(parts.head)
    assert parts.top == ()


def test_a_model_without_layers_has_a_trunk_all_the_same() -> None:
    from torch import nn

    parts = anatomy(nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 2)), {"1.weight", "1.bias"})
    assert (parts.embeddings, parts.layers, parts.top) == (("0.weight",), (), ())
    assert parts.head == ("1.weight", "1.bias")
