"""Pairs of segments: how they are cut and drawn, both losses by the formula, and what a run leaves."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

import tl_run as package
from composing import compose
from conftest import WORDS
from finished_objects import assemble, toy
from kind_runs import assert_any_cut_gives_the_same_gradient
from tiny_models import FAMILIES
from tl_run import task
from tl_run.config.check import check
from tl_run.data.segments import Segments
from tl_run.errors import BadInput, BadOption
from tl_run.task.lm import Document
from tl_run.task.next_sentence import NextSentence

LINES = [" ".join(WORDS[(i * k) % len(WORDS)] for k in range(1, 3 + i % 23)) for i in range(60)]
ASKED = ["task=lm", "task.next_sentence=true", "task.max_length=16", "hardware=cpu"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def kind(*overrides: str):
    return task.load(check(compose(*ASKED, "task.train=x.txt", *overrides)).task)


def encoded(bert: Path, *overrides: str) -> tuple[NextSentence, Segments]:
    made = kind(*overrides)
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    return made, made.encode([Document(str(i), line) for i, line in enumerate(LINES)], tokenizer)


def halves(pairs: Segments, row: int, columns: str = "input_ids") -> list[list[int]]:
    """The two segments of a row, without what marks them."""
    start, end = pairs.offsets[row], pairs.offsets[row + 1]
    values = pairs.columns[columns][start:end].tolist()
    return [values[1 : pairs.second[row] - 1], values[pairs.second[row] : -1]]


def test_pairs_hold_all_of_each_document_in_its_order(bert):
    _, pairs = encoded(bert)
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    assert pairs.lengths.max() <= 16
    for number, line in enumerate(LINES):
        found = [i for row in np.flatnonzero(pairs.owner == number) for half in halves(pairs, row) for i in half]
        expected = tokenizer(line, add_special_tokens=False)["input_ids"]
        assert found == expected[: len(found)]
        assert len(expected) - len(found) <= 1
    both = tokenizer(tokenizer.decode(halves(pairs, 9)[0]), tokenizer.decode(halves(pairs, 9)[1]))
    start, end = pairs.offsets[9], pairs.offsets[10]
    assert pairs.columns["input_ids"][start:end].tolist() == both["input_ids"]
    assert pairs.columns["token_type_ids"][start:end].tolist() == both["token_type_ids"]
    words = pairs.targets.values
    for row in range(len(pairs)):  # no word is cut in two
        one, other = words[pairs.offsets[row] :][: pairs.second[row]], words[pairs.offsets[row] + pairs.second[row] :]
        assert one.max() < other[0]


def test_every_other_second_segment_is_of_another_document_and_only_its_draw_decides(bert):
    made, pairs = encoded(bert, "task.mask_share=0.01")
    rows = np.arange(len(pairs))
    own, others = [], set()
    for epoch in range(40):
        partners = np.array([pairs.partner(row, (1, 0, epoch)) for row in rows])
        own.append((partners == rows).mean())
        strange = partners != rows
        assert (pairs.owner[partners[strange]] != pairs.owner[rows[strange]]).all()
        others |= {*partners[strange].tolist()}
    assert np.mean(own) == pytest.approx(0.5, abs=0.03)
    assert others == {*rows.tolist()}
    pad = {"input_ids": 0}
    fixed = [made.collate(pairs, np.array(part), pad) for part in ([3, 8], [8])]
    assert torch.equal(fixed[0]["labels"][1, :, : fixed[1]["labels"].shape[2]], fixed[1]["labels"][0])
    for seed, epoch, same in ((0, 0, True), (0, 1, False), (1, 0, False)):
        first, again = (made.collate_training(pairs, rows, pad, *draw) for draw in ((0, 0), (seed, epoch)))
        assert torch.equal(first["labels"][:, 2, 0], again["labels"][:, 2, 0]) is same
    ids, drawn = first["input_ids"], first["labels"][:, 2, 0]
    for row in rows.tolist():  # what is said to follow does
        partner = pairs.partner(row, (1, 0, 0))
        assert drawn[row] == (partner != row)
        hidden = first["labels"][row, 0] != -100
        expected = [2, *halves(pairs, row)[0], 3, *halves(pairs, partner)[1], 3]
        ids[row][hidden] = first["labels"][row, 0][hidden]
        assert ids[row, : len(expected)].tolist() == expected
        types = [0] * pairs.second[row] + [1] * (len(expected) - pairs.second[row])
        assert first["token_type_ids"][row, : len(expected)].tolist() == types


def test_both_losses_are_their_formulas(bert):
    made, pairs = encoded(bert)
    batch = made.collate(pairs, np.arange(len(pairs)), {"input_ids": 0})
    torch.manual_seed(0)
    outputs = SimpleNamespace(
        prediction_logits=torch.randn(*batch["input_ids"].shape, made.size),
        seq_relationship_logits=torch.randn(len(pairs), 2),
    )
    words = outputs.prediction_logits.double().log_softmax(-1)
    decisions = outputs.seq_relationship_logits.double().log_softmax(-1)
    total, right = 0.0, 0
    for row in range(len(pairs)):
        sought, answer = batch["labels"][row, 0], int(batch["labels"][row, 2, 0])
        places = [i for i, token in enumerate(sought.tolist()) if token != -100]
        total -= sum(words[row, i, sought[i]].item() for i in places) + len(places) * decisions[row, answer].item()
        right += int(decisions[row].argmax() == answer)
    assert made.loss(outputs, batch).item() == pytest.approx(total, rel=1e-5)
    found = made.gather(made.decode(outputs, batch, None), pairs)
    assert made.metrics(found, pairs)["sentence_accuracy"] == pytest.approx(right / len(pairs))
    assert sum(made.describe(Document("", ""), line)["pairs"] for line in found) == len(pairs)


def test_any_cut_gives_the_same_gradient(corpus, bert):
    assert_any_cut_gives_the_same_gradient(*ASKED, f"task.train={corpus}", "model=custom", f"model.path={bert}")


@pytest.mark.parametrize("ours", [False, True])
def test_a_run_its_folder_and_what_starts_from_it(ours, corpus, bert, tmp_path, tl_run):
    small = ["model=transformer-small", "model.hidden=16", "model.layers=2", "model.feed_forward=32"]
    model = [*small, "model.vocabulary=300"] if ours else ["model=custom", f"model.path={bert}"]
    given = [*ASKED, f"task.train={corpus}", f"task.test={corpus}", *model, "training.max_steps=3"]
    assert tl_run(*given, "task.metric=sentence_accuracy", "hydra.run.dir=run") == 0
    result = json.loads(Path("run/result.json").read_text())
    assert {"perplexity", "accuracy", "sentence_accuracy", "loss"} == {*result["test"]}
    lines = [json.loads(line) for line in Path("run/predictions-test.jsonl").read_text().splitlines()]
    share = sum(line["pairs_right"] for line in lines) / sum(line["pairs"] for line in lines)
    assert share == pytest.approx(result["test"]["sentence_accuracy"])
    assert package.load_model("run/model")[0].config.architectures[0].endswith("ForPreTraining")
    fill = transformers.pipeline("fill-mask", model="run/model")
    words = package.load_model("run/model")[0].state_dict()
    again = fill.model.state_dict()
    assert len(again) > 20
    assert all(torch.equal(words[name], value) for name, value in again.items())
    begin = [*toy(tmp_path), "task.max_length=16", "model=custom", "model.path=run/model", "training.max_steps=1"]
    assert tl_run(*begin, "freeze=trunk", "hydra.run.dir=second") == 0


@pytest.mark.parametrize("family", ["roberta", "electra", "gpt2"])
def test_families_without_such_a_head_are_refused(family, corpus, tmp_path):
    folder = FAMILIES[family](tmp_path / "model")
    with pytest.raises(
        BadOption, match=r"no next-sentence head for a \w+: type another model, or task\.next_sentence="
    ):
        assemble(*ASKED, f"task.train={corpus}", "model=custom", f"model.path={folder}")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["task.objective=causal"], "task.next_sentence=true goes with hidden tokens: type task.objective=masked"),
        (["task.max_length=4"], "two segments and what marks them take 5 tokens"),
        (["task.next_sentence=false", "task.metric=sentence_accuracy"], "type task.next_sentence=true"),
        (["task.metric=bits_per_character"], "is counted with task.objective=causal"),
    ],
)
def test_options_that_contradict_each_other(options, words):
    with pytest.raises(BadOption) as failure:
        kind(*options)
    assert words in str(failure.value)


def test_one_document_has_no_other(bert):
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    with pytest.raises(BadInput, match=r"two documents of two tokens or more are needed in each split"):
        kind().encode([Document("0", LINES[20]), Document("1", "a")], tokenizer)
