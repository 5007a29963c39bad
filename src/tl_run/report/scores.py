"""Metrics as functions of sums over examples, so that they can be counted again on any draw of the test examples.

Accuracy, F1, correlations and perplexity are all of this form: each example gives a few numbers, draws add them up with
weights, and the score is computed from the sums. What is counted here must give the score that the run has stored.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tl_run.report.runs import Run
from tl_run.report.statistics import Score
from tl_run.task import ranks, squad
from tl_run.task.spans import spans

Line = dict[str, Any]
Sums = tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]
"""Counts (examples, k), and what makes a score (...) of sums (..., k)."""

SAME = 1e-4  # predictions files are rounded to 6 digits


def right(run: Run, lines: Sequence[Line]) -> np.ndarray | None:
    """Which examples a run has right, bool (examples,); None where there is no right and wrong for each."""
    if run.metric not in CLASSES:
        return None
    kinds = {type(line.get(name)) for line in lines for name in ("gold", "prediction")}
    if not kinds <= {str, int}:
        return None
    return np.array([line["gold"] == line["prediction"] for line in lines])


def scorer(runs: Sequence[Run], lines: Sequence[Sequence[Line]], stored: Sequence[float]) -> Score | None:
    """The metric of these runs on any draw of their examples; None where it cannot be counted from the files."""
    made = [_sums(run, own, score) for run, own, score in zip(runs, lines, stored, strict=True)]
    found = [each for each in made if each is not None]
    if not found or len(found) < len(made):
        return None

    def score(weights: np.ndarray) -> np.ndarray:
        return np.stack([of(weights @ counts) for counts, of in found], axis=-1)

    return score


def aligned(runs: Sequence[Run]) -> list[list[Line]] | None:
    """The predictions of each run in the order of the first; None where they are not of the same examples."""
    files = [run.predictions() for run in runs]
    order = [str(line.get("id")) for line in files[0]]
    made = []
    for lines in files:
        named = {str(line.get("id")): line for line in lines}
        if not order or len(named) < len(lines) or named.keys() != {*order} or len(lines) != len(order):
            return None
        made.append([named[name] for name in order])
    return made


def _sums(run: Run, lines: Sequence[Line], stored: float) -> Sums | None:
    for candidate in _candidates(run, lines):
        counts, of = candidate
        with np.errstate(all="ignore"):
            again = float(of(counts.sum(0)))
        if abs(again - stored) <= SAME * max(1.0, abs(stored)):
            return candidate
    return None


def _candidates(run: Run, lines: Sequence[Line]) -> Iterator[Sums]:
    """What the metric of this name may be; a wrong one does not give the stored score."""
    try:
        if run.metric in CLASSES and run.classes is not None:
            yield _classes(run, lines)
        if run.metric in NUMBERS:
            yield _numbers(run, lines)
        if run.metric == "accuracy":
            yield _shares([[float(g == p) for g, p in zip(*_both(line), strict=True)] for line in lines])
        if run.metric == "f1" and "tokens" in lines[0]:
            yield _spans(lines)
        if run.metric in ("f1", "em"):
            for rule in squad.RULES.values():
                both = [rule(line["gold"], line["prediction"]) for line in lines]
                yield _shares([[pair[run.metric == "f1"]] for pair in both])
        if run.metric in ranks.SCORES:
            found = np.array([[line["rank_head"], line["rank_tail"]] for line in lines], float)
            yield _shares(ranks.SCORES[run.metric](found).tolist())
        if run.metric == "perplexity":
            tokens = np.array([line["tokens"] for line in lines], float)
            lost = tokens * np.log([line["perplexity"] or 1.0 for line in lines])
            yield np.stack([lost, tokens], 1), lambda s: np.exp(s[..., 0] / s[..., 1])
    except (KeyError, TypeError, ValueError, AttributeError):
        return  # lines of another form: then the score is not counted from them


def _both(line: Line) -> tuple[list[Any], list[Any]]:
    gold, found = line["gold"], line["prediction"]
    return (gold, found) if isinstance(gold, list) else ([gold], [found])


def _shares(parts: Sequence[Sequence[float]]) -> Sums:
    """The mean over all parts of all examples."""
    counts = np.array([(sum(own), len(own)) for own in parts], float)
    return counts, lambda s: s[..., 0] / s[..., 1]


def _spans(lines: Sequence[Line]) -> Sums:
    """F1 over spans, of all types together."""
    rows = []
    for line in lines:
        marked = spans([tag or "O" for tag in line["gold"]])
        gold = {tuple(span) for span in marked if span.type != "V" or "predicate" not in line}  # a predicate is given
        found = {(span["type"], span["start"], span["end"]) for span in line["spans"]}
        rows.append((len(gold & found), len(gold) + len(found)))
    return np.array(rows, float), lambda s: 2 * s[..., 0] / np.maximum(s[..., 1], 1)


def _classes(run: Run, lines: Sequence[Line]) -> Sums:
    """Per class: right, predicted, gold."""
    names = [*run.classes.rows] if run.classes is not None else []
    other = run.config.get("task.other")
    gold, found = (
        np.array([[_holds(line[key], name) for name in names] for line in lines]) for key in ("gold", "prediction")
    )
    counted = np.array([name != other for name in names])
    counts = np.concatenate([gold & found, found, gold], 1).astype(float)
    score = CLASSES[run.metric]
    return counts, lambda sums: score(*np.split(sums, 3, axis=-1), counted)


def _holds(labels: Any, name: str) -> bool:
    """Whether it is this label, or one of several."""
    return name in labels if isinstance(labels, list) else labels == name


def _f1(right: np.ndarray, found: np.ndarray, gold: np.ndarray) -> np.ndarray:
    return 2 * right / np.maximum(found + gold, 1)


def _mcc(right: np.ndarray, found: np.ndarray, gold: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Of any number of classes, as scikit-learn has it; 0 where one side is constant."""
    total = gold.sum(-1)
    above = right.sum(-1) * total - (found * gold).sum(-1)
    below = np.sqrt((total**2 - (found**2).sum(-1)) * (total**2 - (gold**2).sum(-1)))
    return np.where(below > 0, above / np.where(below > 0, below, 1), 0)


