"""Which options mattered: the share of the variance of validation scores that goes with one option alone."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tl_run.report.settings import Task

FEWEST_RUNS = 8
MOST_VALUES = 6  # a number with more of them is cut into four parts of equal size


@dataclass(frozen=True)
class Importance:
    """Shares by option, largest first, and whether options were varied in a full grid."""

    shares: dict[str, float]
    grid: bool


def importance(task: Task) -> Importance | None:
    """For each varied option, and the seed; None with fewer than eight runs or with equal scores.

    The share is epsilon squared (Kelley 1935, doi:10.1073/pnas.21.9.554): of the one-way analysis of variance by this
    option, R^2 = between / total sum of squares, less what chance alone gives with so many values:
    1 - (1 - R^2)(N - 1)/(N - k) for N runs and k values. In a full grid the shares are of separate things, and the rest
    is options together and chance; otherwise they overlap.
    """
    rows = [({**setting.values, "seed": run.seed}, run.validation) for setting in task.settings for run in setting.runs]
    score = np.array([value for _, value in rows])
    total = float(((score - score.mean()) ** 2).sum())
    if len(rows) < FEWEST_RUNS or total == 0:
        return None
    columns = {key: _levels([values[key] for values, _ in rows]) for key in rows[0][0]}
    varied = {key: levels for key, levels in columns.items() if 1 < len({*levels}) < len(rows)}
    shares = {key: _share(levels, score, total) for key, levels in varied.items()}
    return Importance(dict(sorted(shares.items(), key=lambda pair: -pair[1])), _is_grid([*varied.values()]))


def _share(levels: Sequence[Any], score: np.ndarray, total: float) -> float:
    groups = defaultdict(list)
    for level, value in zip(levels, score.tolist(), strict=True):
        groups[level].append(value)
    within = sum(float(((np.array(own) - np.mean(own)) ** 2).sum()) for own in groups.values())
    n, k = len(score), len(groups)
    return max(0.0, 1 - within / total * (n - 1) / (n - k))


def _levels(values: Sequence[Any]) -> list[Any]:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if numbers and len({*values}) > MOST_VALUES:
        edges = np.quantile(values, [0.25, 0.5, 0.75])
        return np.searchsorted(edges, values).tolist()
    return [repr(value) for value in values]


def _is_grid(columns: Sequence[Sequence[Any]]) -> bool:
    """Whether every combination was run, and as often as any other."""
    cells: dict[tuple[Any, ...], int] = defaultdict(int)
    for cell in zip(*columns, strict=True):
        cells[cell] += 1
    return len({*cells.values()}) == 1 and len(cells) == np.prod([len({*column}) for column in columns])
