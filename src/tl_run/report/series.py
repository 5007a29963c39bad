"""Points of pictures: scores of runs with the same seed set, over steps, labels, parameters or seconds."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tl_run.report.gain import Comparison
from tl_run.report.settings import Setting, Task, shown

MOST = 6  # lines that can be told apart
NUMBERED = 8
LABEL_OPTIONS = ("limit", "shots", "task.limit", "task.shots")


@dataclass(frozen=True)
class Point:
    """Scores over seeds at one place."""

    x: float
    scores: list[float]
    number: int = 0
    """Of the setting in the table, where it is written beside the point."""


@dataclass(frozen=True)
class Curve:
    """Points with one name."""

    name: str
    points: list[Point]


def telling(task: Task, comparisons: Sequence[Comparison]) -> list[Setting]:
    """The settings that are drawn over time: those that are compared, then the best by validation."""
    compared = [setting for comparison in comparisons for setting in comparison.chosen]
    found = {setting.number: setting for setting in [*compared, *task.settings]}
    return sorted([*found.values()][:MOST], key=lambda setting: setting.number)


def over_steps(settings: Sequence[Setting], kind: str, name: str) -> list[Curve]:
    """A value of metrics.jsonl by step, where all seeds of a setting have one."""
    made = []
    for setting in settings:
        values: dict[int, list[float]] = defaultdict(list)
        for run in setting.runs:
            for step, value in run.values(kind, name):
                values[step].append(value)
        points = [Point(step, own) for step, own in sorted(values.items()) if len(own) == len(setting.runs)]
        if points:
            made.append(Curve(named(setting), points))
    return made


def over_labels(task: Task, comparisons: Sequence[Comparison]) -> tuple[str, list[Curve]]:
    """Split, and a curve for each side that is compared, else for each setting but for its labels."""
    found: dict[str, dict[float, list[float]]] = defaultdict(dict)
    if comparisons:
        several = len({c.model for c in comparisons}) > 1
        for c in comparisons:
            for side, setting in zip((c.first, c.second), c.chosen, strict=True):
                if setting.labels:
                    scores = setting.test if c.split == "test" else setting.validation
                    found[f"{c.model}, {side}" if several else side][setting.labels] = scores
        split = comparisons[0].split
    else:
        split = "validation"
        for setting in task.settings:
            own = {key: value for key, value in setting.values.items() if key not in LABEL_OPTIONS}
            name = " ".join(f"{key}={shown(value)}" for key, value in own.items()) or task.name
            if setting.labels and (name in found or len(found) < MOST):
                found[name][setting.labels] = setting.validation
    curves = [Curve(_cut(name), [Point(x, own[x]) for x in sorted(own)]) for name, own in found.items()]
    return split, curves if len({x for own in found.values() for x in own}) > 1 else []


def over_cost(task: Task, what: str) -> list[Curve]:
    """Every setting at its trainable parameters or seconds, coloured by the first option with few values.

    Numbers are those of the table, for the best.
    """
    keys = [
        key
        for key in task.settings[0].values
        if key not in LABEL_OPTIONS and len({shown(setting.values[key]) for setting in task.settings}) <= MOST
    ]
    found: dict[str, list[Point]] = defaultdict(list)
    for setting in task.settings:
        name = f"{keys[0]}={shown(setting.values[keys[0]])}" if keys else task.name
        number = setting.number if setting.number <= NUMBERED else 0
        found[name].append(Point(getattr(setting, what), setting.validation, number))
    several = len({point.x for points in found.values() for point in points}) > 1
    return [Curve(_cut(name), points) for name, points in found.items()] if several else []


def named(setting: Setting) -> str:
    """Number and words."""
    return _cut(f"#{setting.number} {setting.words}")


def _cut(name: str) -> str:
    return name if len(name) <= 58 else f"{name[:57]}…"