CLASSES: dict[str, Callable[..., np.ndarray]] = {
    "accuracy": lambda right, found, gold, counted: right.sum(-1) / gold.sum(-1),
    "f1_macro": lambda right, found, gold, counted: _f1(right, found, gold)[..., counted].mean(-1),
    "f1_micro": lambda right, found, gold, counted: _f1(*(part[..., counted].sum(-1) for part in (right, found, gold))),
    "f1_weighted": lambda right, found, gold, counted: (_f1(right, found, gold) * gold).sum(-1) / gold.sum(-1),
    "mcc": _mcc,
}


def _numbers(run: Run, lines: Sequence[Line]) -> Sums:
    gold, found = (np.array([float(line[key]) for line in lines]) for key in ("gold", _number_of(lines)))
    if run.metric == "spearman":  # ranks are those among all examples, also where some are drawn more than once
        from scipy.stats import rankdata

        gold, found = rankdata(gold), rankdata(found)
    off = gold - found
    gold, found = gold - gold.mean(), found - found.mean()  # correlations do not mind, and sums stay small
    columns = [np.ones_like(gold), np.abs(off), off**2, gold, found, gold**2, found**2, gold * found]
    return np.stack(columns, 1), NUMBERS[run.metric]


def _number_of(lines: Sequence[Line]) -> str:
    return "cosine" if "cosine" in lines[0] else "prediction"


def _correlation(sums: np.ndarray) -> np.ndarray:
    n, _, _, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    below = np.sqrt(np.maximum((n * xx - x**2) * (n * yy - y**2), 0))
    return np.where(below > 0, (n * xy - x * y) / np.where(below > 0, below, 1), 0)


NUMBERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mae": lambda sums: sums[..., 1] / sums[..., 0],
    "rmse": lambda sums: np.sqrt(sums[..., 2] / sums[..., 0]),
    "pearson": _correlation,
    "spearman": _correlation,
}
