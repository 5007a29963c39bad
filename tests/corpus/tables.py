"""CSV and TSV: bytes, line ends, quotes, headers, rows."""

import gzip
from typing import Any

from corpus.cases import OTHERS, ROWS, Case, Content, csv_of

LABELS = csv_of(ROWS)
ENDS = LABELS.replace("\n", "{end}")
MISSING = [("NA", "nan"), ("null", "NA"), ("None", "nan"), ("nil", "NA")]
NUMBERS = [("007", "1e5"), ("7", "007"), ("1e5", "1e5"), ("100000", "007")]
QUOTED = [('well, "good"', "yes"), ("two\nlines", "no")]
STRANGE = [
    ("一部好电影 👩‍👩‍👧", "yes"),
    ("a\u2028b\x85c", "no"),
    ("\u202eright to left", "yes"),
    ("e\u0301te\u0301", "no"),
]
TSV = 'say "no" to it\tno\n"\tyes\n""a\tno\n"quoted"\tyes\n'
IDS = [(f"r{i}", text) for i, (text, _) in enumerate(ROWS)]


def with_row(text: str) -> str:
    """A good file with one more line, the 14th."""
    return LABELS + text + "\n"


def error(
    name: str, train: Content, *words: str, suffix: str = ".csv", options: tuple[str, ...] = (), **others: Any
) -> Case:
    return Case(name, "classification", "error", train, suffix, words, options=options, **others)


def accept(
    name: str, train: Content, values: Any, *, suffix: str = ".csv", options: tuple[str, ...] = (), **others: Any
) -> Case:
    return Case(name, "classification", "accept", train, suffix, values=values, options=options, **others)


