"""JSON Lines, JSON and Parquet: types, repeated keys, layouts, files cut short."""

import io
import json
from collections.abc import Iterable
from typing import Any

from corpus.cases import OTHERS, ROWS, Case, Content, csv_of

OBJECTS = [{"text": text, "label": label} for text, label in ROWS]


def lines(objects: Iterable[Any]) -> str:
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in objects)


LINES = lines(OBJECTS)


def parquet(**columns: Any) -> bytes:
    """A Parquet file of these columns: lists, or pyarrow's arrays."""
    import pyarrow
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def arrow(kind: str, values: list[Any]) -> Any:
    import pyarrow

    return pyarrow.array(values, pyarrow.type_for_alias(kind))


def broken_utf8() -> bytes:
    import pyarrow

    offsets, text = pyarrow.py_buffer(b"\0\0\0\0\4\0\0\0\6\0\0\0"), pyarrow.py_buffer(b"goodb\xe4")
    return parquet(text=pyarrow.StringArray.from_buffers(2, offsets, text), label=["yes", "no"])


def categories() -> bytes:
    import pyarrow

    texts, labels = zip(*ROWS, strict=True)
    return parquet(text=pyarrow.array(texts, pyarrow.large_string()), label=pyarrow.array(labels).dictionary_encode())


TEXTS, NAMES = [text for text, _ in ROWS], [label for _, label in ROWS]


def error(name: str, suffix: str, train: Content, *words: str, **others: Any) -> Case:
    return Case(name, "classification", "error", train, suffix, words, **others)


def accept(name: str, suffix: str, train: Content, values: Any = ROWS, **others: Any) -> Case:
    return Case(name, "classification", "accept", train, suffix, values=values, **others)


