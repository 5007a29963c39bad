"""Model folders in the hub's layout: what is loaded, what is new, and what is refused in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from finished_objects import assemble, toy
from tiny_models import FAMILIES
from tl_run import load_model
from tl_run.errors import BadInput, BadOption
from tl_run.model import pretrained, saved
from tl_run.model.design import Design
from tl_run.model.start import together

HEAD = {
    "num_labels": 2,
    "id2label": {0: "no", 1: "yes"},
    "label2id": {"no": 0, "yes": 1},
    "problem_type": "single_label_classification",
}


def load(folder: Path, head: dict[str, Any] = HEAD, **options: Any) -> pretrained.Pretrained:
    given = {"pretrained": True, "max_length": 32, "seed": 0, "name": "m"} | options
    return pretrained.load(folder, "AutoModelForSequenceClassification", head, **given)


def copy(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


@pytest.fixture
def classifier(bert: Path, tmp_path: Path) -> Path:
    """A checkpoint that has a head for the labels no and yes."""
    found = load(bert, seed=5)
    saved.save(tmp_path / "classifier", found.model, found.tokenizer, "card")
    return tmp_path / "classifier"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_from_folder_to_folder(family: str, tl_run: Callable[..., int], tmp_path: Path) -> None:
    model = FAMILIES[family](tmp_path / "start")
    arguments = [*toy(tmp_path), "model=custom", f"model.path={model}", "hydra.run.dir=run", "training.max_steps=2"]
    assert tl_run(*arguments, "training.batch_size=8", "training.micro_batch_size=5") == 0
    result = json.loads(Path("run/result.json").read_text())
    assert result["audit"]["learning_moved"] > 0.6 * result["audit"]["learning"]  # most; biases of keys never do
    saved, tokenizer = load_model("run/model")
    assert saved.dtype == torch.float32
    assert saved.config.id2label == {0: "no", 1: "yes"}
    # A batch with padding gives what single texts give: the pad token is known to the saved model.
    texts = ["the film was good", "bad"]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        together = saved(**batch).logits
        alone = torch.cat([saved(**tokenizer(text, return_tensors="pt")).logits for text in texts])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_decoder_without_a_pad_token_gets_one(family: str, tmp_path: Path) -> None:
    found = load(FAMILIES[family](tmp_path / "model"))
    assert found.tokenizer.pad_token == found.tokenizer.eos_token
    assert found.model.config.pad_token_id == found.tokenizer.pad_token_id == found.pad["input_ids"]
    assert found.model.config.use_cache is False
    assert any("has no pad token" in note for note in found.notes)


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_an_empty_text_alone_can_be_scored(family: str, tmp_path: Path) -> None:
    """Alone in a batch it is not padded to the others, and a decoder's tokenizer makes no token of it."""
    model = FAMILIES[family](tmp_path / "model")
    arguments = toy(tmp_path)
    (tmp_path / "validation.csv").write_text('text,label\n"",no\ngood,yes\n')
    parts = assemble(*arguments, "model=custom", f"model.path={model}")
    alone, together = (parts.score(batch_size=size).predictions for size in (1, 2))
    assert np.isfinite(alone).all()
    np.testing.assert_allclose(alone, together, rtol=1e-3)


def test_fp16_files_come_as_fp32(bert: Path, tmp_path: Path) -> None:
    folder = copy(bert, tmp_path / "half")
    model = transformers.AutoModel.from_pretrained(bert).half()
    model.save_pretrained(folder)
    assert {t.dtype for t in load_file(folder / "model.safetensors").values()} == {torch.float16}
    found = load(folder)
    assert {p.dtype for p in found.model.parameters()} == {torch.float32}
    word = found.model.bert.embeddings.word_embeddings.weight
    assert torch.equal(word, model.embeddings.word_embeddings.weight.float())


def test_random_weights_on_request(bert: Path) -> None:
    brought, drawn = load(bert), load(bert, pretrained=False, seed=1)
    assert drawn.new == {name for name, _ in drawn.model.named_parameters()}
    assert "model.pretrained=false: every weight is random" in drawn.notes
    one, other = (found.model.bert.embeddings.word_embeddings.weight for found in (brought, drawn))
    assert one.shape == other.shape
    assert not torch.equal(one, other)


def test_random_weights_need_no_weights_file(bert: Path, tmp_path: Path) -> None:
    folder = copy(bert, tmp_path / "bare")
    (folder / "model.safetensors").unlink()
    assert load(folder, pretrained=False).model.num_labels == 2