CASES = [
    # nothing, or not what its name says
    error("empty file", "", "train.csv", "empty", "the first line must name the columns"),
    error("blank lines only", "\n \n\n", "train.csv", "empty"),
    error("header only", "text,label\n", "train.csv", "a header and no rows"),
    error(
        "a workbook named csv", b"PK\x03\x04\x14\x00\x06\x00" + bytes(40), "train.csv", "Excel", "save the sheet as CSV"
    ),
    error("an old workbook named csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(40), "train.csv", "Excel", "save"),
    error(
        "a workbook by its own name", b"PK\x03\x04" + bytes(40), "train.xlsx", ".xlsx", ".csv", "CSV", suffix=".xlsx"
    ),
    error("gzip named csv", lambda: gzip.compress(LABELS.encode()), "train.csv", "gzip", "gunzip"),
    error("gzip by its own name", lambda: gzip.compress(LABELS.encode()), ".gz", "gunzip", suffix=".csv.gz"),
    error(
        "json lines named csv",
        '{"text": "good", "label": "yes"}\n{"text": "bad", "label": "no"}\n',
        "train.csv",
        "JSON",
        ".jsonl",
    ),
    error(
        "a web page named csv",
        "<!DOCTYPE html>\n<html><body>Not found</body></html>\n",
        "train.csv",
        "web page",
        "download",
    ),
    error(
        "a pointer of git-lfs",
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n",
        *("train.csv", "git lfs pull"),
    ),
    error("no suffix", LABELS, "train", "no suffix", ".csv", file="train"),
    error("misspelt path", LABELS, "trian.csv", "did you mean 'train.csv'?", options=("task.train=trian.csv",)),
    error(
        "a folder for a file",
        LABELS,
        "folder",
        "give a file",
        options=("task.train=data",),
        files={"data/a.csv": LABELS},
    ),
    # encodings
    error("utf-16 with a mark", LABELS.encode("utf-16"), "train.csv", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
    error("utf-16 without a mark", LABELS.encode("utf-16-le"), "train.csv", "iconv -f UTF-16LE"),
    error(
        "western",
        with_row("une créature étrange,yes").encode("cp1252"),
        "line 14",
        "WINDOWS-1252",
        "iconv -f WINDOWS-1252",
    ),
    error("chinese", with_row("这部电影很好看。,yes").encode("gb18030"), "line 14", "GB18030", "iconv -f GB18030"),
    error("russian", with_row("очень хороший фильм,yes").encode("cp1251"), "line 14", "iconv -f WINDOWS-1251"),
    error("japanese", with_row("とても良い映画でした,yes").encode("shift_jis"), "line 14", "iconv -f SHIFT_JIS"),
    error("utf-8 cut in a character", with_row("很好很好很好,yes").encode()[:-9], "line 14", "not UTF-8"),
    error("nul bytes", with_row("a\0b,yes\nc\0d,no"), "line 14", "NUL byte, 2 in all", "tr -d"),
    # quotes and rows
    error(
        "comma without quotes",
        with_row("well, it is good,yes"),
        "train.csv, line 14",
        "3 fields where the header has 2",
        "quotes",
    ),
    error("a field is missing", with_row("it is good"), "train.csv, line 14", "1 field where the header has 2"),
    error("quote never closed", with_row('"it is good,yes\nand more,no'), "line 14", "never closed"),
    error("text behind a quote", with_row('"it" is good,yes'), "line 14", "stray double quote", '("")'),
    error("quotes with a backslash", with_row('"the \\"best\\" film",yes'), "line 14", "stray double quote", '("")'),
    error("blank line between rows", with_row("\ngood again,yes"), "line 14", "a blank line between rows; remove it"),
    error("two kinds of line ends", with_row("one\rtwo,yes"), "line 14", "carriage return"),
    error("header again", with_row("text,label\nfine again,yes"), "train.csv, line 14", "the header again", "remove"),
    error(
        "ragged tsv",
        "text\tlabel\ngood\tyes\nbad\n",
        "train.tsv, line 3",
        "1 field where the header has 2",
        suffix=".tsv",
    ),
    # headers
    error("no header", LABELS.partition("\n")[2], "task.label", "no column 'label'", "the first line", "task.label="),
    error(
        "another name",
        LABELS.replace("text,", "review,", 1),
        "task.text",
        "no column 'text'",
        "'review', 'label'",
        "task.text=",
    ),
    error("misspelt column", LABELS.replace("label", "lable", 1), "task.label", "did you mean 'lable'?"),
    error("column in capitals", LABELS.replace("text", "Text", 1), "task.text", "did you mean 'Text'?"),
    error("blank before a name", LABELS.replace("label", " label", 1), "task.label", "did you mean ' label'?"),
    error("doubled column", "text,text,label\na,b,yes\nc,d,no\n", "line 1", "2 columns are named 'text'", "rename"),
    error("index of pandas", ",text,label\n0,good,yes\n1,bad,no\n", "line 1", "column 1 has no name", "index=False"),
    error("semicolons", "text;label\ngood;yes\nbad;no\n", "line 1", "';'", "save it with commas"),
    error("tabs in csv", "text\tlabel\ngood\tyes\nbad\tno\n", "line 1", "rename it to .tsv"),
    error("commas in tsv", LABELS, "line 1", "rename it to .csv", suffix=".tsv"),
    error("no column for pairs", LABELS, "task.text_pair", "no column 'other'", options=("task.text_pair=other",)),
    error("no column for ids", LABELS, "task.id", "no column 'idx'", options=("task.id=idx",)),
    error("one column twice", LABELS, "task.text, label", "different columns", options=("task.text=label",)),
    # odd, and right
    accept("byte order mark", "\ufeff" + LABELS, ROWS),
    accept("crlf", ENDS.format(end="\r\n"), ROWS),
    accept("old mac", ENDS.format(end="\r"), ROWS),
    accept("no line end at the end", LABELS.rstrip(), ROWS),
    accept("blank lines at the end", LABELS + "\n\n \n", ROWS),
    accept(
        "words that mean missing elsewhere",
        csv_of(MISSING),
        MISSING,
        files={"dev.csv": csv_of([("None of it", "nan"), ("not available", "NA")])},
    ),
    accept("numbers as text", csv_of(NUMBERS), NUMBERS, files={"dev.csv": csv_of([("3.140", "007"), ("0x1f", "1e5")])}),
    accept("comma, quote and line break in quotes", csv_of([*ROWS, *QUOTED]), [*ROWS, *QUOTED]),
    accept("a quote in a bare field", with_row('a 12" record,yes'), [*ROWS, ('a 12" record', "yes")]),
    accept("characters beyond the alphabets", csv_of([*ROWS, *STRANGE]), [*ROWS, *STRANGE]),
    accept("blanks around", with_row("  two blanks  ,yes"), [*ROWS, ("  two blanks  ", "yes")]),
    accept(
        "other columns", csv_of([(i, *row, "") for i, row in enumerate(ROWS)], ("n", "text", "label", "note")), ROWS
    ),
    accept("columns in another order", csv_of([row[::-1] for row in ROWS], ("label", "text")), ROWS),
    accept("suffix in capitals", LABELS, ROWS, suffix=".CSV"),
    accept("a path with blanks and umlauts", LABELS, ROWS, file="my data/Bücher (1).csv"),
    accept(
        "quotes in tsv", "text\tlabel\n" + TSV, [tuple(line.split("\t")) for line in TSV.splitlines()], suffix=".tsv"
    ),
    accept(
        "ids that are words",
        csv_of([(f"r{i}", *row) for i, row in enumerate(ROWS)], ("id", "text", "label")),
        IDS,
        options=("task.id=id",),
        shown=("id", "text"),
        files={"dev.csv": csv_of([("a", *OTHERS[0]), ("b", *OTHERS[1])], ("id", "text", "label"))},
    ),
]
