"""Tokens hidden or left out: by hand, what must stay, and labels that stay right."""

import numpy as np
import pytest

from composing import compose
from finished_objects import assemble, toy
from tiny_models import gpt2
from tl_run.augment.token_dropout import dropped, hidden
from tl_run.config import check
from tl_run.data.encoded import Encoded
from tl_run.errors import BadOption

ROWS = Encoded(
    np.array([0, 3, 5]),
    {"input_ids": np.array([1, 2, 3, 4, 5]), "entities": np.array([0, 1, 0, 0, 2])},
    ["a", "b"],
    np.zeros(2),
)
CHOSEN = np.array([False, True, False, True, True])


def test_tokens_are_hidden_or_left_out():
    assert hidden(ROWS, CHOSEN, 9).columns["input_ids"].tolist() == [1, 9, 3, 9, 9]
    made = dropped(ROWS, CHOSEN)
    assert made.offsets.tolist() == [0, 2, 3]  # of a row without any token left the first one stays
    assert made.columns["input_ids"].tolist() == [1, 3, 4]
    assert made.columns["entities"].tolist() == [0, 0, 0]


def row(encoded, number):
    return encoded.columns["input_ids"][encoded.offsets[number] : encoded.offsets[number + 1]]


def made(*overrides, epoch=0):
    parts = assemble("augment=token_dropout", "augment.rate=1", *overrides)
    return parts, parts.encoded["train"], parts.method.task.make(parts.encoded["train"], 0, epoch)


def test_special_tokens_stay_and_every_other_one_may_go(tmp_path):
    for how, token in (("mask", "[MASK]"), ("unk", "[UNK]")):
        parts, _, changed = made(*toy(tmp_path), f"augment.how={how}")
        names = parts.found.tokenizer.convert_ids_to_tokens(row(changed, 0).tolist())
        assert names == ["[CLS]", *[token] * (len(names) - 2), "[SEP]"]
    parts, _, changed = made(*toy(tmp_path), "augment.how=drop")
    assert {*changed.lengths.tolist()} == {2}
    batch = parts.method.task.collate_training(parts.encoded["train"], np.arange(3), parts.found.pad, 0, 0)
    assert batch["attention_mask"].tolist() == [[1, 1]] * 3


def test_as_many_as_the_rate_says_and_others_in_each_epoch(tmp_path):
    parts = assemble(*toy(tmp_path), "augment=token_dropout", "augment.rate=0.25")
    train, task = parts.encoded["train"], parts.method.task
    one, other = task.make(train, 0, 0), task.make(train, 0, 1)
    free = task._free[id(train)]
    changed = one.columns["input_ids"] != train.columns["input_ids"]
    assert 0.15 < changed[free].mean() < 0.35
    assert not changed[~free].any()
    assert (one.columns["input_ids"] != other.columns["input_ids"]).any()
    assert (task.make(train, 0, 0).columns["input_ids"] == one.columns["input_ids"]).all()


def test_the_marks_of_entities_stay():
    parts, train, changed = made("task=relation-demo")
    marks = {*parts.found.tokenizer("@ #", add_special_tokens=False)["input_ids"]}
    kept = changed.columns["input_ids"][changed.columns["input_ids"] == train.columns["input_ids"]]
    assert {*kept.tolist()} == {*parts.found.tokenizer.all_special_ids} & {*kept.tolist()} | marks
    assert (changed.columns["entities"] == train.columns["entities"]).all()
    _, train, changed = made("task=relation-demo", "augment.how=drop")
    assert (changed.columns["entities"] > 0).sum() == 2 * len(train)
    assert {*changed.lengths.tolist()} == {6}  # [CLS] @ @ # # [SEP]


def test_answers_stay():
    parts, train, changed = made("task=qa-demo")
    for number, (first, last) in enumerate(train.labels[:20].tolist()):
        same = row(changed, number) == row(train, number)
        assert same[first : last + 1].all()
        names = parts.found.tokenizer.convert_ids_to_tokens(row(changed, number).tolist())
        if first:
            assert {*names[:first], *names[last + 1 :]} <= {"[CLS]", "[SEP]", "[MASK]"}


def test_the_predicate_stays_and_so_do_its_marks():
    parts, _, changed = made("task=srl-demo")
    example = parts.job.splits.train[0]
    text = parts.found.tokenizer.decode(row(changed, 0))
    word = example.tokens[example.predicate].lower()
    shown = parts.found.tokenizer.decode(parts.found.tokenizer(word, add_special_tokens=False)["input_ids"])
    assert text.replace("[MASK]", "").split() == f"[CLS] {shown} : [ {shown} ] [SEP]".split()
    tagged, train, _ = made("task=tagging-demo")
    batch = tagged.method.task.collate_training(train, np.arange(4), tagged.found.pad, 0, 0)
    plain = tagged.job.task.collate(train, np.arange(4), tagged.found.pad)
    assert (batch["labels"] == plain["labels"]).all()
    assert (batch["input_ids"] != plain["input_ids"]).any()


def test_both_towers_are_changed():
    parts, train, changed = made("task=similarity-demo")
    assert (changed.members == train.members).all()
    batch = parts.method.task.collate_training(train, np.arange(3), parts.found.pad, 0, 0)
    assert {*parts.found.tokenizer.convert_ids_to_tokens(batch["input_ids"].unique().tolist())} <= {
        *("[CLS]", "[SEP]", "[MASK]", "[PAD]")
    }


def test_a_rate_of_0_changes_no_bit(tmp_path):
    for how in ("mask", "drop"):
        parts = assemble(*toy(tmp_path), "augment=token_dropout", "augment.rate=0", f"augment.how={how}")
        train = parts.encoded["train"]
        same = parts.method.task.make(train, 0, 0)
        assert (same.offsets == train.offsets).all()
        assert all((same.columns[name] == train.columns[name]).all() for name in train.columns)


@pytest.mark.parametrize("how", ["mask", "unk"])
def test_a_tokenizer_without_such_a_token(how, tmp_path):
    folder = gpt2(tmp_path / "gpt2")
    with pytest.raises(BadOption, match=f"augment.how={how}: this tokenizer has no such token: type augment.how=drop"):
        assemble(*toy(tmp_path), "model=custom", f"model.path={folder}", "augment=token_dropout", f"augment.how={how}")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("task=tagging-demo", "augment.how=drop"), "learns labels of places, which would move: type augment.how=mask"),
        (("task=qa-demo", "augment.how=drop"), "learns labels of places"),
        (("task=lm-demo",), "no tokens are read of which some may be missing; it goes with classification"),
        (("task=generation-demo",), "type augment=none"),
        (("task=images-demo",), "type augment=images, or augment=none"),
        (("augment.rate=2",), "augment.rate: 2 must be at most 1"),
    ],
)
def test_what_cannot_be_is_said(options, said):
    with pytest.raises(BadOption) as failure:
        check.check(compose("augment=token_dropout", *options))
    assert said in str(failure.value)
