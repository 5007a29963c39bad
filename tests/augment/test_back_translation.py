"""Texts translated there and back: once, kept in the cache, and read in place of others."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from composing import compose
from conftest import bert_folder
from finished_objects import assemble, toy
from tl_run import cache, embedded
from tl_run.augment import translation
from tl_run.augment.back_translation import Said
from tl_run.config import check
from tl_run.errors import BadInput, BadOption

TINY = "embedded:tiny-generation"
ASKED = ("augment=back_translation", f"augment.there={TINY}", f"augment.back={TINY}", "augment.max_length=12")


@pytest.fixture
def upside_down(monkeypatch):
    """Translators that turn the letters of a text round, and say how often they were asked."""
    asked = []

    def written(texts, folder, beams, max_length, hardware):
        asked.append(len(texts))
        torch.rand(3)
        return [text[::-1] + "?" for text in texts]

    monkeypatch.setattr(translation, "_written", written)
    return asked


def test_a_text_goes_there_and_back(upside_down, tmp_path):
    parts = assemble(*toy(tmp_path), *ASKED, "augment.share=1")
    task, train, rows = parts.method.task, parts.encoded["train"], np.array([3, 0])
    before = torch.random.get_rng_state()
    batch = task.collate_training(train, rows, parts.found.pad, 0, 0)
    assert torch.equal(torch.random.get_rng_state(), before)
    texts = [f"?{parts.job.splits.train[i].text}?" for i in rows]
    expected = parts.found.tokenizer(texts, padding=True, return_tensors="pt")["input_ids"]
    assert torch.equal(batch["input_ids"], expected)
    assert batch["labels"].tolist() == [parts.job.splits.train[i].label for i in rows]
    assert upside_down == [len({example.text for example in parts.job.splits.train})] * 2
    assert Said({"a": "", "b": "c"}).text("a") == "a"


def test_a_share_of_the_examples_other_ones_in_each_epoch(upside_down, tmp_path):
    parts = assemble(*toy(tmp_path), *ASKED, "augment.share=0.25")
    task, train = parts.method.task, parts.encoded["train"]
    question = parts.found.tokenizer("?", add_special_tokens=False)["input_ids"][0]

    def translated(epoch):
        rows = np.arange(len(train))
        batch = task.collate_training(train, rows, parts.found.pad, 0, epoch)
        return (batch["input_ids"] == question).any(1)

    shares = torch.stack([translated(epoch) for epoch in range(20)])
    assert 0.2 < shares.float().mean() < 0.3
    assert (shares[0] != shares[1]).any()
    assert (translated(0) == shares[0]).all()
    assert len(upside_down) == 2


def test_a_real_model_writes_once_and_the_cache_has_it_afterwards(tmp_path, monkeypatch):
    options = toy(tmp_path)
    texts = ["the film was good", "a dull plot", ""]
    parts = assemble(*options, *ASKED)
    folder = parts.job.translators["there"]
    how = {"beams": 2, "max_length": 12, "hardware": parts.hardware}
    found = translation.translated(texts, folder, {"w": "1"}, **how)
    assert len(found) == 3
    assert any(found)
    monkeypatch.setattr(translation, "_written", lambda *_: pytest.fail("asked again"))
    assert translation.translated(texts, folder, {"w": "1"}, **how) == found
    with pytest.raises(pytest.fail.Exception):
        translation.translated(texts, folder, {"w": "2"}, **how)
    assert [*(cache.folder() / "translations").iterdir()]


def test_a_run_with_and_without_the_cache_is_the_same(tl_run, tmp_path):
    command = [*toy(tmp_path), *ASKED, "training.epochs=1", "training.log_every=1"]
    assert tl_run(*command, "hydra.run.dir=cold") == 0
    assert tl_run(*command, "hydra.run.dir=warm") == 0
    cold, warm = (Path(name, "predictions-test.jsonl").read_text() for name in ("cold", "warm"))
    assert cold == warm


def test_whose_weights_translate_tells_runs_apart_and_not_where_they_lie(tmp_path):
    folder = tmp_path / "copied"
    shutil.copytree(embedded.locate(TINY), folder)
    one = assemble(*toy(tmp_path), *ASKED).job.identity
    same = assemble(*toy(tmp_path), *ASKED, f"augment.there={folder}").job.identity
    other = assemble(*toy(tmp_path), *ASKED, "augment.beams=1").job.identity
    assert one == same
    assert one != other


def test_what_cannot_translate_is_refused(tmp_path):
    encoder = bert_folder(tmp_path / "bert")
    with pytest.raises(BadOption, match=r"augment\.back: a bert is no encoder-decoder: type one that translates"):
        assemble(*toy(tmp_path), *ASKED, f"augment.back={encoder}")
    with pytest.raises(BadOption, match=r"reads at most 48 tokens: type augment.max_length=48"):
        assemble(*toy(tmp_path), *ASKED, "augment.max_length=64")
    with pytest.raises(BadInput, match=r"augment\.there"):
        assemble(*toy(tmp_path), *ASKED, f"augment.there={tmp_path / 'nowhere'}/")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "augment.there is required: type augment.there="),
        ((*ASKED, "task=tagging-demo"), "no text that may change while its labels stay"),
        ((*ASKED, "task=lm-demo"), "type augment=none"),
    ],
)
def test_what_cannot_be_is_said(options, said):
    with pytest.raises(BadOption) as failure:
        check.check(compose("augment=back_translation", *options))
    assert said in str(failure.value)
