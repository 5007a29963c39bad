"""What can be trained on, and is hardly what was meant: each doubt is one sentence with counts. Nothing is changed.

A kind of task is asked for `inputs` (id, what is read, gold) and `seen` of its examples; a file for its rows.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tl_run.data import leakage
from tl_run.data.splits import Splits
from tl_run.data.table import Table, quoted

TEXTS = ("text", "text_pair", "negative", "source", "question", "context")
"""Options that name a column of texts."""
SAME = (("text", "text_pair"), ("source", "target"))
"""Columns that are seldom the same in a row."""
RARE, FAR, MANY, SHARE = 20, 10, 10, 0.1
"""How often a class may be as large as another; how many interquartile ranges a number may lie outside; up to how many
labels nothing is doubted; from which share of rows equal columns are."""


def of(kind: Any, tables: Mapping[str, Table], splits: Splits) -> list[str]:
    """The doubts about what was read, and about the splits that were made of it."""
    made = {"train": splits.train, "validation": splits.validation, "test": splits.test or []}
    read = {split: leakage.Read.of(kind, examples) for split, examples in made.items()}
    gold, train = {split: own.gold for split, own in read.items()}, read["train"]
    found = leakage.told(read, held_out="validation" not in tables)
    texts = len({*train.seen})
    if kind.labels:
        found += [*_labels(kind, tables["train"], gold, texts), *leakage.torn(read)]
    for split, rows in tables.items():
        if split in made:
            found += _texts(kind.options, split, rows)
    if texts == 1 < len(train.seen):
        found.append(f"train: every text is the same ({train.shown(0)}): type another task.text")
    return found + _numbers(kind, gold)


def of_encoded(kind: Any, encoded: Mapping[str, Any]) -> list[str]:
    """The doubts that only the model's own view of the data raises: texts that are cut, pictures that lose much."""
    if kind.kinds:  # each task has its own
        own = {name: {split: rows.parts[name] for split, rows in encoded.items()} for name in kind.kinds}
        return [f"{name}: {doubt}" for name, each in kind.kinds.items() for doubt in of_encoded(each, own[name])]
    found, length = [], kind.options.max_length
    cut = {}
    for split, rows in encoded.items() if kind.cuts and length else ():
        lengths = rows.rows.lengths
        if count := int((lengths >= length).sum()):
            cut[split] = f"{count:,} of {len(lengths):,} texts ({count / len(lengths):.0%})"
    if cut:
        shown = ", ".join(f"{split}: {share}" for split, share in cut.items())
        found.append(f"{shown} reach task.max_length={length} tokens, and are cut there")
    odd = [rows.odd for rows in encoded.values() if hasattr(rows, "odd")]
    total = sum(len(rows) for rows in encoded.values())
    for name, counts in zip(ODD, zip(*odd, strict=True), strict=True) if odd else ():
        if count := sum(counts):
            found.append(f"{count:,} of {total:,} pictures are {ODD[name]}")
    return found


ODD = {
    "animated": "animated: only the first of their frames is read",
    "transparent": "transparent in places: the colours there are read as if they could be seen",
    "deep": "of more than 8 bits a value: what is above 255 is read as white; save them with 8 bits",
}


def _labels(kind: Any, train: Table, gold: Mapping[str, Sequence[Any]], texts: int) -> list[str]:
    """Of names of classes or tags; `texts` is how many different ones train has."""
    counts = {split: Counter(_flat(labels)) for split, labels in gold.items()}
    every = sum(counts.values(), Counter[str]())
    found = [*_variants(every), *_types(kind.options, train)]
    for split in ("validation", "test"):
        own, total = counts[split], counts[split].total()
        lost = {name: count for name, count in own.most_common() if name not in kind.labels}
        if lost:
            shown = ", ".join(f"{quoted(name)} ({count})" for name, count in [*lost.items()][:3])
            what = f"{split}: {sum(lost.values()):,} of {total:,} tokens have a tag that train has not ({shown})"
            found.append(f"{what}: it is never predicted and always missed")
    if any(isinstance(each, list) for each in gold["train"]):
        return found
    for split in ("validation", "test"):
        if len(counts[split]) == 1 and counts[split].total() > 1:
            (name,) = counts[split]
            found.append(
                f"{split}: every label is {quoted(name)} ({counts[split].total():,} examples): its scores tell no "
                "good model from one that always says so"
            )
    names, rows = len(kind.labels), len(train.rows)
    if names > max(MANY, rows / 2):
        advice = "type another task.label"
        if texts < names and getattr(kind.options, "text", None):
            advice += f", or task.text={kind.options.label} task.label={kind.options.text} where they are swapped"
        found.append(f"train: {names:,} labels in {rows:,} rows: where they are ids or numbers {advice}")
    elif counts["train"] and getattr(kind.options, "class_weights", "") == "none":
        (largest, most), *_, (smallest, least) = [*counts["train"].most_common(), counts["train"].most_common()[-1]]
        if most > RARE * least:
            found.append(
                f"train: the classes are very unequal: {quoted(largest)} {most:,}, {quoted(smallest)} {least:,}: "
                "task.class_weights=balanced counts each class as much"
            )
    return found


