"""What a way of training needs for the score of another: labels, steps, seconds."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

from tl_run.report.runs import Run
from tl_run.report.settings import Setting, Task


@dataclass(frozen=True)
class Reach:
    """When the first side had the best validation score that the second ever had; medians over pairs of seeds."""

    pairs: int
    reached: int
    """Of the pairs; what follows is of these."""
    steps: tuple[float, float] | None
    """Optimizer steps: of the first until then, and of the second."""
    seconds: tuple[float, float] | None
    """Of training and evaluation."""
    examples: tuple[float, float] | None


@dataclass(frozen=True)
class Worth:
    """How many labels the second side needs for the first's score."""

    labels: float
    beyond: bool = False
    """It does not get there with so many, the most that were tried."""
    within: bool = False
    """It is there with so many, the fewest that were tried."""


def curve(task: Task, amounts: Sequence[Sequence[Setting]]) -> list[tuple[float, float]]:
    """Labels and score, more is better, of the chosen setting for each amount; by labels."""
    found = []
    for settings in amounts:
        best = task.best(settings)
        if best.labels is not None:
            found.append((float(best.labels), task.sign * mean(best.test or best.validation)))
    return sorted(found)


def worth(score: float, points: Sequence[tuple[float, float]]) -> Worth | None:
    """Where a learning curve, straight between its points over log(labels), first has this score.

    None with fewer than two amounts of labels.
    """
    if len(points) < 2:
        return None
    if points[0][1] >= score:
        return Worth(points[0][0], within=True)
    for (x, low), (far, high) in itertools.pairwise(points):
        if low < score <= high:
            return Worth(math.exp(math.log(x) + (score - low) / (high - low) * math.log(far / x)))
    return Worth(points[-1][0], beyond=True)


def reach(task: Task, pairs: Sequence[Sequence[Run]]) -> Reach | None:
    """Of each pair of seeds: the first evaluation that is at least as good as the second's best."""
    marks = []
    for ours, theirs in zip(*pairs, strict=True):
        records = ours.records("validation")
        if not records or any("C" in record for record in records):  # solved, not trained in steps
            return None
        target = task.sign * theirs.validation
        values = ours.values("validation", task.metric)
        step = next((step for step, value in values if task.sign * value >= target), None)
        if step is not None:
            marks.append((_cost(ours, step), _cost(theirs, theirs.cost.best_step)))
    if not marks:
        return Reach(len(pairs[0]), 0, None, None, None)
    steps, seconds, examples = (
        (median(mine[i] for mine, _ in marks), median(other[i] for _, other in marks)) for i in range(3)
    )
    return Reach(len(pairs[0]), len(marks), steps, seconds, examples)


def _cost(run: Run, step: int) -> tuple[float, float, float]:
    """Steps, seconds of training and evaluation, and examples up to a step."""
    share = step / max(run.cost.steps, 1)
    return float(step), share * run.cost.seconds, share * run.cost.examples
