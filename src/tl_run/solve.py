"""Heads that are solved, not trained in steps: scikit-learn on features of the frozen trunk. Records are as train's.

Features are brought to mean 0 and variance 1 on the training examples, and the solution is folded back into the head's
linear layer: so one grid of C suits every trunk, and whatever takes a head takes this one.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import nn

from tl_run import freeze as freezing
from tl_run.data.encoded import Encoded
from tl_run.errors import BadInput
from tl_run.evaluation import Evaluation
from tl_run.training import Budget, Record, State, validate

GRID = (0.0001, 0.001, 0.01, 0.1, 1.0)
"""Values of C, the weight of the loss against the squared norm of the coefficients; validation chooses among them."""

Given = Any  # features (examples, dims), or with TF-IDF beside them a sparse matrix of scipy
Lines = tuple[np.ndarray, np.ndarray]  # coefficients (labels, dims) and intercepts (labels,)


def svm(features: Given, labels: np.ndarray, strength: float) -> Lines:
    """Squared hinge loss, one label against the rest: scikit-learn's LinearSVC.

    The logits are its decision values; probabilities made of them by softmax are not calibrated.
    """
    from sklearn.svm import LinearSVC

    found = LinearSVC(C=strength, dual=False, max_iter=10_000).fit(features, labels)  # type: ignore[arg-type]  # dual may be a bool
    return _for_each_label(found, 1.0)


def logistic(features: Given, labels: np.ndarray, strength: float) -> Lines:
    """Logistic regression over all labels at once: scikit-learn's; softmax of the logits gives its probabilities."""
    from sklearn.linear_model import LogisticRegression

    found = LogisticRegression(C=strength, max_iter=10_000).fit(features, labels)
    return _for_each_label(found, 0.5)  # softmax of (-x/2, x/2) is the sigmoid of x


SOLVERS: Mapping[str, Callable[[Given, np.ndarray, float], Lines]] = {"svm": svm, "logistic": logistic}


def require_every_label(kind: str, train: Encoded, names: list[str]) -> None:
    """Raises: BadInput when a label has no training example, for which no line could be drawn."""
    if absent := sorted({*range(len(names))} - {*train.labels.tolist()}):
        raise BadInput(
            f"model.head={kind}: no training example has the label '{names[absent[0]]}', and each label needs one: "
            "type a larger task.limit, or task.shots=1 or more"
        )


def solve(
    *,
    model: Any,
    kind: str,
    read: Callable[[Encoded], np.ndarray],
    train: Encoded,
    freeze: freezing.Freeze,
    enter: Callable[[freezing.Phase], None] = lambda phase: None,
    evaluate: Callable[[], Evaluation],
    metric: str,
    higher_is_better: bool,
    budget: Budget,
    state: State,
    project: Callable[[np.ndarray, np.ndarray], Any] | None = None,
    shown: Callable[[], dict[str, float]] = dict,
) -> Iterator[Record]:
    """Solve the head for each C of the grid, from `state` on. Step n is the n-th C, and an epoch: it sees all examples.

    `read` gives features of the frozen trunk: (examples, dims) in the split's order; `project` makes of them and of the
    labels a transfer.features.Projection, and `shown` what to say of it. The best head by `metric` on validation is
    left in `state.best_weights`.
    """
    began = time.perf_counter()
    enter(freeze.at(state))
    features = read(train).astype(np.float64)
    middle, spread = features.mean(0), features.std(0)
    spread[spread == 0] = 1  # a feature that is always the same tells nothing, and is only moved to 0
    features = (features - middle) / spread
    projection = project(features, train.labels) if project else None
    reduced = projection(features) if projection else features
    bag, words = getattr(model.head, "bag", None), None
    if bag is not None:
        idf, words = tfidf(train, len(bag.idf))
        bag.idf.copy_(torch.from_numpy(idf))
    # Both blocks have the same length on the whole, so that one C is for both.
    weight = math.sqrt(reduced.shape[1])
    given = reduced if words is None else sparse.hstack([sparse.csr_matrix(reduced), weight * words]).tocsr()
    while True:
        if state.step > 0 and state.evaluated < state.step:
            record = validate(model, freeze, evaluate, metric, higher_is_better, budget, state, state.step)
            yield replace(record, values=record.values | {"C": GRID[state.step - 1], **shown()})
            began = time.perf_counter()
        if state.step == len(GRID):
            return
        coefficients, intercepts = SOLVERS[kind](given, train.labels, GRID[state.step])
        if bag is not None:
            coefficients, lines = np.split(coefficients, [reduced.shape[1]], axis=1)
            with torch.no_grad():
                bag.weight.copy_(torch.from_numpy(weight * lines))
        if projection:
            coefficients, intercepts = coefficients @ projection.matrix, intercepts + coefficients @ projection.offset
        coefficients = coefficients / spread
        _put(model.head.classifier, coefficients, intercepts - coefficients @ middle)
        state.step += 1
        state.examples += len(train)
        state.train_seconds += time.perf_counter() - began


def tfidf(train: Encoded, vocabulary: int) -> tuple[np.ndarray, Any]:
    """The idf of each token (vocabulary,), and TF-IDF of each text, sparse (examples, vocabulary): see model.bag."""
    from sklearn.feature_extraction.text import TfidfTransformer

    ids, starts = train.columns["input_ids"], train.offsets
    counts = sparse.csr_matrix((np.ones(len(ids)), ids, starts), shape=(len(train), vocabulary))
    counts.sum_duplicates()
    found = TfidfTransformer(sublinear_tf=True).fit(counts)
    return found.idf_, found.transform(counts)


def _for_each_label(found: Any, factor: float) -> Lines:
    """Of two labels scikit-learn has one line: it speaks for the second, and its opposite for the first."""
    if len(found.coef_) > 1:
        return found.coef_, found.intercept_
    both = np.array([[-factor], [factor]])
    return both * found.coef_, (both * found.intercept_).ravel()


def _put(linear: nn.Linear, coefficients: np.ndarray, intercepts: np.ndarray) -> None:
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(coefficients))
        linear.bias.copy_(torch.from_numpy(intercepts))