def _flat(labels: Sequence[Any]) -> Iterator[str]:
    for label in labels:
        if isinstance(label, list):
            yield from map(str, label)
        elif label is not None:
            yield str(label)


def _variants(counts: Counter[str]) -> list[str]:
    """Labels that are one but for case and blanks, or one number."""
    alike: dict[Any, list[str]] = defaultdict(list)
    for name in counts:
        alike[_number(name) or " ".join(name.split()).casefold()].append(name)
    groups = [sorted(names, key=lambda name: -counts[name]) for names in alike.values() if len(names) > 1]
    if not groups:
        return []
    shown = "; ".join(", ".join(f"{quoted(name)} ({counts[name]:,})" for name in names) for names in groups[:3])
    more = f"; and {len(groups) - 3} more" if len(groups) > 3 else ""
    return [
        f"labels of all splits that differ only in case or blanks, or are one number: {shown}{more}: each is a class "
        "of its own"
    ]


def _number(name: str) -> str | None:
    try:
        value = float(name)
    except ValueError:
        return None
    return repr(value) if math.isfinite(value) else None


def _types(options: Any, rows: Table) -> list[str]:
    """Labels of JSON or Parquet that are numbers here and texts there: 1 and "1" become one label."""
    column = getattr(options, "label", None)
    if not column or column not in rows.columns:
        return []
    names = {bool: "true or false", int: "numbers", str: "texts"}
    kinds = Counter(names[type(row[column])] for row in rows.rows if type(row[column]) in names)
    if len(kinds) < 2:
        return []
    shown = " and ".join(f"{count:,} {name}" for name, count in kinds.items())
    return [f"{rows.path}: '{column}' holds {shown}: 1 and \"1\" are taken as one label (task.label)"]


def _texts(options: Any, split: str, rows: Table) -> list[str]:
    """Of the columns of texts: empty ones, lost characters, equal columns; repeated ids."""
    found, total = [], len(rows.rows)
    columns = [column for role, column in options.columns.items() if role in TEXTS and column in rows.columns]
    for column in dict.fromkeys(columns):
        values = [row[column] for row in rows.rows]
        empty = [i for i, text in enumerate(values) if isinstance(text, str) and not text.strip()]
        if empty and options.kind != "lm":  # there they are strung together
            where = rows.where(empty[0])
            found.append(f"{split}: {len(empty):,} of {total:,} in '{column}' are empty (the first: {where})")
        foreign = [text for text in values if isinstance(text, str) and not text.isascii()]
        if lost := sum("\ufffd" in text for text in foreign):
            found.append(
                f"{split}: {lost:,} of {total:,} in '{column}' hold U+FFFD, which stands for lost characters: "
                "convert the file anew from its own encoding"
            )
        if wrong := [text for text in foreign if _misread(text)]:
            found.append(
                f"{split}: {len(wrong):,} of {total:,} in '{column}' are UTF-8 that was read as WINDOWS-1252 "
                f"({quoted(wrong[0])}): convert them back, or export the data anew"
            )
    for one, other in SAME if split == "train" else ():
        first, second = options.columns.get(one), options.columns.get(other)
        if first in rows.columns and second in rows.columns:
            same = sum(row[first] == row[second] for row in rows.rows)
            if same >= SHARE * total:
                found.append(f"train: {same:,} of {total:,} rows have the same in task.{one} and task.{other}")
    if options.id and options.id in rows.columns:
        ids = Counter(str(row[options.id]) for row in rows.rows)
        if again := total - len(ids):
            first = next(name for name, count in ids.items() if count > 1)
            found.append(f"task.id: {again:,} of {total:,} ids of {split} occur before (the first: {quoted(first)})")
    return found


def _misread(text: str) -> bool:
    """Whether it is UTF-8 that was decoded as WINDOWS-1252: no other text of that alphabet is valid UTF-8."""
    try:
        text.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return False
    return True


def _numbers(kind: Any, gold: Mapping[str, Sequence[Any]]) -> list[str]:
    """Labels that are numbers: those far from the others, and scores of a split that train's do not reach."""
    import numpy as np

    found = []
    values = np.array([value for value in gold["train"] if isinstance(value, float)])
    if len(values) > 3:
        low, high = np.percentile(values, [25, 75])
        far = values[(values < low - FAR * (high - low)) | (values > high + FAR * (high - low))]
        if high > low and len(far):
            found.append(
                f"train: {len(far):,} of {len(values):,} labels lie far from the others, as {far[0]:g} (half of all "
                f"are {low:g} to {high:g}): where they stand for missing ones, take these rows out"
            )
    if getattr(kind, "form", "") == "scores":
        low, high = kind.range
        for split in ("validation", "test"):
            scores = [value for value in gold[split] if value is not None]
            if beyond := sum(not low <= value <= high for value in scores):
                found.append(
                    f"{split}: {beyond:,} of {len(scores):,} scores are not within {low:g} to {high:g}, as train's are"
                )
    return found
