"""Which examples a step sees: a function of seed and step alone."""

import numpy as np
import pytest

from tl_run.data.batches import WINDOW, Stream, by_length, cut

LENGTHS = np.random.default_rng(0).integers(3, 60, 1000)


@pytest.mark.parametrize("size", [1, 7, 16, 1000, 5000])
def test_each_example_once_an_epoch_in_batches_of_one_size(size):
    stream = Stream(LENGTHS, size, seed=3)
    for epoch in (0, 1):
        batches = [stream.batch(epoch * stream.steps_per_epoch + i) for i in range(stream.steps_per_epoch)]
        assert sorted(np.concatenate(batches)) == list(range(1000))
        assert sorted({len(batch) for batch in batches}, reverse=True)[0] == min(size, 1000)
        assert sum(len(batch) < size for batch in batches) == (1 if 1000 % size else 0)


def test_order_is_a_function_of_seed_and_epoch():
    def order(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in Stream(LENGTHS, 16, seed).order(epoch)]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)
    assert order(0, 1) != order(1, 0)


def test_any_step_can_be_asked_for_without_the_steps_before():
    stream = Stream(LENGTHS, 16, seed=1)
    steps = np.random.default_rng(1).permutation(3 * stream.steps_per_epoch)
    in_turn = [stream.batch(step).tolist() for step in range(3 * stream.steps_per_epoch)]
    for step in steps[:50]:
        assert Stream(LENGTHS, 16, seed=1).batch(int(step)).tolist() == in_turn[step]


def test_batches_hold_texts_of_like_length_and_come_in_no_order_of_length():
    stream = Stream(LENGTHS, 16, seed=0)
    batches = stream.order(0)
    padding = sum(LENGTHS[batch].max() * len(batch) - LENGTHS[batch].sum() for batch in batches) / LENGTHS.sum()
    shuffled = np.random.default_rng(0).permutation(1000)
    plain = cut(shuffled, 16)
    assert padding < 0.1 * sum(LENGTHS[b].max() * len(b) - LENGTHS[b].sum() for b in plain) / LENGTHS.sum()
    means = [LENGTHS[batch].mean() for batch in batches]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.3


def test_which_examples_meet_differs_from_epoch_to_epoch():
    many = np.random.default_rng(0).integers(3, 60, 3 * WINDOW * 4)
    first, second = ({frozenset(b.tolist()) for b in Stream(many, 4, 0).order(epoch)} for epoch in (0, 1))
    assert len(first & second) < len(first) / 20


def test_cut_keeps_order_and_loses_nothing():
    indices = np.arange(10)[::-1]
    assert [part.tolist() for part in cut(indices, 4)] == [[9, 8, 7, 6], [5, 4, 3, 2], [1, 0]]


def test_evaluation_begins_with_the_longest():
    batches = by_length(LENGTHS, 64)
    assert sorted(np.concatenate(batches)) == list(range(1000))
    assert (np.diff(LENGTHS[np.concatenate(batches)]) <= 0).all()
