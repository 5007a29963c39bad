"""What transfer was worth, for each amount of labels: pretrained against from scratch and against a frozen probe, and
every way of transferring or of augmenting against plain fine-tuning.

Each side's setting is chosen on validation; test is looked at for the chosen ones alone.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

import numpy as np

from tl_run.report import effort, scores
from tl_run.report.effort import Reach, Worth
from tl_run.report.runs import Run
from tl_run.report.settings import LABELS, Setting, Task, count, decides, shown
from tl_run.report.statistics import Difference, Disagreement, mcnemar, over_seeds, over_seeds_and_examples

PRETRAINED, PROBE, SCRATCH = "pretrained", "frozen probe", "from scratch"
PLAIN = "plain fine-tuning"
AGAINST = ((PRETRAINED, SCRATCH), (PRETRAINED, PROBE), (PROBE, SCRATCH))


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
    worth: Worth | None = None
    caveats: list[str] = field(default_factory=list)

    @property
    def transfers(self) -> bool:
        """Whether the first brings what the second has not seen: if it is worse, that is negative transfer."""
        config = self.chosen[0].runs[0].config
        return self.second == SCRATCH or (self.second == PLAIN and config.get("task.domain.train") is not None)


Sides = dict[str, dict[str, list[Setting]]]
"""Settings by labels, and by side."""


def comparisons(task: Task) -> tuple[list[Comparison], list[str]]:
    """All that these settings allow, by model, pair of sides and labels; and in words those that no seed allows."""
    made, unpaired = [], []
    for sides, against in [*_by_start(task.settings), *_by_way(task.settings)]:
        for first, second in against:
            if first == PROBE and any(PRETRAINED in own for own in sides.values()):
                continue
            both = [
                _compare(task, first, second, own[first], own[second])
                for own in sides.values()
                if first in own and second in own
            ]
            found = sorted((c for c in both if isinstance(c, Comparison)), key=lambda c: c.labels or math.inf)
            unpaired += [words for words in both if isinstance(words, str)]
            curve = effort.curve(task, [own[second] for own in sides.values() if second in own])
            for each in found:
                each.worth = effort.worth(task.sign * mean(each.scores[0]), curve)
            made += found
    return made, unpaired


def _start(setting: Setting) -> str | None:
    config = setting.runs[0].config
    frozen = config.get("freeze.name") == "trunk" and config.get("adapter.name", "none") == "none"
    match config.get("model.pretrained"):
        case True:
            return PROBE if frozen else PRETRAINED
        case False if not frozen:  # a trunk of random weights that stays so is no training from scratch
            return SCRATCH
    return None


def _way(setting: Setting) -> str:
    config = setting.runs[0].config
    plain = {"transfer": "finetune", "augment": "none"}
    chosen = {group: config.get(f"{group}.name", name) for group, name in plain.items()}
    return " ".join(f"{group}={name}" for group, name in chosen.items() if name != plain[group]) or PLAIN


def _by_start(settings: Sequence[Setting]) -> Iterator[tuple[Sides, Sequence[tuple[str, str]]]]:
    """What the model begins with; how it goes on from there is a hyperparameter."""
    for sides in _contexts(settings, _start, ("model.name", "model.path"), ()):
        yield sides, AGAINST


def _by_way(settings: Sequence[Setting]) -> Iterator[tuple[Sides, Sequence[tuple[str, str]]]]:
    """How it goes on from the same beginning. The other domain is no part of the task: plain fine-tuning reads none."""
    for sides in _contexts(settings, _way, ("model.name", "model.path", "model.pretrained"), ("domain",)):
        ways = dict.fromkeys(way for own in sides.values() for way in own if way != PLAIN)
        yield sides, [(way, PLAIN) for way in ways]


def _contexts(
    settings: Sequence[Setting], side_of: Callable[[Setting], str | None], shared: Sequence[str], free: Sequence[str]
) -> list[Sides]:
    """By what two sides must share (these options, the task and its data but for `free`): labels, then sides."""
    found: Any = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for setting in settings:
        run = setting.runs[0]
        data = sorted((split, checksum) for split, checksum in run.data.items() if split not in free)
        options = [key for key in run.config if key.startswith("task.") and decides(key) and key not in LABELS]
        options = [key for key in options if key.removeprefix("task.").partition(".")[0] not in free]
        context = repr([data, *((key, run.config.get(key)) for key in (*shared, *sorted(options)))])
        amount = repr([run.config.get(key) for key in LABELS])
        if side := side_of(setting):
            found[context][amount][side].append(setting)
    return list(found.values())


def _compare(
    task: Task, first: str, second: str, ours: Sequence[Setting], theirs: Sequence[Setting]
) -> Comparison | str:
    chosen = task.best(ours), task.best(theirs)
    common = sorted({*chosen[0].seeds} & {*chosen[1].seeds})
    run = chosen[0].runs[0]
    labels_words = _labels_words(run, chosen[0].labels)
    if not common:
        return f"with {labels_words}, {first} and {second} have no seed in common: they are not compared"
    pairs = [[run for run in side.runs if run.seed in common] for side in chosen]
    tested = all(run.test is not None for side in pairs for run in side)
    split = "test" if tested else "validation"
    found = tuple([(run.test if run.test is not None and tested else run.validation) for run in side] for side in pairs)
    assert len(found) == 2
    difference, disagreement, caveats = _difference(task, pairs, found)
    tried = (len(ours), len(theirs))
    made = Comparison(
        model=shown(run.config.get("model.path" if run.config.get("model.name") == "custom" else "model.name")),
        first=first,
        second=second,
        labels=chosen[0].labels,
        labels_words=labels_words,
        chosen=chosen,
        tried=tried,
        split=split,
        scores=found,
        difference=difference,
        disagreement=disagreement,
        reach=None if run.config.get("task.domain.test") else effort.reach(task, pairs),  # validation is elsewhere
        caveats=[*_budget(tried, first, second), *caveats],
    )
    if not tested:
        made.caveats.append("without a test split the scores are those that chose the models: somewhat too good")
    if lost := sorted({*chosen[0].seeds} ^ {*chosen[1].seeds}):
        made.caveats.append(f"seeds that were run on one side alone are left out: {', '.join(map(str, lost))}")
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
    marks = [
        [mark for own in zip(side, half, strict=True) if (mark := scores.right(*own)) is not None]
        for side, half in zip(pairs, halves, strict=True)
    ]
    told = len(marks[0]) == len(marks[1]) == n
    disagreement = mcnemar(np.stack(marks[0]), np.stack(marks[1])) if told else None
    both = [scores.scorer(side, half, own) for side, half, own in zip(pairs, halves, found, strict=True)]
    if both[0] is None or both[1] is None:
        return plain, disagreement, [f"{task.metric} is not counted per example here: the interval is over seeds alone"]
    sides = both if task.higher_is_better else both[::-1]
    assert sides[0] is not None
    assert sides[1] is not None
    return over_seeds_and_examples(sides[0], sides[1], len(lines[0])), disagreement, []


def _labels_words(run: Run, labels: int | None) -> str:
    if shots := run.config.get("task.shots"):
        return f"{shots} labels per class"
    what = "texts" if run.config.get("task.kind") == "lm" else "labels"
    return f"all {what}" if labels is None else f"{labels:,} {what}"


def _budget(tried: tuple[int, int], first: str, second: str) -> Iterator[str]:
    if tried[0] != tried[1]:
        less = second if tried[1] < tried[0] else first
        yield f"{first} was chosen from {count(tried[0], 'setting')}, {second} from {tried[1]}: {less} was tuned less"
    elif tried == (1, 1):
        yield "neither side was tuned: one setting each, and a rate that suits one need not suit the other"
