"""Doubts, each against counts made by hand; that there is none about good data; and what looking for them costs."""

import random
import time

import pytest

from composing import compose
from tl_run import task
from tl_run.config import check
from tl_run.data import doubts, splits
from tl_run.data.leakage import likeness, plain
from tl_run.data.table import Table

GOOD = [("a fine film", "yes"), ("a dull one", "no"), ("it was great", "yes"), ("never again", "no")]


def table(rows, columns=("text", "label"), path="train.csv"):
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    return Table(path, columns, found, range(2, len(found) + 2))


def told(tables, *options, name="classification"):
    """The doubts about these splits."""
    kind = task.load(check.check(compose(f"task={name}", "task.train=x.csv", "model=tiny", *options)).task)
    examples = kind.read(tables)
    made = splits.make(examples, kind.stratum, kind.group, share=0.5, split_seed=0, shots=None, limit=None, seed=0)
    return [*kind.doubts, *doubts.of(kind, tables, made)]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Good, Film!", "good film"),
        ("GOOD\u00a0FILM", "good film"),
        ("\u201cgood\u201d film\u2026", "good  film"),
        ("\u597d\u7535\u5f71\u3002", "\u597d \u7535\u5f71"),
        ("don't", "dont"),
    ],
)
def test_texts_that_are_one_but_for_case_blanks_and_punctuation(text, same):
    assert plain(text) == plain(same)


@pytest.mark.parametrize(
    ("text", "other"), [("good", "goods"), ("1 + 1", "1 1"), ("\U0001f600", "\U0001f622"), ("?", "!"), ("\u00e9", "e")]
)
def test_texts_that_are_two(text, other):
    assert plain(text) != plain(other)


def test_likeness_makes_words_and_texts_plain_and_leaves_the_rest():
    assert likeness([("A b", None), (("A", "b"), 3), ("", ((0, 1), (2, 3)))]) == [
        ("ab", None),
        (("a", "b"), 3),
        ("", ((0, 1), (2, 3))),
    ]


def test_there_is_no_doubt_about_good_data():
    assert told({"train": table(GOOD), "validation": table([("so good", "yes"), ("so bad", "no")])}) == []


def test_leakage_is_counted_for_each_two_splits():
    tables = {
        "train": table(GOOD),
        "validation": table([GOOD[0], ("A DULL ONE.", "no"), ("new", "yes"), ("", "no")]),
        "test": table([GOOD[0], ("New!", "yes"), ("other", "no")]),
    }
    found = told(tables)
    assert [line.partition(":")[0] for line in found] == ["validation", "test", "test", "validation"]
    assert found[0] == (
        "validation: 2 of 4 examples stand in train too (1 word for word, 1 but for case, blanks and punctuation), as "
        "'a fine film': their scores are too good; take them out of train"
    )
    assert found[1].startswith("test: 1 of 3 examples stand in train too (1 word for word, 0 but")
    assert found[2].startswith("test: 2 of 3 examples stand in validation too (1 word for word, 1 but")
    assert found[3] == "validation: 1 of 4 in 'text' are empty (the first: train.csv, line 5)"


def test_a_part_held_out_from_copies_has_another_remedy():
    (found,) = told({"train": table(GOOD * 6)})
    assert "remove them there" in found


def test_a_pair_is_the_same_when_both_texts_are():
    columns = ("text", "other", "label")
    train = table([("a", "b", "yes"), ("a", "c", "no"), ("d", "b", "yes")], columns)
    validation = table([("a", "d", "no"), ("a", "b", "yes")], columns)
    (found,) = told({"train": train, "validation": validation}, "task.text_pair=other")
    assert found.startswith("validation: 1 of 2 examples")


def test_labels_that_are_one_are_grouped_and_counted():
    rows = [("a", "yes"), ("b", "Yes"), ("c", " yes"), ("d", "no"), ("e", "NO"), ("f", "01"), ("g", "1")]
    (found,) = told({"train": table(rows), "validation": table([("x", "yes"), ("y", "no")])})
    assert "'yes' (2), 'Yes' (1), ' yes' (1); 'no' (2), 'NO' (1); '01' (1), '1' (1): each is a class" in found


def test_not_a_number_and_infinity_are_names_like_any_other():
    rows = [("a", "nan"), ("b", "inf"), ("c", "na")]
    assert told({"train": table(rows), "validation": table([("x", "nan"), ("y", "inf")])}) == []


def test_classes_are_very_unequal_from_over_twenty_times_on():
    def rows(most):
        return {"train": table([*((f"t{i}", "a") for i in range(most)), ("u", "b")]), "validation": table(GOOD[:0])}

    tables = rows(20) | {"validation": table([("v", "a"), ("w", "b")])}
    assert told(tables) == []
    tables = rows(21) | {"validation": table([("v", "a"), ("w", "b")])}
    (found,) = told(tables)
    assert found.startswith("train: the classes are very unequal: 'a' 21, 'b' 1")
    assert told(tables, "task.class_weights=balanced") == []


def test_shots_do_not_make_a_label_look_like_an_id():
    rows = [(f"text {i}", f"c{i % 12}") for i in range(48)]
    assert told({"train": table(rows), "validation": table([("x", "c0"), ("y", "c1")])}) == []


def test_a_tag_that_train_lacks_is_counted_in_tokens():
    train = table([(["a", "b"], ["B-X", "O"])], ("tokens", "tags"))
    dev = table([(["c", "d", "e"], ["B-Y", "I-Y", "O"]), (["f"], ["O"])], ("tokens", "tags"))
    (found,) = told({"train": train, "validation": dev}, name="tagging")
    assert found.startswith("validation: 2 of 4 tokens have a tag that train has not ('B-Y' (1), 'I-Y' (1))")


def test_clean_iob1_is_no_doubt_and_broken_iob2_is_one():
    clean = table([(["a", "b", "c"], ["I-X", "B-X", "O"]), (["d"], ["I-X"])], ("tokens", "tags"))
    dev = table([(["e"], ["O"])], ("tokens", "tags"))
    assert told({"train": clean, "validation": dev}, name="tagging") == []
    broken = table([(["a", "b", "c"], ["B-X", "O", "I-X"])], ("tokens", "tags"))
    (found,) = told({"train": broken, "validation": dev}, name="tagging")
    assert found.startswith("train: 1 of 2 spans begin with I-, others with B-")


@pytest.mark.parametrize(
    ("text", "misread"), [("Ã©tÃ©", True), ("été", False), ("NÃO", False), ("â€œgoodâ€", False), ("â€™s", True)]
)
def test_text_that_was_read_in_the_wrong_encoding(text, misread):
    tables = {"train": table([*GOOD, (text, "yes")]), "validation": table([("x", "yes"), ("y", "no")])}
    assert bool(told(tables)) == misread


def test_a_hundred_thousand_rows_are_looked_at_in_little_time():
    words = [f"w{i}" for i in range(2000)]
    draw = random.Random(0)
    rows = [(" ".join(draw.choices(words, k=15)), draw.choice(["yes", "no"])) for _ in range(100_000)]
    kind = task.load(check.check(compose("task=classification", "task.train=x.csv", "model=tiny")).task)
    tables = {"train": table(rows[10_000:]), "validation": table(rows[:10_000])}
    examples = kind.read(tables)
    made = splits.Splits(examples["train"], examples["validation"], None, [])
    began = time.process_time()
    doubts.of(kind, tables, made)
    assert time.process_time() - began < 2  # 0.3 s on a machine that does nothing else
