"""Heads of our own: what they compute against a formula in float64, what suits which model, and from disk the same."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers.modeling_outputs import BaseModelOutput

import tl_run as package
from finished_objects import assemble, toy
from tiny_models import FAMILIES
from tl_run import predict
from tl_run.config.options import SOLVED, AnyModel
from tl_run.errors import BadInput, BadOption
from tl_run.model import pretrained, saved
from tl_run.model.anatomy import anatomy
from tl_run.model.design import KINDS, MIXED, STOCK, TRAINED, Design, settle
from tl_run.model.heads import Headed
from tl_run.model.pooling import POOLINGS, Attention

LABELS = {
    "num_labels": 3,
    "id2label": {0: "a", 1: "b", 2: "c"},
    "label2id": {"a": 0, "b": 1, "c": 2},
    "problem_type": "single_label_classification",
}
TEXTS = ["the film was good", "bad", "i loved the very good story, and the ending"]
DEPTH = 3


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    parent = tmp_path_factory.mktemp("families")
    return {family: FAMILIES[family](parent / family) for family in ("bert", "gpt2", "distilbert")}


def load(folder: Path, design: Design, **options: Any) -> pretrained.Pretrained:
    given = {"pretrained": True, "max_length": 32, "seed": 0, "name": "m"} | options
    return pretrained.load(folder, "AutoModelForSequenceClassification", LABELS, design=design, **given)


def design_of(kind: str, **others: Any) -> Design:
    return Design(kind, layer=1 if kind == "layer" else None, **others)


def batch_of(found: pretrained.Pretrained) -> dict[str, torch.Tensor]:
    return dict(found.tokenizer(TEXTS, padding=True, return_tensors="pt"))


def test_the_kinds_are_those_of_the_option() -> None:
    allowed = AnyModel.__annotations__["head"].__args__
    assert set(allowed) == {"stock", *KINDS}
    assert set(KINDS) == {*TRAINED, *SOLVED}


# -- poolings

MASKS = {
    "right": [[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]],
    "left": [[0, 0, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1]],
}


def pooled(pooling: str, tokens: np.ndarray) -> np.ndarray:
    """The pooling of one text without padding (tokens, hidden), by formula."""
    return {"cls": tokens[0], "last": tokens[-1], "mean": tokens.mean(0), "max": tokens.max(0)}[pooling]


OF_TEXTS = [name for name in POOLINGS if name != "entities"]  # those that take a mask


def test_two_entities_are_read_where_they_begin():
    state = torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(0))
    marks = torch.tensor([[0, 1, 0, 0, 2, 0], [0, 0, 2, 1, 0, 0], [0, 3, 0, 0, 0, 0]])  # the last at one token
    expected = [torch.cat([state[0, 1], state[0, 4]]), torch.cat([state[1, 3], state[1, 2]]), state[2, 1].repeat(2)]
    assert torch.equal(POOLINGS["entities"](state, marks), torch.stack(expected))
    stored = state[:, :1]  # what the store gives back is both already
    assert torch.equal(POOLINGS["entities"](stored, marks[:, :1]), stored[:, 0])


@pytest.mark.parametrize("side", MASKS)
@pytest.mark.parametrize("pooling", OF_TEXTS)
def test_a_pooling_sees_the_tokens_and_no_padding(pooling: str, side: str) -> None:
    mask = torch.tensor(MASKS[side]).bool()
    state = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1))
    state[~mask] = torch.nan
    found = POOLINGS[pooling](state, mask)
    for row, tokens, kept in zip(found, state.double().numpy(), mask.numpy(), strict=True):
        np.testing.assert_allclose(row, pooled(pooling, tokens[kept]), rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("pooling", OF_TEXTS)
def test_of_a_text_of_one_token_every_pooling_is_that_token_bit_by_bit(pooling: str, dtype: torch.dtype) -> None:
    state = torch.randn(64, 1, 33, generator=torch.Generator().manual_seed(1)).to(dtype)
    state[0, 0, :4] = torch.tensor([-0.0, 0.0, torch.finfo(dtype).tiny, torch.finfo(dtype).max])
    found = POOLINGS[pooling](state, torch.ones(64, 1).bool())
    assert found.dtype == dtype
    assert torch.equal(found.view(torch.uint8), state[:, 0].contiguous().view(torch.uint8))


@pytest.mark.parametrize("side", MASKS)
def test_attention_weighs_tokens_by_a_softmax(side: str) -> None:
    mask = torch.tensor(MASKS[side]).bool()
    state, pool = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1)), Attention(4)
    found = pool(state, mask).detach()
    query = pool.score.weight.detach().double().numpy()[0]
    for row, tokens, kept in zip(found, state.double().numpy(), mask.numpy(), strict=True):
        weights = np.exp(tokens[kept] @ query)
        np.testing.assert_allclose(row, weights @ tokens[kept] / weights.sum(), rtol=1e-5, atol=1e-6)


# -- heads


def reference(model: Headed, trunk: Any, inputs: dict[str, torch.Tensor]) -> np.ndarray:
    """Logits by formula, text by text without its padding, in float64."""
    weights = {name: t.double().numpy() for name, t in model.head.state_dict().items()}
    logits = []
    for row in range(len(TEXTS)):
        kept = inputs["attention_mask"][row].bool()
        single = {name: value[row][kept][None] for name, value in inputs.items()}
        states = [state[0].numpy() for state in trunk.double()(**single, output_hidden_states=True).hidden_states]
        vectors = []
        for place, layer in enumerate(model.layers):
            if model.pooling == "attention":
                scores = np.exp(states[layer] @ weights[f"attention.{place}.score.weight"][0])
                vectors.append(scores @ states[layer] / scores.sum())
            else:
                vectors.append(pooled(model.pooling, states[layer]))
        vector = np.concatenate(vectors)
        if model.design.kind == "weighted":
            share = np.exp(weights["mix.weights"])
            vector = weights["mix.scale"] * (share / share.sum() @ np.stack(vectors))
        if model.design.kind == "mlp":
            vector = np.tanh(weights["hidden.1.weight"] @ vector + weights["hidden.1.bias"])
        logits.append(weights["classifier.weight"] @ vector + weights["classifier.bias"])
    return np.stack(logits)


def test_a_sentence_encoder_is_read_as_it_was_made(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(folders["bert"], folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    for kind in ("linear", "mlp", "svm", "logistic"):
        assert load(folders["bert"], design_of(kind)).model.pooling == "cls"
        assert load(folder, design_of(kind)).model.pooling == "mean"
    assert load(folder, design_of("linear", pooling="max")).model.pooling == "max"
    told = "a sentence encoder: model.head=linear reads the vectors it was made for"
    assert any(told in note for note in load(folder, STOCK).notes)
    assert not any(told in note for note in load(folder, design_of("linear")).notes)
    given = {"pretrained": True, "max_length": 32, "seed": 0, "name": "m", "design": STOCK}
    tagger = pretrained.load(folder, "AutoModelForTokenClassification", LABELS, **given)
    assert not any(told in note for note in tagger.notes)  # it has no other head
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    assert load(folder, design_of("linear")).model.pooling == "cls"
    assert load(folder, design_of("layer")).model.pooling == "mean"  # below the top it was made for nothing


@pytest.mark.parametrize("family", ["bert", "gpt2", "distilbert"])
@pytest.mark.parametrize("pooling", [*OF_TEXTS, "attention"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_head_from_formula_to_disk_and_back(
    kind: str, pooling: str, family: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    if family == "gpt2" and pooling == "cls":
        with pytest.raises(BadOption, match=r"m reads from left to right.*type model\.pooling=last or mean"):
            load(folders[family], design_of(kind, pooling=pooling))
        return
    if kind in SOLVED and pooling == "attention":
        return  # check() refuses it
    found = load(folders[family], design_of(kind, pooling=pooling))
    model, inputs = found.model, batch_of(found)
    with torch.no_grad():  # away from where they start
        for parameter in model.head.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
    trunk = transformers.AutoModel.from_pretrained(folders[family])
    with torch.inference_mode():
        logits = model(**inputs).logits
        np.testing.assert_allclose(logits, reference(model, trunk, inputs), rtol=1e-4, atol=1e-5)

    parts = anatomy(model, found.new)
    assert len(parts.layers) == DEPTH
    assert set(parts.head) == found.new == {f"head.{name}" for name, _ in model.head.named_parameters()}
    brought = dict(trunk.float().named_parameters())
    assert all(torch.equal(p, brought[name]) for name, p in model.base_model.named_parameters())
    model.train()(**inputs).logits.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.head.parameters())

    saved.save(tmp_path / "saved", model, found.tokenizer, "card")
    again, tokenizer = package.load_model(tmp_path / "saved")
    assert not again.training
    assert (again.layers, again.pooling, again.config.id2label) == (model.layers, pooling, LABELS["id2label"])
    with torch.inference_mode():
        assert torch.equal(again(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits, logits)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["linear", "weighted"])
def test_every_family_has_the_states_that_are_read(kind: str, family: str, tmp_path: Path) -> None:
    """Its last state is the last of its hidden states, and padding on either side is left out."""
    folder = FAMILIES[family](tmp_path / "model")
    found = load(folder, Design(kind))
    inputs, trunk = batch_of(found), transformers.AutoModel.from_pretrained(folder)
    with torch.inference_mode():
        logits = found.model(**inputs).logits
        np.testing.assert_allclose(logits, reference(found.model, trunk, inputs), rtol=1e-4, atol=1e-5)


def test_a_head_that_the_checkpoint_has_is_not_taken_over(folders: dict[str, Path], tmp_path: Path) -> None:
    first = load(folders["bert"], Design("stock"))
    saved.save(tmp_path / "saved", first.model, first.tokenizer, "card")
    assert "the checkpoint's head is not used, a new one is" in load(tmp_path / "saved", Design("linear")).notes
    assert "the checkpoint's head is not used, a new one is" not in load(folders["bert"], Design("linear")).notes


@pytest.mark.parametrize("kind", KINDS)
def test_states_that_were_stored_stand_for_the_trunk(
    kind: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text of one token whose states are what the pooling gave before: the same logits, bit by bit."""
    found = load(folders["bert"], design_of(kind, pooling="mean"))
    model, inputs = found.model, batch_of(found)
    with torch.inference_mode():
        logits, states = model(**inputs).logits, model.states(**inputs)

        def stored(**given: torch.Tensor) -> BaseModelOutput:
            held = dict(zip(model.layers, (state[:, None] for state in states), strict=True))
            every: Any = tuple(held.get(layer) for layer in range(DEPTH + 1))
            return BaseModelOutput(last_hidden_state=held.get(DEPTH), hidden_states=every)

        monkeypatch.setattr(model.base_model, "forward", stored)
        ones = torch.ones(len(TEXTS), 1, dtype=torch.long)
        assert torch.equal(model(input_ids=ones, attention_mask=ones).logits, logits)


