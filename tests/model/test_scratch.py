"""Our own models: what their layers compute, that padding and neighbours change nothing, and runs with them."""

import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

import tl_run as package
from composing import compose
from finished_objects import toy
from tl_run.config.check import check
from tl_run.config.options import Scratch
from tl_run.errors import BadOption
from tl_run.features.cut import Cut, Trunk
from tl_run.model import scratch
from tl_run.model.anatomy import anatomy
from tl_run.model.scratch import heads, layers, vocabulary
from tl_run.model.scratch.folder import made
from tl_run.model.scratch.trunk import ScratchConfig, ScratchModel

CLASSIFIER = "AutoModelForSequenceClassification"
TEXTS = ["the film was good", "a plot, very dull", "Great story!", "it is not bad", "the ending was poor"] * 3
MODELS = ("rnn", "transformer-small", "separable-cnn")
SHAPES: list[dict[str, Any]] = [
    {"kind": "rnn", "cell": "simple"},
    {"kind": "rnn", "cell": "lstm"},
    {"kind": "rnn", "cell": "gru", "bidirectional": True},
    {"kind": "transformer"},
    {"kind": "separable_cnn", "kernel_size": 3},
]


def model_of(shape: dict[str, Any]) -> ScratchModel:
    torch.manual_seed(0)
    config = ScratchConfig(**shape, vocab_size=40, hidden_size=16, num_hidden_layers=2, intermediate_size=24)
    model = ScratchModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))  # so that no bias is zero
    return model.eval()


def padded(*lengths: int) -> dict[str, torch.Tensor]:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    torch.manual_seed(1)
    return {"input_ids": torch.randint(5, 40, mask.shape) * mask, "attention_mask": mask.long()}


# -- what is computed


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_neither_padding_nor_neighbours_change_a_state(shape):
    model, batch = model_of(shape), padded(7, 3, 5)
    with torch.no_grad():
        whole = model(**batch, output_hidden_states=True)
        vectors = model.pooled(whole.last_hidden_state, batch["attention_mask"])
        assert len(whole.hidden_states) == 3
        for i, length in enumerate((7, 3, 5)):
            alone = model(input_ids=batch["input_ids"][i : i + 1, :length])
            torch.testing.assert_close(whole.last_hidden_state[i, :length], alone.last_hidden_state[0])
            assert not whole.last_hidden_state[i, length:].any()
            vector = model.pooled(alone.last_hidden_state, torch.ones(1, length))
            torch.testing.assert_close(vectors[i], vector[0])


def test_attention_is_the_formula():
    torch.manual_seed(0)
    layer = layers.SelfAttention(
        SimpleNamespace(hidden_size=12, num_attention_heads=3, intermediate_size=8, hidden_dropout_prob=0, causal=False)
    )
    states, mask = torch.randn(2, 5, 12), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    found = layer.attend(states, mask).detach().double().numpy()
    parts = {
        name: (
            getattr(layer, name).weight.detach().double().numpy(),
            getattr(layer, name).bias.detach().double().numpy(),
        )
        for name in ("query", "key", "value", "output")
    }
    for text in range(2):
        x = states[text].double().numpy()
        q, k, v = (x @ parts[name][0].T + parts[name][1] for name in ("query", "key", "value"))
        heads = []
        for head in range(3):
            one = slice(4 * head, 4 * head + 4)
            scores = np.array([[q[i, one] @ k[j, one] / math.sqrt(4) for j in range(5)] for i in range(5)])
            weights = np.exp(scores) * mask[text].numpy()
            heads.append(weights / weights.sum(1, keepdims=True) @ v[:, one])
        expected = np.concatenate(heads, 1) @ parts["output"][0].T + parts["output"][1]
        np.testing.assert_allclose(found[text], expected, rtol=1e-5, atol=1e-6)


