"""What transfer was worth: pretrained against from scratch and against a frozen probe, for each amount of labels.

Each side's setting is chosen on validation; test is looked at for the chosen ones alone.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

from tl_run.report import scores
from tl_run.report.runs import Run
from tl_run.report.settings import LABELS, Setting, Task, decides
from tl_run.report.statistics import Difference, Disagreement, mcnemar, over_seeds, over_seeds_and_examples

PRETRAINED, PROBE, SCRATCH = "pretrained", "frozen probe", "from scratch"
AGAINST = ((PRETRAINED, SCRATCH), (PRETRAINED, PROBE), (PROBE, SCRATCH))


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


@dataclass
class Comparison:
    """Two sides with the same model, data and labels."""

    model: str
    first: str
    second: str
    labels: int | None
    labels_words: str
    chosen: tuple[Setting, Setting]
    tried: tuple[int, int]
    """Settings that each side was chosen from."""
    split: str
    scores: tuple[list[float], list[float]]
    """Of the pairs of seeds, on `split`."""
    difference: Difference
    """In favour of the first, also where less is better."""
    disagreement: Disagreement | None
    reach: Reach | None
    worth: "Worth | None" = None
    caveats: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Worth:
    """How many labels the second side needs for the first's score."""

    labels: float
    beyond: bool = False
    """It does not get there with so many, the most that were tried."""
    within: bool = False
    """It is there with so many, the fewest that were tried."""


def comparisons(task: Task) -> list[Comparison]:
    """All that these settings allow, by model, pair of sides and labels."""
    made = []
    for sides in _contexts(task.settings).values():
        for first, second in AGAINST:
            if first == PROBE and any(PRETRAINED in own for own in sides.values()):
                continue
            both = [
                _compare(task, first, second, own[first], own[second])
                for own in sides.values()
                if first in own and second in own
            ]
            found = sorted((each for each in both if each), key=lambda each: each.labels or math.inf)
            curve = _curve(task, [own[second] for own in sides.values() if second in own])
            for each in found:
                each.worth = worth(task.sign * mean(each.scores[0]), curve)
            made += found
    return made


def _side(setting: Setting) -> str | None:
    config = setting.runs[0].config
    frozen = config.get("freeze.name") == "trunk" and config.get("adapter.name", "none") == "none"
    match config.get("model.pretrained"):
        case True:
            return PROBE if frozen else PRETRAINED
        case False if not frozen:  # a trunk of random weights that stays so is no training from scratch
            return SCRATCH
    return None


def _contexts(settings: Sequence[Setting]) -> dict[Any, dict[Any, dict[str, list[Setting]]]]:
    """Settings by what two sides must share, by labels, and by side."""
    found: Any = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for setting in settings:
        run = setting.runs[0]
        shared = sorted(
            (key, repr(value)) for key, value in run.config.items() if key.startswith("task.") and decides(key)
        )
        context = (run.config.get("model.name"), run.config.get("model.path"), *sorted(run.data.items()))
        context += tuple(pair for pair in shared if pair[0] not in LABELS)
        amount = tuple(run.config.get(key) for key in LABELS)
        if side := _side(setting):
            found[context][amount][side].append(setting)
    return found


def _compare(
    task: Task, first: str, second: str, ours: Sequence[Setting], theirs: Sequence[Setting]
) -> Comparison | None:
    chosen = task.best(ours), task.best(theirs)
    common = sorted({*chosen[0].seeds} & {*chosen[1].seeds})
    if not common:
        return None
    pairs = [[run for run in side.runs if run.seed in common] for side in chosen]
    tested = all(run.test is not None for side in pairs for run in side)
    split = "test" if tested else "validation"
    found = tuple([(run.test if run.test is not None and tested else run.validation) for run in side] for side in pairs)
    assert len(found) == 2
    difference, disagreement, caveats = _difference(task, pairs, found)
    tried = (len(ours), len(theirs))
    run = chosen[0].runs[0]
    made = Comparison(
        model=str(run.config.get("model.name")),
        first=first,
        second=second,
        labels=chosen[0].labels,
        labels_words=_labels_words(run, chosen[0].labels),
        chosen=chosen,
        tried=tried,
        split=split,
        scores=found,
        difference=difference,
        disagreement=disagreement,
        reach=_reach(task, pairs),
        caveats=[*_budget(tried, first, second), *caveats],
    )
    if not tested:
        made.caveats.append("without a test split the scores are those that chose the models: somewhat too good")
    if lost := len({*chosen[0].seeds} ^ {*chosen[1].seeds}):
        made.caveats.append(f"{lost} seeds were run on one side alone and are left out")
    return made


