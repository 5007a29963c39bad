"""Probes: what can be read is read, what cannot is not, and the halves are halves."""

import numpy as np
import pytest

from tl_run.explain import probes


@pytest.fixture
def states() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(300, 10)).astype(np.float32)


def test_a_label_that_lies_in_the_states_is_read_and_another_is_not(states):
    there = (states[:, 0] * 100 > 0).astype(int)  # the scale of a dimension does not matter
    absent = np.random.default_rng(1).integers(2, size=300)
    assert min(probes.probe(states, there, "accuracy")) > 0.85
    assert max(probes.probe(states, absent, "accuracy")) < 0.65
    assert probes.probe(states, there, "accuracy") == probes.probe(states, there, "accuracy")
    assert len({*probes.probe(states, there, "accuracy")}) > 1, "seeds halve the file in different ways"


def test_numbers_are_read_by_ridge(states):
    assert min(probes.probe(states, states[:, 2] * 7 + 3, "spearman")) > 0.95
    assert abs(np.mean(probes.probe(states, np.random.default_rng(1).normal(size=300), "spearman"))) < 0.2


def test_each_half_has_its_share_of_each_class_and_no_example_of_the_other():
    labels = np.array([0] * 30 + [1] * 6 + [2] * 3)
    for taught, scored in probes._halves(labels, 0, "accuracy"):
        assert sorted([*taught, *scored]) == [*range(39)]
        assert abs((labels[taught] == 0).sum() - (labels[scored] == 0).sum()) <= 1
        assert {*labels[taught]} == {*labels[scored]} == {0, 1, 2}


def test_the_floor_is_the_largest_class():
    labels = np.array([0] * 30 + [1] * 10)
    assert probes.floor(labels, "accuracy") == 0.75
    assert probes.floor(labels, "f1_macro") == pytest.approx(0.5 * 2 * 30 / 70)
    assert probes.floor(labels.astype(float), "spearman") == 0


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1] * 9, "18 examples with labels"),
        ([0] * 20, "fewer than two labels have two examples"),
        ([0] * 20 + [1], "fewer than two labels have two examples"),
        ([0, 1] * 10, ""),
    ],
)
def test_too_few_labels_are_told(labels, words):
    assert words in probes.lacking(np.array(labels), "accuracy")
    assert bool(probes.lacking(np.array(labels), "accuracy")) == bool(words)
