"""What a report holds, whoever shows it: for each task the answer, tables, sentences and cautions."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np

from tl_run.report import gain, sentences, tables
from tl_run.report.gain import Comparison
from tl_run.report.importance import FEWEST_RUNS, Importance, importance
from tl_run.report.runs import Found
from tl_run.report.settings import Setting, Task, tasks
from tl_run.report.statistics import FEWEST, LEVEL
from tl_run.report.tables import Table

NO_BETTER = 0.02  # than the largest class: not learned


@dataclass(frozen=True)
class Part:
    """What is said of one task."""

    task: Task
    comparisons: list[Comparison]
    headline: str
    best: str
    sentences: list[str]
    cautions: list[str]
    settings: Table
    gains: Table | None
    classes: Table | None
    confusion: tuple[list[str], list[list[int]]] | None
    importance: Importance | None
    importance_words: str


def parts(found: Found) -> list[Part]:
    """All tasks of these runs."""
    return [_part(task) for task in tasks(found.runs)]


def _part(task: Task) -> Part:
    compared, unpaired = gain.comparisons(task)
    mattered = importance(task)
    best = task.best(task.settings)
    return Part(
        task=task,
        comparisons=compared,
        headline=sentences.headline(task, compared),
        best=sentences.best(task),
        sentences=[sentences.of(task, comparison) for comparison in compared],
        cautions=[*_cautions(task, compared), *unpaired],
        settings=tables.of_settings(task),
        gains=tables.of_comparisons(task, compared) if compared else None,
        classes=tables.of_classes(best),
        confusion=_confusion(best),
        importance=mattered,
        importance_words=_importance_words(task, mattered),
    )


def _cautions(task: Task, compared: Sequence[Comparison]) -> list[str]:
    """What a reader must know before believing the figures; each once, with the labels it is of."""
    few = sum(len(setting.runs) < FEWEST for setting in task.settings)
    found: dict[str, list[str]] = {}
    if few:
        total = len(task.settings)
        whom = f"{few} of {total} settings have fewer than" if few < total else "no setting has"
        found[f"{whom} {FEWEST} seeds: there no interval is shown"] = []
    for c in compared:
        for caution in [*c.caveats, *_not_learned(c)]:
            if c.labels_words not in found.setdefault(caution, []):
                found[caution].append(c.labels_words)
    tested = sum(c.difference.p is not None for c in compared)
    if tested > 1:
        found[
            f"{tested} comparisons are tested at {100 * LEVEL:g} % each: "
            f"were there no differences at all, {tested * LEVEL:.2g} of them would be claimed by chance on average"
        ] = []
    return [f"{f'With {sentences.listed(where)}: ' if where else ''}{words}" for words, where in found.items()]


def _not_learned(c: Comparison) -> list[str]:
    """Sides that are no better than always saying the largest class."""
    found = []
    for side, setting, scores in zip((c.first, c.second), c.chosen, c.scores, strict=True):
        classes = setting.runs[0].classes
        if setting.runs[0].metric != "accuracy" or classes is None or classes.kind != "class" or c.split != "test":
            continue
        support = [row["support"] for row in classes.rows.values()]
        largest = max(support) / max(sum(support), 1)
        if mean(scores) < largest + NO_BETTER:
            found.append(
                f"{sentences.phrase(side)} is no better than always saying the largest class ({largest:.3f}): it has "
                "not learned, and is no baseline yet. Try more steps or other rates"
            )
    return found


def _confusion(best: Setting) -> tuple[list[str], list[list[int]]] | None:
    made = [run.classes for run in best.runs if run.classes and run.classes.confusion]
    if len(made) < len(best.runs) or any([*own.rows] != [*made[0].rows] for own in made):
        return None
    total = np.sum([own.confusion or [] for own in made], axis=0)
    return [*made[0].rows], total.tolist()


def _importance_words(task: Task, mattered: Importance | None) -> str:
    runs = sum(len(setting.runs) for setting in task.settings)
    if mattered is None:
        return f"Which options mattered: not told of {runs} runs; it takes {FEWEST_RUNS}, with different scores."
    words = (
        "Share of the variance of validation scores that goes with one option alone (one-way analysis of variance, "
        "epsilon squared: what chance gives is taken off)"
    )
    return f"{words}. " + (
        "The rest is options together, and chance."
        if mattered.grid
        else "Options were not varied in a full grid, so that shares overlap and one can stand for another."
    )