CASES = [
    # JSON Lines
    error("empty jsonl", ".jsonl", "", "train.jsonl", "no rows"),
    error("last line cut", ".jsonl", LINES[:-9], "train.jsonl, line 12", "not JSON"),
    error("a list instead of lines", ".jsonl", json.dumps(OBJECTS), "train.jsonl", "rename it to .json"),
    error(
        "objects over several lines",
        ".jsonl",
        "".join(json.dumps(o, indent=1) + "\n" for o in OBJECTS),
        "line 1",
        "one object",
    ),
    error("csv named jsonl", ".jsonl", csv_of(ROWS), "train.jsonl, line 1", "not JSON", "one object"),
    error(
        "quotes of python",
        ".jsonl",
        LINES + "{'text': 'good', 'label': 'yes'}\n",
        "line 13",
        "not JSON",
        "double quotes",
    ),
    error(
        "a key twice",
        ".jsonl",
        LINES + '{"text": "a", "text": "b", "label": "no"}\n',
        "line 13",
        "'text' appears twice",
    ),
    error("NaN", ".jsonl", LINES + '{"text": NaN, "label": "no"}\n', "line 13", "NaN is not JSON"),
    error("half a character", ".jsonl", LINES + '{"text": "\\ud83d", "label": "no"}\n', "line 13", "lone surrogate"),
    error("a surrogate in bytes", ".jsonl", LINES + '{"text": "\ud83d", "label": "no"}\n', "line 13", "not UTF-8"),
    error("a number for a text", ".jsonl", LINES + '{"text": 5, "label": "no"}\n', "line 13", "a number", "task.text"),
    error("null for a text", ".jsonl", LINES + '{"text": null, "label": "no"}\n', "line 13", "missing", "task.text"),
    error("no text in one row", ".jsonl", LINES + '{"label": "no"}\n', "line 13", "missing", "task.text"),
    error(
        "an object for a text",
        ".jsonl",
        LINES + '{"text": {"en": "good"}, "label": "no"}\n',
        "line 13",
        "an object",
        "task.text",
    ),
    error(
        "a list for a text", ".jsonl", LINES + '{"text": ["good"], "label": "no"}\n', "line 13", "a list", "task.text"
    ),
    error(
        "a fraction for a label", ".jsonl", LINES + '{"text": "good", "label": 0.5}\n', "line 13", "0.5", "task.label"
    ),
    error(
        "a list for a label",
        ".jsonl",
        lines({"text": t, "label": [n]} for t, n in ROWS),
        "line 1",
        "a list",
        "task.multi_label=true",
    ),
    error("no label in one row", ".jsonl", LINES + '{"text": "good"}\n', "line 13", "missing", "task.label"),
    error("texts alone", ".jsonl", lines(TEXTS), "line 1", "a string", "must be an object"),
    error(
        "nested without end",
        ".jsonl",
        '{"text": ' + "[" * 70 + "]" * 70 + ', "label": "no"}\n',
        "line 1",
        "nested deeper",
    ),
    # JSON
    error("json cut off", ".json", json.dumps(OBJECTS)[:-20], "train.json, line 1", "cut off"),
    error(
        "columns of lists",
        ".json",
        json.dumps({"text": TEXTS, "label": NAMES}),
        "train.json",
        "a list of objects",
        "orient='records'",
    ),
    error("json lines named json", ".json", LINES, "train.json, line 2", "rename it to .jsonl"),
    error("comma at the end", ".json", json.dumps(OBJECTS)[:-1] + ",\n]", "train.json, line 2", "not JSON"),
    error("no rows in json", ".json", "[]", "train.json", "no rows"),
    error("numbers in json", ".json", "[1, 2, 3]", "train.json, line 1", "must be an object"),
    # Parquet
    error(
        "parquet cut short",
        ".parquet",
        lambda: parquet(text=TEXTS, label=NAMES)[:-50],
        "train.parquet",
        "damaged",
        "again",
    ),
    error("csv named parquet", ".parquet", csv_of(ROWS), "train.parquet", "not a Parquet file"),
    error("parquet named csv", ".csv", lambda: parquet(text=TEXTS, label=NAMES), "train.csv", "rename it to .parquet"),
    error(
        "parquet without rows",
        ".parquet",
        lambda: parquet(text=arrow("string", []), label=arrow("string", [])),
        "no rows",
    ),
    error(
        "numbers for texts",
        ".parquet",
        lambda: parquet(text=[1, 2], label=NAMES[:2]),
        "train.parquet, row 1",
        "a number",
        "task.text",
    ),
    error(
        "a null text",
        ".parquet",
        lambda: parquet(text=["good", None], label=NAMES[:2]),
        "train.parquet, row 2",
        "missing",
    ),
    error(
        "bytes for texts",
        ".parquet",
        lambda: parquet(text=[b"good", b"bad"], label=NAMES[:2]),
        "train.parquet, row 1",
        "bytes",
    ),
    error(
        "objects for texts",
        ".parquet",
        lambda: parquet(text=[{"en": "a"}, {"en": "b"}], label=NAMES[:2]),
        "row 1",
        "an object",
    ),
    error("broken text in parquet", ".parquet", broken_utf8, "train.parquet", "UTF-8", "again"),
    error(
        *("numbers with a gap for labels", ".parquet", lambda: parquet(text=TEXTS[:3], label=[0.0, 1.0, None])),
        *("train.parquet, row 1", "0.0", "whole number"),
    ),
    # odd, and right
    accept("blank lines in jsonl", ".jsonl", LINES.replace("\n", "\n\n")),
    accept("byte order mark in jsonl", ".jsonl", "\ufeff" + LINES.replace("\n", "\r\n")),
    accept("ndjson", ".ndjson", LINES),
    accept("a list in an object", ".json", json.dumps({"version": "1", "data": OBJECTS}, indent=2)),
    accept("escapes", ".jsonl", LINES + '{"text": "\\ud83d\\ude00 \\u00e9", "label": "no"}\n', [*ROWS, ("😀 é", "no")]),
    accept("other keys, not in each row", ".jsonl", '{"a": {"b": [1]}, ' + LINES[1:]),
    accept(
        *("whole numbers for labels", ".jsonl", lines({"text": t, "label": int(n == "yes")} for t, n in ROWS)),
        [(text, str(int(name == "yes"))) for text, name in ROWS],
        files={"dev.csv": csv_of([(OTHERS[0][0], 1), (OTHERS[1][0], 0)])},
    ),
    accept(
        *("true and false for labels", ".jsonl", lines({"text": t, "label": n == "yes"} for t, n in ROWS)),
        [(text, str(name == "yes")) for text, name in ROWS],
        files={"dev.csv": csv_of([(OTHERS[0][0], "True"), (OTHERS[1][0], "False")])},
    ),
    accept("categories and large strings", ".parquet", categories),
]
