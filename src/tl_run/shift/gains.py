"""What was observed on the target after training: each setting beside the source-only run and the ceiling."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from tl_run.report import runs
from tl_run.report.settings import Setting, Task, shown, tasks
from tl_run.report.statistics import Difference, over_seeds
from tl_run.shift.sides import Side

SOURCE_ONLY, CEILING, ADAPTED, OTHER = "source only", "trained on target", "adapted", "other data"


@dataclass(frozen=True)
class Row:
    """A setting, all its seeds together; differences are positive where it is better."""

    role: str
    words: str
    """How it was set."""
    test: list[float]
    """Of each seed."""
    to_source_only: Difference | None
    """None where there is nothing to compare with."""
    to_ceiling: Difference | None


@dataclass(frozen=True)
class Gains:
    """Settings that were tested on the same examples."""

    metric: str
    judged: str
    """Where those examples lie."""
    rows: list[Row]


def gains(folders: Sequence[Path], source: Side, target: Side) -> tuple[list[Gains], list[tuple[str, str]]]:
    """A table for each set of test examples, and what does not count, with the reason. Raises: BadOption.

    Where some runs are known to be tested on the target, since they were trained on it or adapt to it, only what was
    tested on the same examples is told.
    """
    found = runs.find([*folders])
    left_out = [*found.left_out]
    left_out += [(str(run.folder), "without a test split") for run in found.runs if run.test is None]
    made = tasks([run for run in found.runs if run.test is not None])
    roles = {id(setting): role(setting, source, target) for task in made for setting in task.settings}
    known = [task for task in made if any(_is_of_target(setting, roles[id(setting)]) for setting in task.settings)]
    for task in made if known else ():
        if task not in known:
            left_out += [(str(run.folder), "not tested on the target") for each in task.settings for run in each.runs]
    return [_gains(task, [roles[id(setting)] for setting in task.settings]) for task in known or made], left_out


def role(setting: Setting, source: Side, target: Side) -> str:
    """What a setting is to this source and target, by the rows that it was trained on."""
    data = setting.runs[0].data
    if data.get("train") == source.checksum:
        return ADAPTED if "domain" in data else SOURCE_ONLY
    return CEILING if data.get("train") == target.checksum else OTHER


def _is_of_target(setting: Setting, role: str) -> bool:
    return role == CEILING or bool(setting.runs[0].config.get("task.domain.test"))


def _gains(task: Task, roles: Sequence[str]) -> Gains:
    def best(wanted: str) -> Setting | None:
        """By validation: who looks for the best test score finds luck."""
        those = [setting for setting, own in zip(task.settings, roles, strict=True) if own == wanted]
        return task.best(those) if those else None

    baseline, ceiling = best(SOURCE_ONLY), best(CEILING)
    order = (SOURCE_ONLY, ADAPTED, OTHER, CEILING)
    rows = [
        Row(own, setting.words, setting.test, _difference(task, setting, baseline), _difference(task, setting, ceiling))
        for setting, own in sorted(zip(task.settings, roles, strict=True), key=lambda pair: order.index(pair[1]))
    ]
    config = task.settings[0].runs[0].config
    places = (config.get(f"task.{split}") for split in ("domain.test", "test", "dataset"))
    return Gains(task.metric, shown(next((place for place in places if place), task.name)), rows)


def _difference(task: Task, setting: Setting, other: Setting | None) -> Difference | None:
    """By seeds that both have; without any the difference of the means."""
    if other is None or other is setting:
        return None
    ours, theirs = ({run.seed: run.test for run in each.runs if run.test is not None} for each in (setting, other))
    if common := sorted({*ours} & {*theirs}):
        return over_seeds([task.sign * (ours[seed] - theirs[seed]) for seed in common])
    value = task.sign * (mean(ours.values()) - mean(theirs.values()))
    return Difference(value, None, None, 0, None, over_examples=False)
