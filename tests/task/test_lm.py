"""Language modelling: blocks of a stream, masks, scores by hand, and a start for other tasks."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

from composing import compose
from conftest import WORDS
from finished_objects import toy
from kind_runs import assert_any_cut_gives_the_same_gradient
from tiny_models import FAMILIES
from tl_run import disk, task
from tl_run.config.check import check
from tl_run.data.blocks import Blocks, mask, surroundings
from tl_run.data.text_reader import read_text
from tl_run.errors import BadInput

LINES = [" ".join(WORDS[(i * k) % len(WORDS)] for k in range(1, 5 + i % 7)) for i in range(60)]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("\n\n".join(LINES) + "\n", encoding="utf-8")
    return path


def kind(*overrides: str):
    return task.load(check(compose("task=lm", "task.train=x.txt", *overrides)).task)


def test_text_is_read_by_lines_or_whole():
    by_line = read_text("a.txt", b"one\n\n two \r\n", documents="line", column="text")
    assert [row["text"] for row in by_line.rows] == ["one", " two "]
    assert by_line.lines == [1, 3]
    whole = read_text("a.txt", b"one\n\ntwo", documents="file", column="text")
    assert [row["text"] for row in whole.rows] == ["one\n\ntwo"]
    with pytest.raises(BadInput, match=r"a.txt: holds no text"):
        read_text("a.txt", b"\n  \n", documents="line", column="text")


def test_blocks_hold_the_whole_stream(bert):
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    blocks = Blocks.stream(LINES, tokenizer, 16, [], "")
    assert surroundings(tokenizer) == ([tokenizer.cls_token_id], [tokenizer.sep_token_id])
    assert set(blocks.lengths[:-1]) == {16}
    inside = np.ones(blocks.offsets[-1], bool)
    inside[blocks.offsets[:-1]] = inside[blocks.offsets[1:] - 1] = False
    expected = [i for line in LINES for i in [*tokenizer(line, add_special_tokens=False)["input_ids"], 3]]
    assert tokenizer.sep_token_id == 3
    assert blocks.columns["input_ids"][inside].tolist() == expected
    words = blocks.targets.values
    assert (words[~inside] == -1).all()
    of = blocks.document(words[words >= 0])
    assert np.bincount(of).tolist() == [len(tokenizer(line, add_special_tokens=False)["input_ids"]) for line in LINES]


@pytest.mark.parametrize("whole_words", [False, True])
def test_masks_have_their_shares_and_only_their_draw_decides(whole_words):
    words = np.repeat(np.arange(200), np.arange(200) % 3 + 1)
    words[::50] = -1
    row = np.arange(len(words)) + 1000
    options = {"whole_words": whole_words, "size": 500, "mask_id": 7}
    counts = np.zeros(3)
    for draw in range(200):
        hidden, chosen = mask(row, words, 0.2, draw=(1, draw), **options)
        again = mask(row, words, 0.2, draw=(1, draw), **options)
        assert (hidden == again[0]).all()
        assert not chosen[words < 0].any()
        assert (hidden[~chosen] == row[~chosen]).all()
        assert chosen.sum() <= round(0.2 * (words >= 0).sum())
        assert whole_words or chosen.sum() == round(0.2 * (words >= 0).sum())
        if whole_words:
            touched = np.unique(words[chosen])
            assert (np.isin(words, touched) == chosen).all()
        counts += [
            (hidden[chosen] == 7).sum(),
            (hidden[chosen] == row[chosen]).sum(),
            ((hidden < 500) & (hidden != 7))[chosen].sum(),
        ]
    assert counts / counts.sum() == pytest.approx([0.8, 0.1, 0.1], abs=0.02)
    assert (mask(row, words, 0.2, draw=(1, 0), **options)[1] != mask(row, words, 0.2, draw=(2, 0), **options)[1]).any()


@pytest.mark.parametrize("objective", ["masked", "causal"])
def test_perplexity_is_the_formula(objective, tmp_path):
    folder = FAMILIES["bert" if objective == "masked" else "gpt2"](tmp_path / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    made = kind(f"task.objective={objective}", "task.max_length=16")
    documents = [SimpleNamespace(id=str(i), text=line) for i, line in enumerate(LINES[:9])]
    encoded = made.encode(documents, tokenizer)
    batch = made.collate(encoded, np.arange(len(encoded)), {"input_ids": tokenizer.pad_token_id})
    torch.manual_seed(0)
    logits = torch.randn(*batch["input_ids"].shape, len(tokenizer))
    outputs = SimpleNamespace(logits=logits)
    found = made.gather(made.decode(outputs, batch, None), encoded)
    log = logits.double().log_softmax(-1)
    sought, words = batch["labels"].unbind(1)
    lost, right, every = 0.0, [], 0.0
    for row in range(len(encoded)):
        for column in range(sought.shape[1]):
            place = column if objective == "masked" else column - 1
            if sought[row, column] == -100 or place < 0:
                continue
            value = -log[row, place, sought[row, column]].item()
            every += value
            if words[row, column] >= 0:
                lost += value
                right.append(log[row, place].argmax().item() == sought[row, column].item())
    scores = made.metrics(found, encoded)
    assert scores["perplexity"] == pytest.approx(math.exp(lost / len(right)), rel=1e-5)
    assert scores["accuracy"] == pytest.approx(np.mean(right))
    assert made.loss(outputs, batch).item() == pytest.approx(every, rel=1e-5)
    if objective == "causal":
        characters = sum(len(line) for line in LINES[:9])
        assert scores["bits_per_character"] == pytest.approx(lost / math.log(2) / characters, rel=1e-5)
        assert made.weight(encoded, np.arange(len(encoded))) == (sought[:, 1:] != -100).sum()


@pytest.mark.parametrize("objective", ["masked", "causal"])
def test_any_cut_gives_the_same_gradient(objective, corpus, tmp_path):
    folder = FAMILIES["bert" if objective == "masked" else "gpt2"](tmp_path / "model")
    options = ["task=lm", f"task.train={corpus}", "task.max_length=16", f"task.objective={objective}", "hardware=cpu"]
    assert_any_cut_gives_the_same_gradient(*options, "model=custom", f"model.path={folder}", "training.batch_size=8")


@pytest.mark.parametrize("more", [["task.whole_words=true"], ["hardware.precision=bf16"]], ids=str)
def test_what_is_pretrained_is_where_another_task_starts(more, corpus, tmp_path, tl_run, capsys):
    small = ["model=transformer-small", "model.hidden=16", "model.layers=2", "model.feed_forward=32"]
    small += ["model.vocabulary=300", "task.max_length=32", "optimizer.lr=0.01", "training.epochs=8"]
    assert tl_run("task=lm", f"task.train={corpus}", *small, *more, "hydra.run.dir=first") == 0
    records = [json.loads(line) for line in Path("first/metrics.jsonl").read_text().splitlines()]
    scores = [record["perplexity"] for record in records if record["kind"] == "validation"]
    assert scores[-1] < 0.8 * scores[0]
    result = json.loads(Path("first/result.json").read_text())
    assert result["validation"]["perplexity"] == min(scores)
    lines = [json.loads(line) for line in Path("first/predictions-validation.jsonl").read_text().splitlines()]
    assert {*lines[0]} == {"id", "text", "tokens", "perplexity"}
    capsys.readouterr()
    assert tl_run(*toy(tmp_path), "model=custom", "model.path=first/model", "freeze=trunk", "hydra.run.dir=second") == 0
    first, second = (
        transformers.AutoModel.from_pretrained(f"{name}/model").state_dict() for name in ("first", "second")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_stopped_run_draws_the_same_masks(corpus, bert, tl_run, monkeypatch, capsys):
    options = ["task=lm", f"task.train={corpus}", "task.max_length=16", "model=custom", f"model.path={bert}"]
    options += ["training.batch_size=8", "training.checkpoint_every=1", "training.epochs=2"]
    assert tl_run(*options, "hydra.run.dir=whole") == 0
    done = []

    def stop(operation: str, path: Path) -> None:
        done.append(path)
        if len(done) == 40:
            raise OSError(28, "no space")

    monkeypatch.setattr(disk, "hook", stop)
    assert tl_run(*options, "hydra.run.dir=stopped") == 5
    monkeypatch.setattr(disk, "hook", lambda operation, path: None)
    capsys.readouterr()
    assert tl_run("resume=stopped") == 0
    assert "going on from step" in capsys.readouterr().out
    weights = [Path(run, "model/model.safetensors").read_bytes() for run in ("whole", "stopped")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("family", "objective", "words"),
    [("gpt2", "masked", "task.objective=causal"), ("bert", "masked", "")],
)
def test_an_objective_that_the_model_lacks_is_refused(family, objective, words, corpus, tmp_path, tl_run, capsys):
    folder = FAMILIES[family](tmp_path / "model")
    code = tl_run("task=lm", f"task.train={corpus}", "task.max_length=16", "model=custom", f"model.path={folder}")
    assert code == (2 if words else 0)
    assert words in capsys.readouterr().err
