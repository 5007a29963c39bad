"""How far apart two samples lie: their vectors, and the shares of their labels."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

FOLDS = 5
PENALTY = 0.01  # C of the domain classifier, on standardized vectors
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
DRAWS = 999
LEVEL, ERRORS_LEVEL = 0.05, 0.001


def domain_error(first: np.ndarray, second: np.ndarray, seed: int) -> float:
    """How often a linear classifier takes a vector of one sample for one of the other, by 5-fold cross-validation.

    Vectors are (texts, width), as many in both. Logistic regression with an L2 penalty on standardized vectors.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    domain = np.repeat([0, 1], [len(first), len(second)])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=1000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return 1 - float(np.mean(cross_val_score(model, np.concatenate([first, second]), domain, cv=folds)))


def a_distance(error: float) -> float:
    """2 (1 - 2 error), the proxy A-distance (Ben-David et al. 2007; 2010, doi:10.1007/s10994-009-5152-4).

    From 0 to 2. An error above one half, which chance gives as often as one below where nothing differs, counts as one
    half.
    """
    return 2 * (1 - 2 * min(error, 0.5))


def differ(error: float, count: int, p: float) -> bool:
    """Whether two samples may be said to differ: by the permutation test of MMD, or by so few errors among `count`.

    For the errors the level is far below: those of folds that share training texts vary more than the binomial has it.
    """
    from scipy.stats import binomtest

    return p <= LEVEL or bool(binomtest(round(error * count), count, 0.5, alternative="less").pvalue <= ERRORS_LEVEL)


def width_of(vectors: np.ndarray) -> float:
    """The median squared distance between two different rows of (texts, width); 1 where that is 0."""
    from scipy.spatial.distance import pdist

    return float(np.median(pdist(vectors, "sqeuclidean"))) or 1.0


def mmd(first: np.ndarray, second: np.ndarray, width: float, seed: int) -> tuple[float, float]:
    """The unbiased estimate of MMD^2 between vectors (texts, width) each, and p of its permutation test.

    Gretton et al. 2012 (JMLR 13), equation 3. The kernel is the mean of exp(-distance^2 / (b * width)) over the b of
    BANDWIDTHS (several, as in arXiv:1502.02791, but with equal weights). p is the share of DRAWS ways of dealing the
    same vectors into two samples with an MMD at least as large, the one at hand counted too.
    """
    from scipy.spatial.distance import cdist
    from scipy.stats import permutation_test

    both = np.concatenate([first, second])
    distance = cdist(both, both, "sqeuclidean")
    kernel = np.zeros_like(distance)
    for b in BANDWIDTHS:
        kernel += np.exp(distance / (-b * width)) / len(BANDWIDTHS)
    np.fill_diagonal(kernel, 0)  # a vector beside itself says nothing
    sums, total = kernel.sum(1), kernel.sum()

    def statistic(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        """MMD^2 of places in `both` (..., texts) each."""
        chosen = np.zeros((*one.shape[:-1], len(both)))
        np.put_along_axis(chosen, one.astype(int), 1, -1)
        within = ((chosen @ kernel) * chosen).sum(-1)
        between = chosen @ sums - within
        n, m = one.shape[-1], other.shape[-1]
        return within / (n * (n - 1)) + (total - within - 2 * between) / (m * (m - 1)) - 2 * between / (n * m)

    places = np.split(np.arange(len(both)), [len(first)])
    found = permutation_test(
        places,
        statistic,
        vectorized=True,
        batch=100,
        n_resamples=DRAWS,
        alternative="greater",
        rng=np.random.default_rng(seed),
    )
    return float(found.statistic), float(found.pvalue)


def label_shares(labels: Sequence[str | None]) -> dict[str, float]:
    """The share of each label among those that are there."""
    counts = Counter(label for label in labels if label is not None)
    return {label: count / counts.total() for label, count in counts.items()}


def label_shift(first: dict[str, float], second: dict[str, float]) -> tuple[float, float]:
    """Total variation and Jensen-Shannon distance (base 2, the root of the divergence) between shares: 0 to 1 each."""
    from scipy.spatial.distance import jensenshannon

    names = sorted({*first} | {*second})
    p, q = (np.array([shares.get(name, 0.0) for name in names]) for shares in (first, second))
    return float(np.abs(p - q).sum() / 2), float(jensenshannon(p, q, base=2))
