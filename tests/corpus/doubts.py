"""What can be read and trained on, and is hardly what was meant: each is told in one warning, with counts."""

from typing import Any

from corpus.cases import BAD, CONLL, GOOD, OTHER_PAIRS, OTHERS, PAIRS, ROWS, Case, Content, csv_of
from corpus.json_files import lines
from corpus.kinds import scored
from corpus.questions import GOOD as ASKED
from corpus.questions import WHO, row

LABELS = csv_of(ROWS)


def warn(name: str, kind: str, train: Content, *words: str, suffix: str = ".csv", **others: Any) -> Case:
    return Case(name, kind, "warn", train, suffix, words, **others)


def dev(*rows: Any, name: str = "dev.csv") -> dict[str, Content]:
    return {name: csv_of(rows)}


MANY = [(f"{text} {word}", label) for word in ("again", "once", "twice", "at last", "today") for text, label in ROWS]
WORDY = " ".join(["word"] * 400)

CASES = [
    # the same in several splits
    warn(
        "validation is train",
        "classification",
        LABELS,
        "validation: 12 of 12",
        "in train too",
        "12 word for word",
        options=("task.validation=train.csv",),
    ),
    warn(
        "some of validation is in train",
        "classification",
        LABELS,
        "validation: 1 of 3",
        "1 word for word",
        files=dev(ROWS[4], *OTHERS),
    ),
    warn(
        *(
            "nearly the same",
            "classification",
            LABELS,
            "validation: 2 of 4",
            "0 word for word",
            "2 but for case, blanks and punctuation",
        ),
        files=dev((GOOD[0].upper() + "!", "yes"), (BAD[1].replace(" ", "  "), "no"), *OTHERS),
    ),
    warn(
        *("test is in train", "classification", LABELS, "test: 1 of 2", "in train too"),
        options=("task.test=test.csv",),
        files={"test.csv": csv_of([ROWS[0], ("a walk in the dark", "no")])},
    ),
    warn(
        *("test is validation", "classification", LABELS, "test: 2 of 2", "in validation too"),
        options=("task.test=dev.csv",),
    ),
    warn(
        "held out from a file with copies",
        "held-out",
        csv_of([*ROWS, *ROWS]),
        "validation: ",
        "in train too",
        "held out",
    ),
    warn("pairs of validation in train", "similarity", scored(OTHER_PAIRS[0]), "validation: 1 of 2", "in train too"),
    warn(
        "questions of validation in train",
        "qa",
        lines([ASKED, WHO]),
        "validation: 1 of 1",
        "in train too",
        suffix=".jsonl",
        options=("task.validation=two.jsonl",),
        files={"two.jsonl": lines([ASKED])},
    ),
    warn(
        "sentences of validation in train",
        "tagging",
        CONLL + "\nParis B-PER\nslept O\n",
        "validation: 1 of 2",
        "in train too",
        suffix=".conll",
    ),
    warn(
        "sources of validation in train",
        "generation",
        csv_of([("hello", "salut"), ("thank you", "merci")], ("source", "target")),
        "validation: 1 of 2",
        "in train too",
    ),
    warn(
        "texts of validation in train",
        "lm",
        "one fine film\nThe film was dull, and far too long for us!\n",
        "validation: 1 of 1",
        "in train too",
        suffix=".txt",
    ),
    # labels
    warn(
        "labels in other letters",
        "classification",
        csv_of([*ROWS, ("a fine one", "Yes")]),
        "'yes' (7)",
        "'Yes' (1)",
        "case or blanks",
    ),
    warn(
        "labels with blanks",
        "classification",
        csv_of([*ROWS, ("a fine one", "yes "), ("another fine one", " yes")]),
        "'yes' (7)",
        "'yes ' (1)",
        "case or blanks",
    ),
    warn(
        "labels in other letters among several",
        "multi-label",
        lines([{"text": t, "label": ["a", "b"]} for t in GOOD] + [{"text": BAD[0], "label": ["A"]}]),
        "'a' (7)",
        "'A' (1)",
        suffix=".jsonl",
    ),
    warn(
        "tags in other letters",
        "tagging",
        CONLL + "\nBonn B-per\n",
        "'B-PER' (2)",
        "'B-per' (1)",
        "case or blanks",
        suffix=".conll",
    ),
    warn(
        *(
            "numbers written in two ways",
            "classification",
            csv_of([*((t, "1") for t in GOOD), *((t, "0") for t in BAD), ("fine too", "1.0")]),
        ),
        *("'1' (7)", "'1.0' (1)"),
        files=dev((OTHERS[0][0], "1"), (OTHERS[1][0], "0")),
    ),
    warn(
        *(
            "labels of two types",
            "classification",
            lines(
                [
                    *({"text": t, "label": 1} for t in GOOD),
                    *({"text": t, "label": "1" if t == BAD[0] else "0"} for t in BAD),
                ]
            ),
        ),
        *("task.label", "6 numbers and 6 texts"),
        suffix=".jsonl",
        files=dev((OTHERS[0][0], "1"), (OTHERS[1][0], "0")),
    ),
    warn(
        "nearly as many labels as rows",
        "classification",
        csv_of([*((t, f"c{i}") for i, t in enumerate([*GOOD, *BAD])), ("fine", "c0")]),
        "12 labels in 13 rows",
        "task.label",
        files=dev((OTHERS[0][0], "c1"), (OTHERS[1][0], "c2")),
        warnings=1,
    ),
    warn(
        "columns swapped, with a text twice",
        "classification",
        csv_of([*((b, a) for a, b in ROWS), ("maybe", GOOD[0])]),
        "task.text=label task.label=text",
        files=dev(("yes", GOOD[1]), ("no", BAD[1])),
        warnings=3,
    ),
    warn(
        "the same text with two labels",
        "classification",
        csv_of([*ROWS, (GOOD[0], "no")]),
        "1 text",
        "other labels",
        "yes",
        "no",
    ),
    warn(
        "one class in validation",
        "classification",
        LABELS,
        "validation: every label is 'yes'",
        "2",
        files=dev(OTHERS[0], ("a joy", "yes")),
    ),
    warn(
        "hardly any of one class",
        "classification",
        csv_of([*MANY[::2], ("awful", "no")]),
        "'no' 1",
        "'yes' 30",
        "task.class_weights=balanced",
    ),
    # texts
    warn(
        "empty texts",
        "classification",
        csv_of([*ROWS, ("", "yes"), ("  ", "no")]),
        "train: 2 of 14",
        "empty",
        "line 14",
    ),
    warn(
        "the same text always",
        "classification",
        csv_of([("a film", label) for _, label in ROWS]),
        "every text is the same",
        "task.text",
        warnings=2,
    ),
    warn(
        "long texts", "classification", csv_of([*ROWS, (WORDY, "yes")]), "train: 1 of 13", "task.max_length=128", "cut"
    ),
    warn(
        "a text of a megabyte and a half",
        "classification",
        lambda: csv_of([*ROWS, ("good film " * 150_000, "yes")]),
        "train: 1 of 13",
        "cut",
    ),
    warn(
        "characters that were lost",
        "classification",
        csv_of([*ROWS, ("a caf\ufffd scene", "yes")]),
        "train: 1 of 13",
        "U+FFFD",
        "encoding",
    ),
    warn(
        "utf-8 read as western",
        "classification",
        csv_of([*ROWS, ("une soirée à l'opéra".encode().decode("cp1252"), "yes")]),
        "train: 1 of 13",
        "UTF-8",
        "WINDOWS-1252",
    ),
    warn(
        "ids twice",
        "classification",
        csv_of([(i % 11, *r) for i, r in enumerate(ROWS)], ("id", "text", "label")),
        "task.id",
        "1 of 12",
        "'0'",
        options=("task.id=id",),
        files={"dev.csv": csv_of([("a", *OTHERS[0]), ("b", *OTHERS[1])], ("id", "text", "label"))},
    ),
    warn(
        "both texts of a pair the same",
        "similarity",
        scored(("a cow", "a cow", 5), ("a horse", "a horse", 5)),
        "train: 2 of 8",
        "task.text_pair",
        "the same",
    ),
    warn(
        "targets that are their sources",
        "generation",
        csv_of([("hello", "salut"), ("taxi", "taxi"), ("yes", "oui")], ("source", "target")),
        "train: 1 of 3",
        "target",
        "the same",
    ),
    warn(
        "an empty question is no text",
        "generation",
        csv_of([("hello", "salut"), ("", "rien")], ("source", "target")),
        "train: 1 of 2",
        "empty",
        "line 3",
    ),
    # numbers
    warn(
        "a number far from all others",
        "regression",
        csv_of([*PAIRS, ("x", "y", 450)], ("one", "two", "score")),
        "train: 1 of 7",
        "450",
        "far",
    ),
    warn(
        "a score beyond those of train",
        "similarity",
        scored(),
        "validation: 1 of 3",
        "0.5 to 4.8",
        files={"dev.csv": csv_of([*OTHER_PAIRS, ("x", "y", 50)], ("one", "two", "score"))},
    ),
    # tags
    warn(
        "a broken sequence",
        "tagging",
        CONLL + "\nIda I-PER\nBerg I-PER\nspoke O\n",
        "1 of 4 spans",
        "I-",
        "task.scheme",
        suffix=".conll",
    ),
    warn(
        "a tag that train has not",
        "tagging",
        CONLL,
        "validation: 1 of 5 tokens",
        "B-LOC",
        suffix=".conll",
        files={"dev.conll": "Paris B-LOC\nslept O\n\nthe O\nBonn B-ORG\nwins O\n"},
    ),
    warn(
        "no blank line between sentences",
        "tagging",
        CONLL + "\n" + "we O\nsaw O\nBonn B-ORG\n. O\n" * 40,
        "train: 1 of 3",
        "160 tokens",
        "a blank line ends a sentence",
        suffix=".conll",
    ),
    # answers
    warn(
        "one context many times",
        "qa",
        lines([{**ASKED, "id": "a"}, {**WHO, "id": "a"}]),
        "task.id",
        "1 of 2",
        "'a'",
        suffix=".jsonl",
        options=("task.id=id", "task.validation=two.jsonl"),
        files={"two.jsonl": lines([{**row(["x"], [0], "x y z", "What?"), "id": "c"}])},
    ),
]