def test_a_mix_begins_as_the_mean_of_all_layers(folders: dict[str, Path]) -> None:
    found = load(folders["bert"], Design("weighted"))
    states = found.model.states(**batch_of(found))
    assert len(states) == DEPTH + 1
    torch.testing.assert_close(found.model.head.mix(states), torch.stack(states).mean(0))


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_is_drawn_from_the_seed_as_stock_heads_are(kind: str, folders: dict[str, Path]) -> None:
    def drawn(seed: int, whole: bool = True) -> dict[str, torch.Tensor]:
        torch.rand(seed + 3)  # what was drawn before does not matter
        return load(folders["bert"], design_of(kind), seed=seed, pretrained=whole).model.head.state_dict()

    first, again, other, random = drawn(1), drawn(1), drawn(2), drawn(1, whole=False)
    assert all(torch.equal(first[name], again[name]) and torch.equal(first[name], random[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])
    assert 0.01 < first["classifier.weight"].std() < 0.03  # BERT's 0.02
    assert not first["classifier.bias"].any()


def test_random_weights_are_all_new(folders: dict[str, Path]) -> None:
    found = load(folders["bert"], Design("linear"), pretrained=False)
    assert found.new == {name for name, _ in found.model.named_parameters()}


def test_a_pooler_that_no_head_reads_is_left_out(folders: dict[str, Path]) -> None:
    found = load(folders["bert"], Design("linear"))
    assert not [name for name, _ in found.model.named_parameters() if "pooler" in name]
    assert not [note for note in found.notes if "not in the checkpoint" in note]


# -- what suits


@pytest.mark.parametrize("kind", KINDS)
def test_the_pooling_that_suits(kind: str, folders: dict[str, Path], tmp_path: Path) -> None:
    mixed = kind in (*MIXED, "layer")
    for family, top in {"bert": "cls", "distilbert": "cls", "gpt2": "last"}.items():
        assert load(folders[family], design_of(kind)).model.pooling == ("mean" if mixed else top)
    assert load(FAMILIES["llama"](tmp_path / "llama"), design_of(kind)).model.pooling == ("mean" if mixed else "last")


def test_an_encoder_without_a_cls_token_is_averaged(folders: dict[str, Path]) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders["gpt2"])
    config = transformers.AutoConfig.from_pretrained(folders["bert"])
    assert settle(Design("linear"), config, tokenizer, "m").pooling == "mean"


