"""Which examples train, choose and test: held-out validation, unlabelled splits, shots and limits. All of it seeded."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tl_run.errors import BadInput


@dataclass(frozen=True)
class Splits:
    """The examples of a run, and in words whatever was not taken as it stood."""

    train: list[Any]
    validation: list[Any]
    test: list[Any] | None
    notes: list[str]
    domain: list[Any] | None = None
    """Of another domain, without labels."""


def make(
    examples: Mapping[str, list[Any]],
    stratum: Callable[[Any], Hashable | None],
    group: Callable[[Any], Hashable] = id,
    *,
    share: float,
    split_seed: int,
    shots: int | None,
    limit: int | None,
    seed: int,
) -> Splits:
    """Splits from what was read. `stratum` is None for an example without a label; examples of one `group`
    are held out together, as the first of them.

    A test split without labels is not scored: validation becomes the test, and validation is held out from train.
    Held out first (by `split_seed`), then drawn (by `seed`), so that every seed is judged on the same validation.
    """
    notes: list[str] = []
    labelled = {}
    for split, rows in examples.items():
        labelled[split] = [row for row in rows if stratum(row) is not None]
        if labelled[split] and (lost := len(rows) - len(labelled[split])):
            notes.append(f"{split}: {lost} examples without a label are left out")
    train, validation, test = labelled["train"], labelled.get("validation"), labelled.get("test")
    if test is not None and not test:
        if validation:
            notes.append("the test split has no labels: validation is the test, and validation is held out from train")
        else:
            notes.append("the test split has no labels: it is not scored")
        validation, test = None, validation or None
    if not validation:
        train, validation = _held_out(train, stratum, group, share, split_seed)
        notes.append(
            f"validation: {len(validation)} examples held out from train, stratified (task.validation_share={share:g}, "
            f"task.split_seed={split_seed})"
        )
    if test is None:
        notes.append("test: none; the validation score chose the model, so it is somewhat too good")
    if shots:
        train = _shots(train, stratum, shots, seed)
        notes.append(f"train: {shots} examples per class drawn by seed={seed} (task.shots)")
    elif limit and limit < len(train):
        order = np.random.default_rng([seed, 1]).permutation(len(train))[:limit]
        train = [train[i] for i in sorted(order)]
        notes.append(f"train: {limit} examples drawn by seed={seed} (task.limit)")
    return Splits(train, validation, test, notes)


def _by_stratum(rows: Sequence[Any], stratum: Callable[[Any], Any], generator: np.random.Generator) -> list[list[int]]:
    """Indices of each stratum, shuffled, strata in order."""
    members: dict[Any, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        members[stratum(row)].append(i)
    return [[members[key][i] for i in generator.permutation(len(members[key]))] for key in sorted(members)]


def _held_out(
    rows: list[Any], stratum: Callable[[Any], Any], group: Callable[[Any], Any], share: float, seed: int
) -> tuple[list[Any], list[Any]]:
    groups: dict[Any, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        groups[group(row)].append(i)
    together = [*groups.values()]
    strata = _by_stratum([rows[first] for first, *_ in together], stratum, np.random.default_rng([seed, 0]))
    held = {i for members in strata for g in members[: round(share * len(members))] for i in together[g]}
    if not held:
        raise BadInput(
            f"train has {len(rows)} labelled examples, too few to hold out {share:.0%} of each class for validation: "
            "type task.validation=<file> or a larger task.validation_share"
        )
    return [row for i, row in enumerate(rows) if i not in held], [rows[i] for i in sorted(held)]


def _shots(rows: list[Any], stratum: Callable[[Any], Any], shots: int, seed: int) -> list[Any]:
    strata = _by_stratum(rows, stratum, np.random.default_rng([seed, 1]))
    if (fewest := min(map(len, strata))) < shots:
        few = f"one class has only {fewest} training examples"
        raise BadInput(f"task.shots={shots}, but {few}: type task.shots={fewest}")
    return [rows[i] for i in sorted(i for members in strata for i in members[:shots])]
