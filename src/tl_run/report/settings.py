"""Runs that differ in their seed alone are one setting; settings that are judged on the same examples are compared."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from tl_run.failures import printable
from tl_run.identity import NOT_PART
from tl_run.report.runs import CHAIN, Run

LABELS = ("task.limit", "task.shots")
"""Options that say how many labels there are."""
NOTHING = "–"
"""Where a setting has no such option."""


@dataclass(frozen=True)
class Setting:
    """Runs with different seeds, in their order, and what is particular to them."""

    number: int
    """Its place by validation, from 1."""
    values: dict[str, Any]
    """The options that are not the same in all settings."""
    runs: list[Run]

    @property
    def words(self) -> str:
        """`pretrained=true lr=0.0005`."""
        return " ".join(f"{key}={shown(value)}" for key, value in self.values.items() if value != NOTHING) or "as typed"

    @property
    def seeds(self) -> list[int]:
        """Of the runs."""
        return [run.seed for run in self.runs]

    @property
    def validation(self) -> list[float]:
        """The score of each run that chose its best model."""
        return [run.validation for run in self.runs]

    @property
    def test(self) -> list[float]:
        """The score of each run, where there is a test split."""
        return [run.test for run in self.runs if run.test is not None]

    @property
    def trainable(self) -> int:
        """Parameters that learn."""
        return self.runs[0].trainable

    @property
    def seconds(self) -> float:
        """Of a run, on average."""
        return mean(run.seconds for run in self.runs)

    @property
    def labels(self) -> int | None:
        """Training examples; None where neither the result nor the config says."""
        return self.runs[0].examples


@dataclass(frozen=True)
class Task:
    """Settings with one metric on the same examples, the best by validation first."""

    name: str
    metric: str
    higher_is_better: bool
    settings: list[Setting]

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.higher_is_better else -1

    def best(self, settings: Sequence[Setting]) -> Setting:
        """By validation, among those with at least half as many seeds as the most: one lucky seed wins nothing."""
        most = max(len(setting.runs) for setting in settings)
        eligible = [setting for setting in settings if 2 * len(setting.runs) >= most]
        return max(eligible, key=lambda setting: self.sign * mean(setting.validation))


def tasks(runs: Sequence[Run]) -> list[Task]:
    """The tasks of these runs, in the order of their names."""
    found: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        judged = run.data.get("test") or run.data.get("validation") or run.data.get("train") or ""
        found[shown(run.config.get("task.name", NOTHING)), run.metric, judged].append(run)
    titles = [(name, metric) for name, metric, _ in found]
    return [
        _task(name if titles.count((name, metric)) == 1 else f"{name} on {_judges(own[0])}", metric, own)
        for (name, metric, _), own in sorted(found.items())
    ]


def _judges(run: Run) -> str:
    """Where the examples lie that settings are judged on."""
    places = (run.config.get(f"task.{split}") for split in ("test", "validation", "train", "dataset"))
    return shown(next((place for place in places if place), NOTHING))


def _task(name: str, metric: str, runs: list[Run]) -> Task:
    folded: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        folded[run.setting].append(run)
    groups = [sorted(own, key=lambda run: run.seed) for own in folded.values()]
    columns = _varied([own[0] for own in groups])
    sign = 1 if runs[0].higher_is_better else -1
    groups.sort(key=lambda own: -sign * mean(run.validation for run in own))
    made = [
        Setting(number, {label: _value(own[0], key) for key, label in columns.items()}, own)
        for number, own in enumerate(groups, 1)
    ]
    return Task(name, metric, runs[0].higher_is_better, made)


def _varied(runs: Sequence[Run]) -> dict[str, str]:
    """Options with several values, and their short names: what follows from the choice of a group is left out."""
    known = dict.fromkeys(key for run in runs for key in run.config)
    groups = [*dict.fromkeys(key.partition(".")[0] for key in known)]
    keys = sorted(known, key=lambda key: groups.index(key.partition(".")[0]))  # some have options that others lack
    values = {key: {repr(_value(run, key)) for run in runs} for key in keys}
    chosen = [key for key in keys if len(values[key]) > 1 and (decides(key) or key in ("model.name", CHAIN))]
    kept = [key for key in chosen if not _follows(key, f"{key.partition('.')[0]}.name", chosen, runs)]
    alike = defaultdict(list)
    for run in runs:
        alike[tuple(repr(_value(run, key)) for key in kept)].append(run)
    # Their contents decide, and then only their places tell them apart.
    for where in ("task.train", "task.domain.train", "model.path"):
        if any(len({repr(_value(run, where)) for run in same}) > 1 for same in alike.values()):
            kept.append(where)
    short = [_short(key) for key in kept]
    return {key: name if short.count(name) == 1 else key for key, name in zip(kept, short, strict=True)}


def decides(key: str) -> bool:
    """Whether an option can change the result, the seed left out."""
    group, _, option = key.partition(".")
    drop = NOT_PART.get(group, set())
    return key != "seed" and drop is not None and option.partition(".")[0] not in drop


def _follows(key: str, choice: str, chosen: Sequence[str], runs: Sequence[Run]) -> bool:
    """Whether an option has one value for each choice of its group, which is shown already."""
    if key == choice or choice not in chosen or key in ("model.pretrained", CHAIN):
        return False
    pairs = {(repr(_value(run, choice)), repr(_value(run, key))) for run in runs}
    return len(pairs) == len({first for first, _ in pairs})


def _value(run: Run, key: str) -> Any:
    return run.config.get(key, NOTHING)


def _short(key: str) -> str:
    group, _, option = key.rpartition(".")
    return group if option == "name" else option


def shown(value: Any) -> str:
    """A value as it would be typed; of a path the last two names."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    text = printable(str(value))
    return "/".join(Path(text).parts[-2:]) if text.startswith("/") else text


def count(n: int, what: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{n:,} {what}{'s' if n != 1 else ''}"
