"""Linear CKA against its definition, and what it must not see."""

import math

import numpy as np
import pytest

from tl_run.explain.similarity import cka


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def test_turned_scaled_and_moved_is_the_same(random):
    x = random.normal(size=(50, 8)).astype(np.float32)
    turn = np.linalg.qr(random.normal(size=(8, 8)))[0]
    assert cka(x, x) == pytest.approx(1, abs=1e-12)
    assert cka(x, (x @ turn).astype(np.float32) * 3 + 5) == pytest.approx(1, abs=1e-6)
    assert cka(x, x @ random.normal(size=(8, 8))) < 0.99, "not every linear map is a turn"


def test_it_is_the_hsic_of_both_over_those_of_each(random):
    """Equation 3 with Gram matrices, trace by trace."""
    x, y = random.normal(size=(40, 6)), random.normal(size=(40, 9))
    y[:, :6] += x
    center = np.eye(40) - 1 / 40

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        return float(np.trace(k @ center @ m @ center)) / 39**2

    k, m = x @ x.T, y @ y.T
    assert cka(x, y) == pytest.approx(hsic(k, m) / math.sqrt(hsic(k, k) * hsic(m, m)), rel=1e-12)
    assert cka(x, y) == pytest.approx(cka(y, x), rel=1e-12)


def test_what_is_the_same_for_all_is_like_nothing(random):
    assert math.isnan(cka(np.ones((5, 3)), random.normal(size=(5, 3))))
