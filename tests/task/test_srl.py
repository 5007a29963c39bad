"""Semantic roles: the predicate is marked, arguments are counted, and the predicate itself is not."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import transformers

from composing import compose
from tl_run import cli, predict, task
from tl_run.config.check import check
from tl_run.data import splits
from tl_run.data.table import Table
from tl_run.errors import BadInput

WORDS = ["the", "film", "was", "not", "good"]
SPANS = ["B-ARG0", "I-ARG0", "B-V", "B-ARGM-NEG", "B-ARG1"]
HEADS = ["O", "ARG0", "V", "ARGM-NEG", "ARG1"]


def kind(*overrides: str):
    return task.load(check(compose("task=srl", "task.train=x.jsonl", *overrides)).task)


def table(*rows: tuple, columns=("tokens", "predicate_index", "roles")) -> Table:
    return Table("x.jsonl", columns, [dict(zip(columns, row, strict=True)) for row in rows], [*range(1, len(rows) + 1)])


@pytest.mark.parametrize("place", range(5))
def test_the_predicate_is_marked_and_every_tag_is_at_its_word(bert, place):
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    made = kind()
    encoded = made.encode(made.read({"train": table((WORDS, place, HEADS))})["train"], tokenizer)
    pieces = tokenizer.convert_ids_to_tokens(encoded.columns["input_ids"].tolist())
    shown = [*WORDS[:place], "[UNK]", WORDS[place], "[UNK]", *WORDS[place + 1 :]]  # a small vocabulary: no brackets
    assert pieces == ["[CLS]", WORDS[place], "[UNK]", *shown, "[SEP]"]
    assert [pieces[at] for at in encoded.firsts.values] == WORDS
    assert [made.labels[label] for label in encoded.targets.values[encoded.firsts.values]] == HEADS
    assert made.weight(encoded, np.array([0])) == 5


def test_in_a_csv_all_is_text():
    examples = kind().read({"train": table((" ".join(WORDS), "2", " ".join(HEADS)))})["train"]
    assert (examples[0].tokens, examples[0].predicate, examples[0].tags) == (WORDS, 2, HEADS)


def test_which_of_two_equal_words_is_meant_is_seen():
    made = kind()
    examples = made.read({"train": table((["a", "b", "a"], 0, ["V", "X", "O"]), (["a", "b", "a"], 2, ["O", "X", "V"]))})
    first, second = (made.words(example)[0] for example in examples["train"])
    assert first == ["a", ":", "[", "a", "]", "b", "a"]
    assert second == ["a", ":", "a", "b", "[", "a", "]"]


@pytest.mark.parametrize("roles", [SPANS, HEADS])
def test_arguments_are_counted_without_the_predicate(roles):
    """Three in the gold. Found: ARG0 and ARG1 rightly, and one that is none; V is not counted, right or wrong."""
    made = kind()
    examples = made.read({"train": table((WORDS, 2, roles))})["train"]
    assert made.metric == "f1"
    for predicate in ("V", "O"):
        found = [
            role if i != 2 else predicate if roles is HEADS or predicate == "O" else "B-V"
            for i, role in enumerate(roles)
        ]
        found[3] = "ARG1" if roles is HEADS else "B-ARG1"
        prediction = (np.array([made.labels.index(role) for role in found]), np.ones(5))
        encoded = SimpleNamespace(examples=examples)
        scores = made.metrics([prediction], encoded)
        assert (scores["precision"], scores["recall"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
        assert scores["accuracy"] == (4 if predicate == "V" else 3) / 5
        rows = made.tables([prediction], encoded)["per_type"]
        assert {name: row["support"] for name, row in rows.items()} == {"ARG0": 1, "ARG1": 1, "ARGM-NEG": 1}
        assert rows["ARG1"]["precision"] == 0.5
    assert [span["type"] for span in made.describe(examples[0], prediction)["spans"]] == ["ARG0", "ARG1", "ARG1"]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (5, "x.jsonl, line 1: 'predicate_index' is '5', a token from 0 to 4 is needed (task.predicate)"),
        (-1, "x.jsonl, line 1: 'predicate_index' is '-1', a token from 0 to 4 is needed"),
        (None, "x.jsonl, line 1: 'predicate_index' is missing, a token from 0 to 4"),
        ("2nd", "x.jsonl, line 1: 'predicate_index' is '2nd', a token from 0 to 4"),
        ("", "x.jsonl, line 1: 'predicate_index' is missing, a token from 0 to 4"),
        (True, "x.jsonl, line 1: 'predicate_index' is true or false, a token"),
    ],
)
def test_a_predicate_that_is_no_token(place, words):
    with pytest.raises(BadInput) as failure:
        kind().read({"train": table((WORDS, place, HEADS))})
    assert str(failure.value).startswith(words)


def test_the_demo_is_learned_and_predicts_without_roles(tl_run, capsys):
    assert tl_run("task=srl-demo", "hardware=cpu", "training.epochs=12", "hydra.run.dir=mine") == 0
    result = json.loads(Path("mine/result.json").read_text())
    scores = [json.loads(line) for line in Path("mine/metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in scores if line["kind"] == "validation"]
    assert result["metric"]["name"] == "f1"
    assert losses[-1] < 0.7 * losses[0]
    assert "`sang : Yesterday she [ sang ] a song`" in Path("mine/model/README.md").read_text()
    told = [json.loads(line) for line in Path("mine/predictions-test.jsonl").read_text().splitlines()]
    Path("new.jsonl").write_text(
        "".join(json.dumps({"tokens": line["tokens"], "predicate_index": line["predicate"]}) + "\n" for line in told)
    )
    capsys.readouterr()
    assert cli.outcome(lambda: predict.predict(["mine", "new.jsonl", "-f", "jsonl"])) == 0
    for text, line in zip(capsys.readouterr().out.splitlines(), told, strict=True):
        assert json.loads(text)["prediction"] == line["prediction"]


def test_the_predicates_of_a_sentence_are_held_out_together():
    made = kind()
    rows = [([*WORDS, str(number // 2)], 2 * (number % 2), [*HEADS, "O"]) for number in range(40)]
    examples = made.read({"train": table(*rows)})
    options = {"share": 0.25, "split_seed": 0, "shots": None, "limit": None, "seed": 0}
    found = splits.make(examples, made.stratum, made.group, **options)
    held = {example.tokens[-1] for example in found.validation}
    assert held
    assert not held & {example.tokens[-1] for example in found.train}
