"""Episodes: what they hold, of what they are a function, and how classes are divided."""

import numpy as np

from tl_run.data.episodes import Episodes, Pool, divide

LABELS = np.repeat(np.arange(6), 5)


def test_an_episode_has_so_many_of_each_of_its_classes_and_none_twice():
    pool = Pool(LABELS, ways=3, examples=4, key=(7, 1))
    for number in range(50):
        rows = pool.episode(number)
        assert rows.shape == (3, 4)
        assert len({*rows.ravel().tolist()}) == 12
        classes = LABELS[rows]
        assert (classes == classes[:, :1]).all()
        assert len({*classes[:, 0].tolist()}) == 3


def test_an_episode_is_a_function_of_key_and_number():
    pool, again, other = (Pool(LABELS, 3, 4, key) for key in ((7, 1), (7, 1), (8, 1)))
    assert np.array_equal(pool.episode(5), again.episode(5))
    assert not np.array_equal(pool.episode(5), other.episode(5))
    assert not np.array_equal(pool.episode(5), pool.episode(6))
    places = {tuple(LABELS[pool.episode(number)][:, 0].tolist()) for number in range(200)}
    assert len(places) > 60  # of 6 * 5 * 4 = 120 orders of three classes


def test_a_batch_is_so_many_episodes_and_an_epoch_so_many_examples():
    pool = Pool(LABELS, 3, 4, (7, 1))
    stream = Episodes(pool, np.ones(len(LABELS), int), episodes=2, seed=7)
    assert stream.steps_per_epoch == 2  # 30 examples in steps of 24
    expected = [pool.episode(4), pool.episode(5)]
    assert np.array_equal(stream.batch(2).reshape(2, 3, 4), expected)


def test_classes_are_divided_once_and_for_all():
    parts = divide(10, 2, 3, seed=0)
    assert [len(part) for part in parts] == [5, 2, 3]
    assert sorted(np.concatenate(parts).tolist()) == [*range(10)]
    assert all(np.array_equal(a, b) for a, b in zip(parts, divide(10, 2, 3, seed=0), strict=True))
    assert not np.array_equal(parts[2], divide(10, 2, 3, seed=1)[2])
    train, validation, _ = divide(10, 2, 0, seed=0)
    assert (len(train), len(validation)) == (8, 2)
