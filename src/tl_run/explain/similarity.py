"""How alike two sets of representations of the same examples are, whatever rotates or scales one of them."""

import numpy as np


def cka(first: np.ndarray, second: np.ndarray) -> float:
    """Linear centered kernel alignment (arXiv:1905.00414, section 3): 1 where one is a rotation and scaling of the
    other, 0 where they have nothing in common.

    `first` and `second` are (examples, dims) of the same examples; in float64. NaN where one is the same for all.
    """
    x, y = (each.astype(np.float64) - each.mean(0, dtype=np.float64) for each in (first, second))
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(y.T @ x) ** 2 / scale) if scale else float("nan")