@pytest.mark.parametrize("whole", [True, False], ids=["pretrained", "random"])
def test_new_weights_depend_on_the_seed_alone(bert: Path, whole: bool) -> None:
    def drawn(seed: int) -> dict[str, torch.Tensor]:
        torch.rand(seed + 3)  # what was drawn before does not matter
        found = load(bert, seed=seed, pretrained=whole)
        return {name: p.detach() for name, p in found.model.named_parameters() if name in found.new}

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert first
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_a_head_for_the_same_labels_is_kept(classifier: Path) -> None:
    found = load(classifier)
    assert found.new == frozenset()
    assert found.notes == []
    assert torch.equal(found.model.classifier.weight, load_file(classifier / "model.safetensors")["classifier.weight"])


@pytest.mark.parametrize("names", [("bad", "good"), ("yes", "no"), ("a", "b", "c")])
def test_a_head_for_other_labels_is_made_anew(classifier: Path, names: tuple[str, ...]) -> None:
    """Also where it would fit: two other labels, or the same two the other way round."""
    head = HEAD | {"num_labels": len(names), "id2label": dict(enumerate(names))}
    head["label2id"] = {name: i for i, name in enumerate(names)}
    found, again, other = load(classifier, head), load(classifier, head), load(classifier, head, seed=1)
    assert found.new == {"classifier.weight", "classifier.bias"}
    weight = found.model.classifier.weight
    assert weight.shape == (len(names), 16)
    brought = load_file(classifier / "model.safetensors")["classifier.weight"]
    assert weight.shape != brought.shape or not torch.equal(weight, brought)
    assert torch.equal(weight, again.model.classifier.weight)
    assert not torch.equal(weight, other.model.classifier.weight)
    assert found.model.config.id2label == dict(enumerate(names))


def test_a_missing_pooler_is_new_and_said(bert: Path, tmp_path: Path) -> None:
    folder = copy(bert, tmp_path / "no-pooler")
    weights = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "pooler" not in k}, folder / "model.safetensors", {"format": "pt"})
    found = load(folder)
    assert {"bert.pooler.dense.weight", "bert.pooler.dense.bias"} < found.new
    assert found.start.words() == "37 tensors copied; 4 fresh: bert.pooler.dense, classifier"
    parts = assemble(*toy(tmp_path), "model=custom", f"model.path={folder}", "freeze=trunk")
    assert {"bert.pooler.dense.weight", "classifier.weight"} < parts.freeze.ever


def test_every_tensor_of_both_sides_is_told(classifier: Path) -> None:
    """Copied from the checkpoint with its values, fresh, or left behind: nothing is missing, and nothing twice."""
    head = {"num_labels": 3, "id2label": {0: "a", 1: "b", 2: "c"}, "label2id": {"a": 0, "b": 1, "c": 2}}
    found = pretrained.load(
        classifier, "AutoModelForTokenClassification", head, pretrained=True, max_length=32, seed=0, name="m"
    )
    stored, model = load_file(classifier / "model.safetensors"), found.model.state_dict()
    assert all(torch.equal(stored[name], model[name]) for name in found.start.copied)
    assert sorted([*found.start.copied, *found.start.fresh]) == sorted(model)
    assert {*found.start.copied, *found.start.left} == stored.keys()
    assert found.start.left == (*sorted(name for name in stored if "classifier" in name or "pooler" in name),)
    assert found.start.fresh == ("classifier.weight", "classifier.bias")


def test_only_what_the_pattern_finds_is_copied(classifier: Path) -> None:
    stored = load_file(classifier / "model.safetensors")
    found, again, other = (load(classifier, copy=r"embeddings|layer\.0\.", seed=seed) for seed in (3, 3, 4))
    wanted = {name for name in stored if "embeddings" in name or "layer.0." in name}
    assert {*found.start.copied} == wanted
    assert {*found.start.fresh} == {*found.start.left} == stored.keys() - wanted
    for name, tensor in found.model.state_dict().items():
        assert torch.equal(tensor, stored[name]) or name in found.start.fresh, name
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    drawn = "bert.encoder.layer.1.output.dense.weight"
    values = [model.state_dict()[drawn] for model in (found.model, other.model)] + [stored[drawn]]
    assert len({tensor.sum().item() for tensor in values}) == 3  # each seed its own, and neither is the checkpoint's


def test_a_pattern_that_copies_nothing_is_refused(classifier: Path) -> None:
    with pytest.raises(BadOption, match=r"model\.copy: 'nothing' matches no tensor; names look like bert\.embeddings"):
        load(classifier, copy="nothing")


