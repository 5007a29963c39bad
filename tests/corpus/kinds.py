"""What is wrong, or odd, for one kind of task: labels, numbers, pairs, entities, targets, plain text, triples."""

from typing import Any, Literal

from corpus.cases import BAD, GOOD, OTHERS, PAIRS, RELATIONS, ROWS, Case, Content, csv_of
from corpus.json_files import lines

Verdict = Literal["error", "accept", "warn"]
COLUMNS = ("one", "two", "score")
MULTI = [{"text": text, "label": [label]} for text, label in zip(GOOD, "abcabc", strict=True)]
ALONE = csv_of([(text, f"id{i}") for i, text in enumerate([*GOOD, *BAD])])


def error(name: str, kind: str, train: Content, *words: str, suffix: str = ".csv", **others: Any) -> Case:
    return Case(name, kind, "error", train, suffix, words, **others)


def accept(name: str, kind: str, train: Content, values: Any, suffix: str = ".csv", **others: Any) -> Case:
    return Case(name, kind, "accept", train, suffix, values=values, **others)


def scored(*rows: Any) -> str:
    return csv_of([*PAIRS, *rows], COLUMNS)


def related(*rows: tuple[str, str]) -> str:
    return csv_of([*RELATIONS, *rows])


def offsets(*rows: tuple[str, str, str, str]) -> str:
    good = [
        ("rain caused the flood", "[0, 4]", "[16, 21]", "cause"),
        ("the wheel of a car", "[4, 9]", "[15, 18]", "part"),
    ]
    return csv_of([*good, *rows], ("text", "e1", "e2", "label"))


PLACES = ("task.head=e1", "task.tail=e2", "task.validation=null", "task.validation_share=0.5")
COMMA = "task.label_separator=','"