def _difference(
    task: Task, pairs: Sequence[Sequence[Run]], found: Sequence[Sequence[float]]
) -> tuple[Difference, Disagreement | None, list[str]]:
    """The difference with its interval, over examples too where the predictions allow it."""
    plain = over_seeds([task.sign * (a - b) for a, b in zip(*found, strict=True)])
    lines = scores.aligned([run for side in pairs for run in side])
    if lines is None:
        return plain, None, ["the predictions are not of the same examples: the interval is over seeds alone"]
    n = len(pairs[0])
    halves = (lines[:n], lines[n:])
    marks = [[scores.right(own) for own in half] for half in halves]
    disagreement = None
    if all(each is not None for half in marks for each in half):
        disagreement = mcnemar(*(_stack(half) for half in marks))
    both = [scores.scorer(side, half, own) for side, half, own in zip(pairs, halves, found, strict=True)]
    if both[0] is None or both[1] is None:
        return plain, disagreement, [f"{task.metric} is not counted per example here: the interval is over seeds alone"]
    sides = both if task.higher_is_better else both[::-1]
    assert sides[0] is not None
    assert sides[1] is not None
    return over_seeds_and_examples(sides[0], sides[1], len(lines[0])), disagreement, []


def _stack(arrays: Sequence[Any]) -> Any:
    import numpy as np

    return np.stack(arrays)


def _labels_words(run: Run, labels: int | None) -> str:
    if shots := run.config.get("task.shots"):
        return f"{shots} labels per class"
    return "all labels" if labels is None else f"{labels:,} labels"


def _budget(tried: tuple[int, int], first: str, second: str) -> Iterator[str]:
    if tried[0] != tried[1]:
        less = second if tried[1] < tried[0] else first
        yield f"{first} was chosen from {tried[0]} settings, {second} from {tried[1]}: {less} was tuned less"
    elif tried == (1, 1):
        yield f"neither side was tuned: one setting each; a rate that suits {first} need not suit {second}"


def _curve(task: Task, amounts: Sequence[Sequence[Setting]]) -> list[tuple[float, float]]:
    """Labels and score, more is better, of the chosen setting for each amount; by labels."""
    found = []
    for settings in amounts:
        best = task.best(settings)
        if best.labels is not None:
            found.append((float(best.labels), task.sign * mean(best.test or best.validation)))
    return sorted(found)


def worth(score: float, curve: Sequence[tuple[float, float]]) -> Worth | None:
    """Where a learning curve, straight between its points over log(labels), first has this score.

    None with fewer than two amounts of labels.
    """
    if len(curve) < 2:
        return None
    if curve[0][1] >= score:
        return Worth(curve[0][0], within=True)
    for (x, low), (far, high) in itertools.pairwise(curve):
        if low < score <= high:
            return Worth(math.exp(math.log(x) + (score - low) / (high - low) * math.log(far / x)))
    return Worth(curve[-1][0], beyond=True)


def _reach(task: Task, pairs: Sequence[Sequence[Run]]) -> Reach | None:
    """Of each pair of seeds: the first evaluation that is at least as good as the second's best."""
    marks = []
    for ours, theirs in zip(*pairs, strict=True):
        records = ours.records("validation")
        if not records or any("C" in record for record in records):  # solved, not trained in steps
            return None
        target = task.sign * theirs.validation
        values = [(r["step"], r.get(task.metric)) for r in records]
        step = next((step for step, value in values if value is not None and task.sign * value >= target), None)
        if step is not None:
            marks.append((_cost(ours, step), _cost(theirs, theirs.result["best_step"])))
    if not marks:
        return Reach(len(pairs[0]), 0, None, None, None)
    steps, seconds, examples = (
        (median(mine[i] for mine, _ in marks), median(other[i] for _, other in marks)) for i in range(3)
    )
    return Reach(len(pairs[0]), len(marks), steps, seconds, examples)


def _cost(run: Run, step: int) -> tuple[float, float, float]:
    """Steps, seconds of training and evaluation, and examples up to a step."""
    share, spent = step / max(run.result["steps"], 1), run.result["seconds"]
    return float(step), share * (spent["train"] + spent["evaluate"]), share * run.result["examples"]