def test_places_are_sines_and_cosines():
    table = layers.positions(6, 8)
    for place in range(6):
        for i in range(4):
            angle = place / 10_000 ** (2 * i / 8)
            assert table[place, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[place, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


@pytest.mark.parametrize("cell", layers.CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_recurrent_text_is_its_last_valid_state(cell, bidirectional):
    torch.manual_seed(0)
    config = SimpleNamespace(hidden_size=8, cell=cell, bidirectional=bidirectional, hidden_dropout_prob=0.0)
    layer, states = layers.Recurrent(config), torch.randn(2, 6, 8)
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    vectors = layer.pooled(layer(states, mask), mask, config)
    for i, length in enumerate((6, 4)):
        text = states[i : i + 1, :length]
        expected = [layer.right(text)[0][0, -1]]
        expected += [layer.left(text.flip(1))[0][0, -1]] if layer.left is not None else []
        torch.testing.assert_close(vectors[i], torch.cat(expected))


def test_a_separable_convolution_is_a_plain_one_of_products_and_says_what_it_saves():
    torch.manual_seed(0)
    config = SimpleNamespace(hidden_size=6, kernel_size=3, num_hidden_layers=1, hidden_dropout_prob=0.0, causal=False)
    layer, states = layers.SeparableConvolution(config), torch.randn(2, 5, 6)
    plain = nn.Conv1d(6, 6, 3, padding=1)
    with torch.no_grad():
        deep, point = layer.depthwise, layer.pointwise
        plain.weight.copy_(point.weight[:, :, None] * deep.weight[None, :, 0])
        plain.bias.copy_(point.weight @ deep.bias + point.bias)
        known = plain(layer.norm(states).transpose(1, 2)).transpose(1, 2)
        expected = states + nn.functional.gelu(known)
        torch.testing.assert_close(layer(states, torch.ones(2, 5)), expected, rtol=1e-4, atol=1e-5)
    own = sum(p.numel() for part in (layer.depthwise, layer.pointwise) for p in part.parameters())
    (note,) = layer.notes(config)
    assert f"{own:,} parameters" in note
    assert f"take {sum(p.numel() for p in plain.parameters()):,}" in note


# -- from left to right

CAUSAL = [shape for shape in SHAPES if not shape.get("bidirectional")]


def causal(shape: dict[str, Any], layers: int = 2) -> Any:
    """A causal language model without dropout, its biases not zero."""
    torch.manual_seed(0)
    config = ScratchConfig(
        **shape, vocab_size=40, hidden_size=16, num_hidden_layers=layers, intermediate_size=24, causal=True
    )
    model = heads.ScratchForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("shape", CAUSAL, ids=str)
def test_what_comes_after_a_token_changes_no_state_of_it(shape):
    model, batch = causal(shape), padded(7, 7)
    batch["input_ids"][1, :4] = batch["input_ids"][0, :4]
    with torch.no_grad():
        states = model.trunk(**batch).last_hidden_state
        other = model_of(shape)(**batch).last_hidden_state
    assert not torch.isclose(states[0, 4:], states[1, 4:]).all(-1).any()
    torch.testing.assert_close(states[0, :4], states[1, :4])
    if shape["kind"] != "rnn":  # without the mask it would
        assert not torch.isclose(other[0, 3], other[1, 3]).all()


@pytest.mark.parametrize("shape", CAUSAL, ids=str)
def test_it_agrees_with_its_sibling_that_reads_both_ways(shape):
    model, tokens = causal(shape, layers=1), padded(7, 7)["input_ids"]
    both = ScratchModel(ScratchConfig(**{**model.config.to_dict(), "causal": False})).eval()
    both.load_state_dict(model.trunk.state_dict())
    with torch.no_grad():
        states = model.trunk(tokens).last_hidden_state
        if shape["kind"] == "separable_cnn":  # its kernel lies one place further to the left
            known = torch.randn(2, 16, 7)
            one, other = model.trunk.layers[0].depthwise(known), both.layers[0].depthwise(known)
            torch.testing.assert_close(one[..., 1:7], other[..., :6])
            return
        for end in (1, 4, 7):  # of one layer the last token's state is the same: it sees all there is
            torch.testing.assert_close(states[:, end - 1], both(tokens[:, :end]).last_hidden_state[:, -1])


@pytest.mark.parametrize("shape", CAUSAL, ids=str)
def test_it_generates_the_likeliest_token_each_time(shape):
    model = causal(shape)
    one, other = torch.tensor([[2, 7, 9, 5]]), torch.tensor([[2, 11]])
    together = torch.tensor([[2, 7, 9, 5], [0, 0, 2, 11]])
    found = model.generate(together, attention_mask=(together > 0).long(), max_new_tokens=5, do_sample=False)
    for row, text in zip(found, (one, other), strict=True):
        for _ in range(5):
            text = torch.cat([text, model(text).logits[:, -1:].argmax(-1)], 1)
            if text[0, -1] == model.config.eos_token_id:
                break
        own = row[row != 0]
        assert own.tolist() == text[0, : len(own)].tolist()
        assert len(own) == text.shape[1]


@pytest.mark.parametrize("name", MODELS)
def test_a_causal_run_its_pipeline_and_what_starts_from_it(name, tmp_path, tl_run):
    (tmp_path / "corpus.txt").write_text("\n".join(TEXTS * 4))
    small = ["model.hidden=16", "model.layers=2", "model.vocabulary=300", "model.tokenizer=bpe", "task.max_length=32"]
    given = ["task=lm", "task.objective=causal", f"task.train={tmp_path / 'corpus.txt'}", f"model={name}", *small]
    assert tl_run(*given, "optimizer.lr=0.02", "training.epochs=8", "hydra.run.dir=first") == 0
    records = [json.loads(line) for line in Path("first/metrics.jsonl").read_text().splitlines()]
    scores = [record["bits_per_character"] for record in records if record["kind"] == "validation"]
    assert scores[-1] < 0.8 * scores[0]
    package.register()
    assert "tl_run.register()" in Path("first/model/README.md").read_text()
    generate = transformers.pipeline("text-generation", model="first/model")
    (said,) = generate("the film", max_new_tokens=6, do_sample=False)
    assert said["generated_text"].startswith("the film")
    tokens = generate.tokenizer("the film")["input_ids"]
    assert (tokens[0], tokens[-1] == generate.tokenizer.eos_token_id) == (2, False)
    begin = [*toy(tmp_path), "model=custom", "model.path=first/model", "task.max_length=32"]
    for mode in ("off", "require"):
        assert tl_run(*begin, "freeze=trunk", f"features.mode={mode}", f"hydra.run.dir={mode}") == 0
    lines = [Path(mode, "predictions-test.jsonl").read_text() for mode in ("off", "require")]
    assert lines[0] == lines[1]
    model, _ = package.load_model("off/model")
    trunk = transformers.AutoModelForCausalLM.from_pretrained("first/model").trunk.state_dict()
    assert model.config.causal
    assert all(torch.equal(trunk[key], value) for key, value in model.trunk.state_dict().items())
    assert tl_run(*begin, "model.head=linear", "training.max_steps=1", "hydra.run.dir=own") == 0
    assert json.loads(Path("own/model/head.json").read_text())["pooling"] == "last"


@pytest.mark.parametrize("shape", CAUSAL, ids=str)
def test_a_causal_text_is_a_vector_that_has_seen_all_of_it(shape):
    trunk, batch = causal(shape).trunk, padded(7, 4)
    other = batch["input_ids"].clone()
    other[0, 6] = other[1, 3] = 39
    vectors = [
        trunk.pooled(trunk(i, batch["attention_mask"])[0], batch["attention_mask"]) for i in (batch["input_ids"], other)
    ]
    assert not torch.isclose(*vectors).all(1).any()


# -- vocabularies


@pytest.mark.parametrize("kind", vocabulary.KINDS)
def test_a_vocabulary_reads_what_it_was_built_from(kind, tmp_path):
    files = vocabulary.build(kind, TEXTS, 300, 32)
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert [tokenizer.convert_tokens_to_ids(token) for token in vocabulary.SPECIAL.values()] == [0, 1, 2, 3, 4]
    assert len(tokenizer) <= 300
    one = tokenizer("the film was good")["input_ids"]
    assert (one[0], one[-1]) == (2, 3)
    assert 1 not in one
    assert tokenizer.decode(one, skip_special_tokens=True) == "the film was good"
    pair = tokenizer("a plot", "good")["input_ids"]
    assert [i for i in pair if i in (2, 3)] == [2, 3, 3]


def test_every_process_builds_the_same():
    program = (
        "import hashlib, random; from tl_run.model.scratch.vocabulary import *; random.seed(0);"
        "words = [''.join(random.choices('abcdefgh', k=random.randint(2, 7))) for _ in range(300)];"
        "texts = [' '.join(random.choices(words, k=9)) for _ in range(400)];"
        "print([hashlib.sha256(build(k, texts, 400, 32)['tokenizer.json'].encode()).hexdigest() for k in KINDS])"
    )
    found = {subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout for _ in range(3)}
    assert len(found) == 1


# -- a run


@pytest.mark.parametrize("name", MODELS)
def test_a_run_from_nothing_and_a_run_from_it(name, tmp_path, tl_run):
    data = [*toy(tmp_path), "training.epochs=2"]
    small = [
        "model.hidden=16",
        "model.layers=2",
        "model.vocabulary=300",
        *(["model.feed_forward=32"] if name == "transformer-small" else []),
    ]
    assert tl_run(*data, f"model={name}", *small, "hydra.run.dir=first") == 0
    result = json.loads(Path("first/result.json").read_text())
    assert result["model"] == name
    model, tokenizer = package.load_model("first/model")
    assert model.config.id2label == {0: "no", 1: "yes"}
    assert tokenizer.unk_token_id not in tokenizer("the film was good")["input_ids"]
    bottom = ["model=custom", "model.path=first/model", "freeze=bottom", "freeze.layers=1"]
    for mode in ("off", "require"):
        assert tl_run(*data, *bottom, f"features.mode={mode}", f"hydra.run.dir={mode}") == 0
    weights = [(Path(mode) / "model/model.safetensors").read_bytes() for mode in ("off", "require")]
    assert weights[0] == weights[1]
    lines = [Path(mode, "predictions-test.jsonl").read_text() for mode in ("off", "require")]
    assert lines[0] == lines[1]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_can_be_cut_at_every_layer(shape):
    scratch.register()
    config = ScratchConfig(
        **shape, vocab_size=40, hidden_size=16, num_hidden_layers=2, intermediate_size=24, num_labels=3
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    parts = anatomy(model, {"classifier.weight", "classifier.bias"})
    assert parts.embeddings == ("trunk.embeddings.weight",)
    assert parts.top == ("trunk.norm.weight", "trunk.norm.bias")
    for learns, expected in ((parts.layers[1], Cut(1)), (parts.head, None)):
        for parameter_name, parameter in model.named_parameters():
            parameter.requires_grad_(parameter_name in {*learns, *parts.head})
        cut, why = Trunk(model.eval(), parts, padded(7, 5, 3)).find({*learns, *parts.head})
        assert cut, why
        assert expected in (cut, None)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("model=transformer-small", "model.hidden=12"), "model.hidden=12 is no multiple of 2 x model.heads=4"),
        (
            ("model=rnn", "model.hidden=9", "model.bidirectional=true"),
            "model.hidden=9: model.bidirectional=true halves",
        ),
        (("model=separable-cnn", "model.kernel=4"), "model.kernel=4: a kernel has a middle"),
        (("model=rnn", "model.cell=lstn"), "Did you mean 'lstm'?"),
        (("model=rnn", "+model.path=there"), "there is no option 'model.path'"),
    ],
)
def test_refused_in_words(overrides, words):
    data = compose(*overrides)
    with pytest.raises(BadOption) as failure:
        check(data)
    assert words in str(failure.value)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_tensor_is_loaded_again_and_the_trunk_by_every_head(shape, tmp_path):
    scratch.register()
    config = ScratchConfig(**shape, vocab_size=40, hidden_size=16, num_hidden_layers=2, intermediate_size=24)
    autos = [getattr(transformers, name) for name in Scratch.auto_classes]
    if config.bidirectional:
        with pytest.raises(BadOption, match=r"model\.bidirectional=true reads what comes next: type false, or task"):
            transformers.AutoModelForCausalLM.from_config(config)
        autos.remove(transformers.AutoModelForCausalLM)
    for auto in autos:
        torch.manual_seed(0)
        model = auto.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        model.save_pretrained(tmp_path / auto.__name__)
        own = model.state_dict()
        again = auto.from_pretrained(tmp_path / auto.__name__).state_dict()
        assert own.keys() == again.keys()
        assert all(torch.equal(own[name], again[name]) for name in own)
        for other in autos:
            moved = other.from_pretrained(tmp_path / auto.__name__).state_dict()
            trunk = [name for name in own if name.startswith("trunk.")]
            assert len(trunk) > 4
            assert all(torch.equal(own[name], moved[name]) for name in trunk), other


def test_a_kind_without_a_head_is_refused(tl_run, capsys):
    assert tl_run("task=images-demo", "model=rnn") == 2
    assert "model=rnn has no head for task=images-demo: type model=tiny" in " ".join(capsys.readouterr().err.split())


def test_other_texts_or_options_are_another_folder():
    options = check(compose("model=rnn", "model.vocabulary=300")).model
    first = made(options, TEXTS, 32, CLASSIFIER)
    assert made(options, TEXTS, 32, CLASSIFIER) == first
    others = [made(options, TEXTS[1:], 32, CLASSIFIER), made(options, TEXTS, 16, CLASSIFIER)]
    gru = check(compose("model=rnn", "model.vocabulary=300", "model.cell=gru")).model
    others.append(made(gru, TEXTS, 32, CLASSIFIER))
    assert len({first, *others}) == 4
    (first / "config.json").write_text("{}")
    assert json.loads((made(options, TEXTS, 32, CLASSIFIER) / "config.json").read_text())["kind"] == "rnn"
