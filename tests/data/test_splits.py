"""Which examples train, choose and test: what is drawn by which seed."""

from collections import Counter
from dataclasses import dataclass

import pytest

from tl_run.data.splits import Splits, make
from tl_run.errors import BadInput


@dataclass(frozen=True)
class Row:
    id: int
    label: int | None


def rows(*labels: int | None, start: int = 0) -> list[Row]:
    return [Row(start + i, label) for i, label in enumerate(labels)]


TRAIN = rows(*[0] * 60, *[1] * 30, *[2] * 10)


def splits(examples: dict[str, list[Row]], **changes) -> Splits:
    settings = {"share": 0.1, "split_seed": 0, "shots": None, "limit": None, "seed": 0} | changes
    return make(examples, lambda row: row.label, **settings)


def labels(part: list[Row]) -> dict[int | None, int]:
    return dict(Counter(row.label for row in part))


def test_what_is_given_stays_as_it_is():
    given = {"train": TRAIN, "validation": rows(0, 1), "test": rows(1, 2)}
    made = splits(given)
    assert (made.train, made.validation, made.test) == tuple(given.values())
    assert made.notes == []


def test_the_held_out_part_is_stratified_disjoint_and_in_order():
    made = splits({"train": TRAIN, "test": rows(0)})
    assert labels(made.validation) == {0: 6, 1: 3, 2: 1}
    assert sorted([*made.train, *made.validation], key=lambda row: row.id) == TRAIN
    for part in (made.train, made.validation):
        assert [row.id for row in part] == sorted(row.id for row in part)
    assert made.notes == [
        "validation: 10 examples held out from train, stratified (task.validation_share=0.1, task.split_seed=0)"
    ]


def test_the_held_out_part_is_drawn_by_split_seed_and_not_by_seed():
    def held(**seeds) -> list[Row]:
        return splits({"train": TRAIN}, **seeds).validation

    assert held(seed=0) == held(seed=1)
    assert held(split_seed=1) != held(split_seed=0)
    assert held(seed=3, limit=20) == held(seed=4, shots=2) == held()


def test_too_few_to_hold_out():
    with pytest.raises(BadInput, match=r"train has 4 .* type task\.validation=<file> or a larger task"):
        splits({"train": rows(0, 0, 1, 1)})


def test_without_a_test_the_score_is_called_what_it_is():
    made = splits({"train": TRAIN, "validation": rows(0, 1)})
    assert made.test is None
    assert made.notes == ["test: none; the validation score chose the model, so it is somewhat too good"]


def test_a_test_without_labels_is_not_scored():
    validation = rows(0, 1, 2, start=500)
    made = splits({"train": TRAIN, "validation": validation, "test": rows(None, None)})
    assert made.test == validation
    assert labels(made.validation) == {0: 6, 1: 3, 2: 1}
    assert set(made.validation) < set(TRAIN)
    assert made.notes[0].startswith("the test split has no labels: validation is the test, and validation is held out")


def test_single_examples_without_a_label_are_left_out_and_counted():
    made = splits({"train": [*TRAIN, Row(900, None)], "validation": rows(0, None, None), "test": rows(0, None)})
    assert made.train == TRAIN
    assert made.validation == rows(0)
    assert made.test == rows(0)
    assert [note.split(" without")[0] for note in made.notes] == [
        "train: 1 examples",
        "validation: 2 examples",
        "test: 1 examples",
    ]


def test_shots_are_per_class_and_drawn_by_seed():
    def drawn(seed: int) -> list[Row]:
        made = splits({"train": TRAIN, "validation": rows(0)}, shots=4, seed=seed)
        assert labels(made.train) == {0: 4, 1: 4, 2: 4}
        assert "train: 4 examples per class drawn by" in " ".join(made.notes)
        return made.train

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
    with pytest.raises(BadInput, match=r"task\.shots=11, but one class has only 10 training examples"):
        splits({"train": TRAIN, "validation": rows(0)}, shots=11)


def test_the_limit_is_of_labelled_training_examples_after_holding_out():
    def drawn(seed: int, limit: int) -> list[Row]:
        made = splits({"train": [Row(900, None), *TRAIN]}, limit=limit, seed=seed)
        assert len(made.train) == min(limit, 90)
        assert not set(made.train) & set(made.validation)
        assert all(row.label is not None for row in made.train)
        return made.train

    assert drawn(0, 20) == drawn(0, 20)
    assert drawn(0, 20) != drawn(1, 20)
    assert set(drawn(0, 20)) < set(drawn(0, 40)), "more examples include fewer: curves over size are nested"
    assert drawn(0, 1000) == drawn(1, 90)


def test_no_split_is_touched_by_shots_or_limit_but_train():
    given = {"train": TRAIN, "validation": rows(0, 1), "test": rows(1, 2)}
    for changes in ({"shots": 2}, {"limit": 5}):
        made = splits(given, **changes)
        assert (made.validation, made.test) == (given["validation"], given["test"])