def test_the_layers_that_are_read(folders: dict[str, Path]) -> None:
    def layers(kind: str, layer: int | None = None) -> tuple[int, ...]:
        return load(folders["bert"], Design(kind, layer)).model.layers

    assert {kind: layers(kind) for kind in ("linear", "mlp", "svm", "logistic")} == dict.fromkeys(
        ("linear", "mlp", "svm", "logistic"), (DEPTH,)
    )
    assert layers("dense") == layers("weighted") == (0, 1, 2, 3)
    assert [layers("layer", n) for n in range(DEPTH + 1)] == [(0,), (1,), (2,), (3,)]
    with pytest.raises(BadOption, match=r"model.head_layer=4, but m has layers 1 to 3 .*type a number from 0 to 3"):
        layers("layer", 4)


def test_what_lies_above_the_layer_is_said_to_learn_nothing(folders: dict[str, Path]) -> None:
    note = "what lies above layer 1 of 3 is not read, and learns nothing"
    assert note in load(folders["bert"], Design("layer", 1)).notes
    assert not [note for note in load(folders["bert"], Design("layer", 3)).notes if "above" in note]


def test_an_encoder_decoder_has_no_single_stack(folders: dict[str, Path]) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders["bert"])
    with pytest.raises(BadOption, match=r"model\.head=linear: t5 is no single stack of layers: type model\.head=stock"):
        settle(Design("linear"), transformers.T5Config(), tokenizer, "t5")