@pytest.mark.parametrize(
    ("head", "kept"), [(HEAD, True), (HEAD | {"id2label": {0: "bad", 1: "good"}}, False)], ids=["same", "other"]
)
def test_a_head_of_ours_is_kept_for_the_same_labels(bert: Path, tmp_path: Path, head: Any, kept: bool) -> None:
    dense = Design("dense", pooling="mean")
    first = load(bert, design=dense, seed=5)
    saved.save(tmp_path / "saved", first.model, first.tokenizer, "card")
    found = load(tmp_path / "saved", head, design=dense)
    same = torch.equal(found.model.head.classifier.weight, first.model.head.classifier.weight)
    theirs = ("head.classifier.bias", "head.classifier.weight")
    assert same == kept
    assert {*found.start.fresh} == (set() if kept else {*theirs})
    assert found.start.left == (() if kept else theirs)
    other = load(tmp_path / "saved", head, design=Design("mlp"))
    assert other.start.left == theirs  # of another design
    assert load(tmp_path / "saved", head).start.left == theirs  # nor is it transformers' own


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["a.layer.0.q.weight", "a.layer.0.q.bias", "a.layer.1.q.weight", "a.layer.1.q.bias"],
            ["a.layer.{0-1}.q.{weight,bias}"],
        ),
        (["h.0.w", "h.2.w", "h.3.w"], ["h.{0,2,3}.w"]),
        (["block.4.layer.1.w", "block.5.layer.1.w"], ["block.{4-5}.layer.1.w"]),
        (["scale", "shift", "a.w"], ["scale", "shift", "a.w"]),
    ],
)
def test_names_that_differ_in_a_number_are_told_together(names: list[str], said: list[str]) -> None:
    assert together(names) == said


def test_a_max_length_beyond_the_model_is_refused(bert: Path) -> None:
    with pytest.raises(BadOption, match=r"task.max_length=65, but m reads at most 64 tokens: type task.max_length=64"):
        load(bert, max_length=65)


def test_positions_that_roberta_keeps_for_padding_do_not_count(tmp_path: Path) -> None:
    """Its position table has two rows that no token uses; without model_max_length only the table tells."""
    folder = FAMILIES["roberta"](tmp_path / "model")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["model_max_length"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(BadOption, match="reads at most 64 tokens"):
        load(folder, max_length=65)
    found = load(folder, max_length=64)
    batch = found.tokenizer(["the film " * 64], truncation=True, max_length=64, return_tensors="pt")
    assert found.model(**batch).logits.shape == (1, 2)


def spoil(name: str, content: bytes | None) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        (folder / name).unlink() if content is None else (folder / name).write_bytes(content)

    return act


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


DAMAGE = {
    "cut weights": cut,
    "no weights": spoil("model.safetensors", None),
    "empty weights": spoil("model.safetensors", b""),
    "text for weights": spoil("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n"),
    "no config": spoil("config.json", None),
    "config is no JSON": spoil("config.json", b"{"),
    "unknown architecture": spoil("config.json", b'{"model_type": "unheard-of"}'),
    "tokenizer is no JSON": spoil("tokenizer.json", b"{"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_told_in_one_line(damage: str, bert: Path, tmp_path: Path) -> None:
    folder = copy(bert, tmp_path / "damaged")
    DAMAGE[damage](folder)
    with pytest.raises(BadInput, match=r"^model.path: .*damaged cannot be loaded: ") as caught:
        load(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_weights_of_another_architecture_are_refused(bert: Path, tmp_path: Path) -> None:
    folder = copy(bert, tmp_path / "strange")
    save_file({"strange.weight": torch.zeros(2, 2)}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInput, match="its weights are not those of a BertForSequenceClassification"):
        load(folder)


def test_a_pickle_is_never_read(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy(bert, tmp_path / "pickle")
    (folder / "model.safetensors").unlink()
    torch.save(transformers.AutoModel.from_pretrained(bert).state_dict(), folder / "pytorch_model.bin")

    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("a pickle was read")

    monkeypatch.setattr(torch, "load", read)
    monkeypatch.setattr("pickle.load", read)
    with pytest.raises(BadInput, match="cannot be loaded") as caught:
        load(folder)
    assert "a pickle was read" not in str(caught.value)


def test_code_in_a_model_folder_is_not_run(bert: Path, tmp_path: Path) -> None:
    folder = copy(bert, tmp_path / "code")
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(BadInput, match="cannot be loaded"):
        load(folder)
    assert not (tmp_path / "ran").exists()
