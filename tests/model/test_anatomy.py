"""Embeddings, layers from the bottom up, top and head: seven families from folders, more from their configs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import transformers
from torch import nn

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


SIZES = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 8}
T5 = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 3, "num_heads": 2, "vocab_size": 9}
DEBERTA = {"vocab_size": 9, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], **SIZES}
V2 = {"position_buckets": 4, "norm_rel_ebd": "layer_norm", "conv_kernel_size": 3}

# Class, its config, base and list of the layers, how many there are, and the modules of embeddings, top and head.
MORE: dict[str, tuple[str, dict[str, Any], str, str | None, int, set[str], set[str], set[str]]] = {
    "deberta": (
        "DebertaForSequenceClassification",
        DEBERTA,
        "deberta",
        "deberta.encoder.layer",
        3,
        {"embeddings.word_embeddings", "embeddings.position_embeddings", "embeddings.LayerNorm"}
        | {"encoder.rel_embeddings"},  # registered after the layers, and used in all of them
        set(),
        {"pooler.dense", "classifier"},
    ),
    "deberta-v2": (
        "DebertaV2ForSequenceClassification",
        DEBERTA | V2,
        "deberta",
        "deberta.encoder.layer",
        3,
        {"embeddings.word_embeddings", "embeddings.position_embeddings", "embeddings.LayerNorm"}
        | {"encoder.rel_embeddings", "encoder.LayerNorm", "encoder.conv.conv", "encoder.conv.LayerNorm"},
        set(),
        {"pooler.dense", "classifier"},
    ),
    "albert": (
        "AlbertForSequenceClassification",
        {"vocab_size": 9, "embedding_size": 4, **SIZES},
        "albert",
        "albert.encoder.albert_layer_groups",
        1,
        {f"embeddings.{name}" for name in ("word_embeddings", "position_embeddings", "token_type_embeddings")}
        | {"embeddings.LayerNorm", "encoder.embedding_hidden_mapping_in"},
        {"pooler"},
        {"classifier"},
    ),
    "qwen2": (
        "Qwen2ForSequenceClassification",
        {"vocab_size": 9, "num_key_value_heads": 1, **SIZES},
        "model",
        "model.layers",
        3,
        {"embed_tokens"},
        {"norm"},
        {"score"},
    ),
    "mistral": (
        "MistralForSequenceClassification",
        {"vocab_size": 9, "num_key_value_heads": 1, **SIZES},
        "model",
        "model.layers",
        3,
        {"embed_tokens"},
        {"norm"},
        {"score"},
    ),
    "t5": (
        "T5ForSequenceClassification",
        T5,
        "transformer",
        None,  # there are two
        6,
        {"shared"},
        {"decoder.final_layer_norm"},
        {"classification_head.dense", "classification_head.out_proj"},
    ),
    "t5 encoder": ("T5EncoderModel", T5, "", "encoder.block", 3, {"shared"}, {"encoder.final_layer_norm"}, set()),
    "bart": (
        "BartForSequenceClassification",
        {"vocab_size": 9, "d_model": 8, "encoder_layers": 2, "decoder_layers": 3}
        | {f"{tower}_attention_heads": 2 for tower in ("encoder", "decoder")}
        | {f"{tower}_ffn_dim": 8 for tower in ("encoder", "decoder")},
        "model",
        None,
        5,
        {"shared"} | {f"{t}.{e}" for t in ("encoder", "decoder") for e in ("embed_positions", "layernorm_embedding")},
        set(),
        {"classification_head.dense", "classification_head.out_proj"},
    ),
    "vit": (
        "ViTForImageClassification",
        {"image_size": 8, "patch_size": 4, **SIZES},
        "vit",
        "vit.layers",
        3,
        {"embeddings", "embeddings.patch_embeddings.projection"},
        {"layernorm"},
        {"classifier"},
    ),
    "resnet": (
        "ResNetForImageClassification",
        {"embedding_size": 4, "hidden_sizes": [4, 4, 8, 8], "depths": [1, 2, 1, 1]},
        "resnet",
        "resnet.encoder.stages",
        4,
        {"embedder.embedder.convolution", "embedder.embedder.normalization"},
        set(),
        {"classifier.1"},
    ),
}


def made(name: str, **changes: Any) -> tuple[transformers.PreTrainedModel, Anatomy]:
    kind = getattr(transformers, MORE[name][0])
    model = kind(kind.config_class(**MORE[name][1], **changes))
    return model, anatomy(model)


def owners(names: Iterable[str], base: str) -> set[str]:
    """The modules that these parameters lie in, as the base calls them."""
    return {name.rpartition(".")[0].removeprefix(f"{base}.") for name in names}


@pytest.mark.parametrize("name", MORE)
def test_parts_of_more_families(name: str) -> None:
    model, parts = made(name)
    _, _, base, path, layers, embeddings, top, head = MORE[name]
    assert (parts.base, parts.path, len(parts.layers)) == (base, path, layers)
    assert owners(parts.embeddings, base) == embeddings
    assert owners(parts.top, base) == top
    assert owners(parts.head, base) == head
    assert all(parts.layers)
    assert sorted([*parts.trunk, *parts.head]) == sorted(name for name, _ in model.named_parameters())
    if path:
        assert isinstance(model.get_submodule(path), nn.ModuleList)
        for number, names in enumerate(parts.layers):
            assert all(name.startswith(f"{path}.{number}.") for name in names)


def test_of_an_encoder_decoder_the_encoder_comes_first() -> None:
    _, parts = made("t5")
    assert [names[0].rpartition(".layer.")[0] for names in parts.layers] == [
        f"transformer.{tower}.block.{number}" for tower in ("encoder", "decoder") for number in range(3)
    ]
    assert "transformer.encoder.final_layer_norm.weight" in parts.layers[2]


def test_shared_layers_are_one_that_runs_many_times() -> None:
    assert (made("albert")[1].repeats, made("vit")[1].repeats, made("t5")[1].repeats) == (3, 1, 1)


def test_experts_within_a_layer_are_no_layers() -> None:
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList(nn.Linear(2, 2) for _ in range(8))

    parts = anatomy(nn.ModuleDict({"layers": nn.ModuleList(Layer() for _ in range(2))}))
    assert (parts.path, len(parts.layers)) == ("layers", 2)


@pytest.mark.parametrize("name", ["deberta-v2", "qwen2", "t5", "resnet"])
def test_norms_are_found_by_what_they_are(name: str) -> None:
    model, parts = made(name)
    assert parts.norms
    for parameter, tensor in model.named_parameters():
        owner = parameter.rpartition(".")[0]
        norm = "norm" in owner.rpartition(".")[2].lower()
        assert (parameter in parts.norms) == norm, parameter
        assert not norm or tensor.dim() == 1


def test_the_frame_holds_the_layers_and_what_is_beside_them() -> None:
    assert made("t5 encoder")[1].frame == ("", "encoder", "encoder.dropout")
    assert made("deberta")[1].frame == ("deberta", "deberta.encoder")
    assert made("resnet")[1].frame == ("resnet", "resnet.pooler", "resnet.encoder")


def test_blocks_in_words() -> None:
    _, parts = made("vit")
    assert [*parts.blocks] == ["head", "top", "layer.2", "layer.1", "layer.0", "embeddings"]
    assert parts.words([*parts.trunk, *parts.head]) == "everything"
    assert parts.words(parts.head) == "head"
    assert parts.words([*parts.head, *parts.layers[0], *parts.layers[2]]) == "head, layer 2, layer 0"
    assert parts.words([*parts.top, *parts.layers[1], *parts.layers[2][1:]]) == "top, part of layer 2, layer 1"
    assert parts.words([name for name in parts.trunk if "bias" in name]) == (
        "part of top, part of layers 0-2, part of embeddings"
    )
    assert parts.words(()) == ""


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
    parts = anatomy(nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 2)), {"1.weight", "1.bias"})
    assert (parts.embeddings, parts.layers, parts.top) == (("0.weight",), (), ())
    assert parts.head == ("1.weight", "1.bias")