def dropouts(model: Any) -> list[float]:
    inside = {id(module) for module in model.base_model.modules()}
    return [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout) and id(m) not in inside]


def test_dropout_is_the_checkpoints_own_or_what_is_asked_for(folders: dict[str, Path]) -> None:
    own = {"bert": 0.1, "distilbert": 0.2, "gpt2": 0.0}  # by their configs
    for family, share in own.items():
        assert dropouts(load(folders[family], Design("linear")).model) == [share]
        assert dropouts(load(folders[family], Design("linear", dropout=0.4)).model) == [0.4]
    assert dropouts(load(folders["bert"], Design("mlp", dropout=0.4)).model) == [0.4, 0.4]
    assert dropouts(load(folders["distilbert"], Design("svm")).model) == [0.0]
    inside = {
        m.p
        for m in load(folders["bert"], Design("linear", dropout=0.4)).model.base_model.modules()
        if isinstance(m, torch.nn.Dropout)
    }
    assert inside == {0.1}


def test_dropout_of_a_stock_head(folders: dict[str, Path]) -> None:
    for family in ("bert", "distilbert"):
        assert dropouts(load(folders[family], Design("stock", dropout=0.4)).model) == [0.4]
    with pytest.raises(
        BadOption, match=r"model.dropout=0.4: the stock head of m has no dropout: type model.head=linea"
    ):
        load(folders["gpt2"], Design("stock", dropout=0.4))


# -- folders


def test_a_stock_folder_loads_the_same_way(folders: dict[str, Path], tmp_path: Path) -> None:
    found = load(folders["bert"], Design("stock"))
    saved.save(tmp_path / "saved", found.model, found.tokenizer, "card")
    model, tokenizer = package.load_model(str(tmp_path / "saved"))
    assert type(model).__name__ == "BertForSequenceClassification"
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        assert torch.equal(model(**batch).logits, found.model(**batch).logits)


def spoil(folder: Path, name: str, content: bytes | None) -> None:
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", None),
        ("model.safetensors", None),
        ("head.safetensors", None),
        ("head.safetensors", b"{"),
        ("head.json", b"{"),
        ("head.json", b"[]"),
        ("head.json", b'{"kind": "os.system", "pooling": "mean"}'),
        ("head.json", b'{"kind": "mlp", "pooling": "mean"}'),
    ],
)
def test_a_damaged_folder_is_told(name: str, content: bytes | None, folders: dict[str, Path], tmp_path: Path) -> None:
    found = load(folders["bert"], Design("linear"))
    saved.save(tmp_path / "saved", found.model, found.tokenizer, "card")
    spoil(tmp_path / "saved", name, content)
    with pytest.raises(BadInput, match="saved"):
        package.load_model(tmp_path / "saved")


