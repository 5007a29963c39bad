"""Model folders from anyone: said in a line what is wrong with them; nothing in them runs, and none is half right."""

import json
import shutil
import time
from pathlib import Path

import hostile_files as hostile
import pytest
import torch
from safetensors.torch import load_file, save_file

GIVEN = ["task=classification", "task.train=train.csv", "task.max_length=16", "model=custom", "model.path=./theirs"]
TABLE = "text,label\n" + "".join(f"the film {i} was {word},{word}\n" for i in range(12) for word in ("good", "bad"))


@pytest.fixture
def theirs(bert, tmp_path) -> Path:
    (tmp_path / "train.csv").write_text(TABLE)
    shutil.copytree(bert, tmp_path / "theirs")
    return Path("theirs")


def settings(folder: Path, name: str = "config.json", **changes) -> bytes:
    return json.dumps(json.loads((folder / name).read_text()) | changes).encode()


def tensors(folder: Path, change) -> None:
    found = load_file(folder / "model.safetensors")
    save_file({name: change(name, tensor) for name, tensor in found.items()}, folder / "model.safetensors")


REMOTE = {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil", "AutoModelForSequenceClassification": "evil.Evil"}
REMOTE |= {"AutoTokenizer": ["evil.Evil", None]}

BROKEN = {
    "no config": ({"config.json": None}, 2, "this folder lacks config (config.json)"),
    "an empty config": ({"config.json": b""}, 2, "config.json"),
    "half a config": ({"config.json": b'{"model_type": "be'}, 2, "config.json"),
    "a config that is a list": ({"config.json": b"[]"}, 2, "theirs"),
    "a deep config": ({"config.json": hostile.DEEP_OBJECT}, 2, "theirs"),
    "a config of no type": ({"config.json": b"{}"}, 2, "theirs"),
    "a config of an unknown type": ({"config.json": b'{"model_type": "gpt9"}'}, 2, "gpt9"),
    "a config that is a pickle": ({"config.json": hostile.PICKLE}, 2, "theirs"),
    "no weights": ({"model.safetensors": None}, 2, "this folder lacks weights (*.safetensors)"),
    "weights as a pickle": ({"model.safetensors": None, "pytorch_model.bin": hostile.PICKLE}, 2, "no pickle (.bin)"),
    "a pickle by our name": ({"model.safetensors": hostile.PICKLE}, 2, "theirs"),
    "empty weights": ({"model.safetensors": b""}, 2, "theirs"),
    "a huge header": ({"model.safetensors": hostile.HUGE_HEADER}, 2, "theirs"),
    "a long header": ({"model.safetensors": hostile.LONG_HEADER}, 2, "theirs"),
    "no tokenizer": ({"tokenizer.json": None, "tokenizer_config.json": None}, 2, "this folder lacks tokenizer"),
    "half a tokenizer": ({"tokenizer.json": b'{"version": "1'}, 2, "theirs"),
    "a tokenizer that is a pickle": ({"tokenizer.json": hostile.PICKLE}, 2, "theirs"),
    "an index to elsewhere": (
        {"model.safetensors": None, "model.safetensors.index.json": b'{"weight_map": {"x": "../../x.safetensors"}}'},
        2,
        "theirs",
    ),
    "a deep index": ({"model.safetensors.index.json": hostile.DEEP_OBJECT}, 2, "a readable model.safetensors.index"),
    "an adapter alone": (
        {
            "config.json": None,
            "model.safetensors": None,
            "adapter_config.json": b"{}",
            "adapter_model.safetensors": b"",
        },
        2,
        "an adapter",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_told_in_a_line(case, theirs, tl_run, capsys, tmp_path):
    files, wanted, words = BROKEN[case]
    hostile.put(theirs, files)
    began = time.process_time()
    code = tl_run(*GIVEN)
    err = capsys.readouterr().err
    assert time.process_time() - began < 5
    assert code == wanted, err
    assert words in err
    assert len(err.splitlines()) <= 3
    assert not (tmp_path / "RAN").exists()
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_that_a_folder_brings_is_never_imported(name, theirs, tl_run, capsys, tmp_path):
    hostile.put(theirs, {"evil.py": hostile.CODE, name: settings(theirs, name, auto_map=REMOTE, _target_="evil.Evil")})
    assert tl_run(*GIVEN, "--plan") in (0, 2)
    hostile.put(theirs, {name: settings(theirs, name, model_type="evil", tokenizer_class="Evil", auto_map=REMOTE)})
    assert tl_run(*GIVEN, "--plan") in (0, 2)
    assert not (tmp_path / "RAN").exists()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vocab_size": 10**12}, "theirs"),
        ({"hidden_size": 10**9}, "theirs"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers=1000000000, and no model has so many"),
        ({"hidden_size": -1}, "theirs"),
        ({"hidden_size": "wide"}, "theirs"),
        ({"num_attention_heads": 0}, "theirs"),
        ({"hidden_size": 32, "intermediate_size": 64}, "its weights are not those of"),
        ({"vocab_size": 4}, "word_embeddings.weight has another shape in its weights than config.json says"),
    ],
    ids=str,
)
def test_a_config_that_does_not_fit_its_weights(changes, words, theirs, tl_run, capsys, tmp_path):
    hostile.put(theirs, {"config.json": settings(theirs, **changes)})
    began = time.process_time()
    code = tl_run(*GIVEN, "--plan")
    err = capsys.readouterr().err
    assert time.process_time() - began < 5
    assert code in (2, 5), err
    assert words in err
    assert len(err.splitlines()) <= 3


def test_weights_that_are_no_numbers_are_told(theirs, tl_run, capsys):
    tensors(theirs, lambda name, t: torch.full_like(t, float("nan")) if "layer.1." in name else t)
    assert tl_run(*GIVEN, "--plan") == 2
    err = capsys.readouterr().err
    assert "theirs: there is " in err
    assert "NaN" in err
    assert "encoder.layer.1." in err


def test_half_a_file_of_weights(theirs, tl_run, capsys):
    data = (theirs / "model.safetensors").read_bytes()
    (theirs / "model.safetensors").write_bytes(data[: len(data) // 2])
    assert tl_run(*GIVEN, "--plan") == 2
    assert "theirs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("model.path=./empty", "this folder lacks config (config.json)"),
        ("model.path=./train.csv", "a file, not a folder"),
        ("model.path=./mine", "it is a run folder: type model.path=mine/model"),
        ("model.path=./mine/checkpoints", "lacks config"),
        ("model.path=./mine/checkpoints/step-00000002", "it is a checkpoint of a run: type resume=mine alone"),
    ],
)
def test_another_folder_than_a_models(typed, words, theirs, tl_run, capsys):
    Path("empty").mkdir()
    assert tl_run(*GIVEN, "training.max_steps=2", "hydra.run.dir=mine") == 0
    capsys.readouterr()
    assert tl_run(*GIVEN, typed, "--plan") == 2
    assert words in capsys.readouterr().err