CASES = [
    # classes
    error(
        "one label only",
        "classification",
        csv_of((t, "yes") for t in GOOD),
        "train.csv",
        "1 label (yes)",
        "two or more",
        "task.label",
    ),
    error("an id for a label", "classification", ALONE, "train.csv", "a label of its own", "an id"),
    error(
        *("columns swapped", "classification", csv_of([(label, text) for text, label in ROWS])),
        *("a label of its own", "task.text=label task.label=text"),
    ),
    error(
        "no label at all", "classification", csv_of((t, "") for t in GOOD), "train.csv, line 2", "missing", "task.label"
    ),
    error(
        "one label is missing",
        "classification",
        csv_of([*ROWS, ("no opinion", "")]),
        "train.csv, line 14",
        "missing",
        "task.label",
    ),
    error(
        *(
            "a label misspelt in validation",
            "classification",
            csv_of(ROWS),
            "dev.csv, line 3",
            "'yess'",
            "Did you mean 'yes'?",
        ),
        files={"dev.csv": csv_of([*OTHERS[:1], ("clever", "yess")])},
    ),
    error(
        *(
            "a label in other letters in validation",
            "classification",
            csv_of(ROWS),
            "dev.csv, line 2",
            "Did you mean 'yes'?",
        ),
        files={"dev.csv": csv_of([("clever", "Yes"), *OTHERS])},
    ),
    error(
        "too few to hold out", "held-out", csv_of([("good", "yes"), ("bad", "no")]), "too few", "task.validation=<file>"
    ),
    # several labels
    error(
        "labels in one text",
        "multi-label",
        csv_of([("good", "a,b"), ("bad", "b")]),
        "train.csv, line 2",
        "task.label_separator",
    ),
    error(
        *("lists as python writes them", "multi-label", csv_of([("good", "['a', 'b']"), ("bad", "['b']")])),
        *("train.csv, line 2", "a list written as text", "JSONL"),
        options=(COMMA,),
    ),
    error(
        "a label that is a number with a fraction",
        "multi-label",
        lines([*MULTI, {"text": "x", "label": ["a", 1.5]}]),
        "line 7",
        "a number",
        suffix=".jsonl",
    ),
    error(
        "an empty label in a list",
        "multi-label",
        lines([*MULTI, {"text": "x", "label": ["a", ""]}]),
        "line 7",
        "missing",
        suffix=".jsonl",
    ),
    error(
        "one label for all",
        "multi-label",
        lines({"text": t, "label": ["a"]} for t in GOOD),
        "1 label (a)",
        "two or more",
        suffix=".jsonl",
    ),
    error(
        *("a new label in validation", "multi-label", lines(MULTI), "dev.jsonl, line 1", "'aa'", "Did you mean"),
        suffix=".jsonl",
        files={"dev.jsonl": lines([{"text": "clever", "label": ["aa"]}])},
    ),
    accept(
        *(
            "texts without a label, and one twice",
            "multi-label",
            lines([*MULTI, {"text": "x", "label": []}, {"text": "y", "label": ["b", "a", "b"]}]),
        ),
        [*((each["text"], each["label"]) for each in MULTI), ("x", []), ("y", ["a", "b"])],
        suffix=".jsonl",
    ),
    accept(
        *("labels between bars", "multi-label", csv_of([("good", "a| b"), ("bad", "c"), ("so", "")])),
        [("good", ["a", "b"]), ("bad", ["c"]), ("so", [])],
        options=("task.label_separator='|'",),
    ),
    # numbers
    error(
        "a comma in a number",
        "regression",
        scored(("x", "y", "3,5")),
        "train.csv, line 8",
        "'3,5'",
        "3.5",
        "task.label",
    ),
    error(
        "a word for a number",
        "regression",
        scored(("x", "y", "five")),
        "train.csv, line 8",
        "'five'",
        "a number is needed",
    ),
    error("infinity", "regression", scored(("x", "y", "inf")), "train.csv, line 8", "'inf'", "a number is needed"),
    error(
        "NaN for a number", "regression", scored(("x", "y", "nan")), "train.csv, line 8", "'nan'", "a number is needed"
    ),
    error("no number", "regression", scored(("x", "y", "")), "train.csv, line 8", "missing", "a number is needed"),
    error(
        "the same number always",
        "regression",
        csv_of([(*p[:2], 3) for p in PAIRS], COLUMNS),
        "train.csv",
        "1 value",
        "two or more",
    ),
    accept(
        *(
            "numbers as people write them",
            "regression",
            scored(("x", "y", " 4 "), ("v", "w", "1e0"), ("t", "u", "+.5")),
        ),
        [*(float(row[2]) for row in PAIRS), 4.0, 1.0, 0.5],
        shown=("gold",),
    ),
    # pairs
    error(
        "a word for a score",
        "similarity",
        scored(("x", "y", "same")),
        "train.csv, line 8",
        "'same'",
        "task.loss=classifier",
    ),
    error(
        "no score column",
        "similarity",
        csv_of([p[:2] for p in PAIRS], COLUMNS[:2]),
        "no column 'score'",
        "task.label=null",
    ),
    error(
        "no second text",
        "similarity",
        csv_of([(p[0], p[2]) for p in PAIRS], ("one", "score")),
        "task.text_pair",
        "no column 'two'",
    ),
    error(
        "one score for all",
        "similarity",
        csv_of([(*p[:2], 1) for p in PAIRS], COLUMNS),
        "train.csv",
        "1 value",
        "two or more",
    ),
    accept(
        *("scores of json", "similarity", lines(dict(zip(COLUMNS, row, strict=True)) for row in PAIRS), [*PAIRS]),
        suffix=".jsonl",
        shown=("text", "text_pair", "gold"),
    ),
    # relations
    error(
        "an entity is not marked",
        "relation",
        related(("<e1>rain</e1> and the flood", "cause")),
        "train.csv, line 6",
        "no <e2>",
        "<e1>one</e1>",
    ),
    error(
        "an entity marked twice",
        "relation",
        related(("<e1>rain</e1> <e1>or</e1> <e2>so</e2>", "cause")),
        "line 6",
        "<e1> twice",
    ),
    error(
        "nothing in a mark", "relation", related(("<e1> </e1> and <e2>so</e2>", "cause")), "line 6", "nothing in <e1>"
    ),
    error(
        "a mark closed before it opens",
        "relation",
        related(("</e1>rain<e1> and <e2>so</e2>", "cause")),
        "line 6",
        "<e1> after its end",
    ),
    error(
        "offsets beyond the text",
        "relation",
        offsets(("rain", "[0, 4]", "[9, 12]", "part")),
        "line 4",
        "[9, 12]",
        "0 to 4",
        options=PLACES,
    ),
    error(
        "offsets that are words",
        "relation",
        offsets(("rain", "rain", "[1, 2]", "part")),
        "line 4",
        "'rain'",
        "[start, end]",
        options=PLACES,
    ),
    error(
        "an offset alone",
        "relation",
        offsets(("rain", "0", "[1, 2]", "part")),
        "line 4",
        "[start, end] is needed",
        options=PLACES,
    ),
    accept(
        *("one entity in another", "relation", related(("the <e1>lid of the <e2>pot</e2></e1>", "part"))),
        [*(("rain", "flood"), ("wheel", "car"), ("smoke", "fog"), ("page", "book")), ("lid of the pot", "pot")],
        shown=("head", "tail"),
    ),
    # targets
    error(
        "no target in a row",
        "generation",
        csv_of([("hello", "salut"), ("bye", "")], ("source", "target")),
        "train.csv, line 3",
        "missing",
        "task.target",
    ),
    error(
        "no target at all",
        "generation",
        csv_of([("hello", ""), ("bye", "")], ("source", "target")),
        "train.csv",
        "task.target",
    ),
    error(
        "no source column",
        "generation",
        csv_of([("hello", "salut")], ("src", "target")),
        "task.source",
        "did you mean 'src'?",
    ),
    error(
        *(
            "references that are one text",
            "generation",
            '{"source": "a", "target": "b", "refs": "c"}\n',
            "line 1",
            "a text",
            "a list of texts",
        ),
        suffix=".jsonl",
        options=("task.references=refs",),
    ),
    accept(
        *(
            "targets that look like nothing",
            "generation",
            csv_of([("hello", "NA"), ("bye", "0"), ("yes", "null")], ("source", "target")),
        ),
        [("hello", "NA"), ("bye", "0"), ("yes", "null")],
        shown=("source", "gold"),
    ),
    # plain text
    error("a pdf named txt", "lm", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "train.txt", "PDF", suffix=".txt"),
    error("nothing but blanks", "lm", "\n  \n\n", "train.txt", "no text", suffix=".txt"),
    error("a word document", "lm", b"PK\x03\x04" + bytes(30), "train.docx", ".docx", ".txt", suffix=".docx"),
    error("a table without texts", "lm", csv_of(ROWS, ("review", "label")), "task.text", "no column 'text'"),
    accept(
        *("lines of all sorts", "lm", "\ufeffone fine film\r\n\r\n\t two \r\nthree"),
        [("one fine film",), ("\t two ",), ("three",)],
        suffix=".txt",
        shown=("text",),
    ),
    # triples
    error(
        "no tail",
        "triples",
        "head\trelation\ttail\nlyon\tin\tfrance\nbonn\tin\t\n",
        "train.tsv, line 3",
        "'tail'",
        "a name is needed",
        suffix=".tsv",
    ),
    error(
        "triples without names",
        "triples",
        "lyon\tin\tfrance\nbonn\tin\tgermany\n",
        "task.head",
        "no column 'head'",
        "the first line",
        suffix=".tsv",
    ),
    error(
        "two columns of three",
        "triples",
        "head\trelation\ttail\nlyon\tin\n",
        "train.tsv, line 2",
        "2 fields where the header has 3",
        suffix=".tsv",
    ),
    error(
        "no name that train knows",
        "triples",
        "head\trelation\ttail\nbonn\tin\tgermany\n",
        "validation",
        "names that train has not",
        suffix=".tsv",
    ),
]