def test_a_folder_that_no_run_has_saved_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"\['BertModel'\] is no model that a run has saved"):
        package.load_model(folders["bert"])
    with pytest.raises(BadInput, match="nowhere cannot be loaded"):
        package.load_model(tmp_path / "nowhere")


def test_the_package_alone_imports_nothing_heavy() -> None:
    code = "import sys, tl_run; tl_run.load_model; print([n for n in ('torch', 'transformers') if n in sys.modules])"
    paths = ":".join(path for path in sys.path if path)
    found = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": paths}, capture_output=True, text=True)
    assert found.stdout.strip() == "[]", found.stderr


# -- whole runs

RUNS = {kind: [f"model.head={kind}"] for kind in ("stock", *KINDS)}
RUNS["layer"] += ["model.head_layer=1"]
RUNS |= {f"{kind} on attention": [*RUNS[kind], "model.pooling=attention"] for kind in ("linear", "weighted")}


@pytest.mark.parametrize("run", RUNS)
def test_a_run_on_the_embedded_data(run: str, tl_run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    given = [*RUNS[run], "freeze=trunk", "task.limit=24", "training.max_steps=4", "hydra.run.dir=run"]
    assert tl_run(*given, "training.eval_every=2") == 0
    said = capsys.readouterr().out
    assert ("note: pipeline() cannot load this head: tl-predict and tl_run.load_model do" in said) == (run != "stock")
    result = json.loads(Path("run/result.json").read_text())
    audit = result["audit"]
    assert audit["frozen"] > 30
    assert audit["frozen_moved"] == []
    assert audit["learning"] == audit["learning_moved"] > 0
    assert result["head"] == run.partition(" ")[0]
    card = Path("run/model/README.md").read_text()
    assert ("import tl_run" in card) == (run != "stock")
    assert ("from transformers import pipeline" in card) == (run == "stock")
    assert ("no calibrated probabilities" in card) == (run == "svm")

    lines = [json.loads(line) for line in Path("run/predictions-test.jsonl").read_text().splitlines()][:5]
    Path("new.jsonl").write_text("".join(json.dumps({"id": n["id"], "text": n["text"]}) + "\n" for n in lines))
    predict.predict(["run", "new.jsonl", "--format", "jsonl"])
    for line, text in zip(lines, capsys.readouterr().out.splitlines(), strict=True):
        again = json.loads(text)
        assert (again["id"], again["prediction"]) == (line["id"], line["prediction"])
        assert again["probability"] == pytest.approx(line["probability"], abs=1e-5)


def test_a_layer_in_the_middle_teaches_only_what_lies_below(folders: dict[str, Path], tmp_path: Path) -> None:
    more = ["model=custom", f"model.path={folders['bert']}", "model.head=layer", "model.head_layer=1"]
    parts = assemble(*toy(tmp_path), *more, "training.max_steps=2", "training.batch_size=8")
    before = {name: p.detach().clone() for name, p in parts.model.named_parameters()}
    for _ in parts.train():
        pass
    moved = {name for name, p in parts.model.named_parameters() if not torch.equal(p, before[name])}
    above = {name for layer in parts.anatomy.layers[1:] for name in layer}
    assert not moved & above
    assert moved >= {*parts.anatomy.head, "base.embeddings.word_embeddings.weight"}


def test_probes_of_layers_in_one_sweep(
    tl_run: Callable[..., int], tmp_path: Path, folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*toy(tmp_path), "model=custom", f"model.path={folders['bert']}", "freeze=trunk", "training.max_steps=2"]
    given += ["-m", "model.head=layer", "model.head_layer=0,3,4", "hydra.sweep.dir=sweep"]
    assert tl_run(*given) == 1
    assert "model.head_layer=4, but custom has layers 1 to 3" in capsys.readouterr().err
    results = [json.loads(path.read_text()) for path in sorted(Path("sweep").glob("*/result.json"))]
    assert len({result["identity"] for result in results}) == 2
    assert len({result["test"]["loss"] for result in results}) == 2
