"""Readers: what is accepted comes back exactly as written; what is refused is refused with place and remedy."""

import csv
import io
import json
import random
import subprocess
import sys
import time

import pyarrow
import pytest
from pyarrow import parquet

from tl_run.data.readers import READERS, read_stream, read_table
from tl_run.data.table import Table, quoted
from tl_run.errors import BadInput, BadOption, MachineFault

ROWS = b"text,label\ngood,1\nbad,0\n"


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Writes bytes to a file of this name, and reads it under the relative path a user would type."""
    monkeypatch.chdir(tmp_path)

    def write_and_read(name: str, content: bytes | str) -> Table:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return read_table(name)

    return write_and_read


def message(read, name: str, content: bytes | str) -> str:
    with pytest.raises(BadInput) as caught:
        read(name, content)
    text = str(caught.value)
    assert len(text.split("\n")) <= 3
    assert all(line.isprintable() for line in text.split("\n")), "control characters of the file reach the terminal"
    assert name in text
    return text


# What is accepted, exactly


def test_csv_values_stay_the_strings_they_are(read):
    values = [
        "NA",
        "nan",
        "null",
        "None",
        "007",
        "1e5",
        "true",
        "",
        " padded ",
        'a "quote"',
        "a,b",
        "x\u2028y\x85z\x0c",
    ]
    file = io.StringIO()
    csv.writer(file).writerows([["text", "label"], *([value, "1"] for value in values)])
    table = read("t.csv", file.getvalue())
    assert table.column("text") == values
    assert table.columns == ("text", "label")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "text,label\ngood,1\nbad,0\n"),
        ("t.tsv", "text\tlabel\ngood\t1\nbad\t0"),
        ("t.jsonl", '{"text": "good", "label": "1"}\n{"text": "bad", "label": "0"}\n'),
        ("t.json", '[{"text": "good",\n"label": "1"},\n{"text": "bad", "label": "0"}]\n'),
    ],
)
def test_line_ends_and_byte_order_mark_change_nothing(read, name, content, mark, end):
    table = read(name, mark + content.replace("\n", end))
    assert table.columns == ("text", "label")
    assert table.rows == [{"text": "good", "label": "1"}, {"text": "bad", "label": "0"}]
    assert table.lines == {"t.json": [1, 3], "t.jsonl": [1, 2]}.get(name, [2, 3])


def test_lines_are_physical_where_quoted_fields_hold_line_breaks(read):
    table = read("t.csv", 'text,label\n"one\ntwo\r\nthree",1\n\u2028,2\n"a\rb",3\nlast,4\n\n \n')
    assert table.column("text") == ["one\ntwo\r\nthree", "\u2028", "a\rb", "last"]
    assert table.lines == [2, 5, 6, 7]
    assert table.where(3) == "t.csv, line 7"


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_blank_lines_of_a_single_column_are_empty_texts_but_not_at_the_end(read, name):
    table = read(name, "text\ngood\n\nbad\n\n\n")
    assert table.column("text") == ["good", "", "bad"]
    assert table.lines == [2, 3, 4]


def test_fields_longer_than_the_limit_of_the_csv_module(read):
    long = "word " * 100_000
    assert read("t.csv", f'text,label\n"{long}",1\n').column("text") == [long]


def test_tsv_has_no_quoting(read):
    table = read("t.tsv", 'sentence\tlabel\n"half a quote\t0\nit is 5" long\t1\n"a ""b"" c"\t1\n')
    assert table.column("sentence") == ['"half a quote', 'it is 5" long', '"a ""b"" c"']


def test_jsonl_keeps_types_skips_blank_lines_and_fills_missing_keys(read):
    table = read("t.ndjson", '{"a": 1, "b": "007"}\n\n{"c": [1.5, null], "a": true}\n')
    assert table.columns == ("a", "b", "c")
    assert table.rows == [{"a": 1, "b": "007", "c": None}, {"a": True, "b": None, "c": [1.5, None]}]
    assert table.lines == [1, 3]


def test_json_escapes_that_only_look_like_half_characters(read):
    assert read("t.jsonl", r'{"a": "\ud83d\ude00", "b": "\\ud83d"}').rows == [{"a": "😀", "b": "\\ud83d"}]


def test_json_list_inside_an_object_counts_items(read):
    table = read("t.json", '{"version": "2.0", "info": {}, "data": [{"a": 1},\n {"a": 2}]}')
    assert table.rows == [{"a": 1}, {"a": 2}]
    assert table.where(1) == "t.json, item 2"


def test_parquet_keeps_types_and_counts_rows(read):
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": ["NA", None], "tags": [[1, 2], []]}), file)
    table = read("t.parquet", file.getvalue())
    assert table.rows == [{"text": "NA", "tags": [1, 2]}, {"text": None, "tags": []}]
    assert table.where(1) == "t.parquet, row 2"


def test_the_suffix_may_be_in_capitals(read):
    assert read("T.CSV", ROWS).column("label") == ["1", "0"]


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
def test_a_stream_reads_as_a_file(read, form):
    content = {"csv": ROWS, "tsv": ROWS.replace(b",", b"\t"), "jsonl": b'{"text": "good"}\n{"text": "bad"}\n'}[form]
    table = read_stream(io.BytesIO(content), form)
    assert table.rows == read(f"t.{form}", content).rows
    assert table.where(0) == f"standard input, line {1 if form == 'jsonl' else 2}"
    with pytest.raises(BadOption, match="known are csv tsv jsonl"):
        read_stream(io.BytesIO(content), "xls")


# Random tables come back equal

ALPHABET = [*"ab,;|\"\t\n\r'\\{}[]: \u2028\u2029\x0b\x0c\x1c\x85\ufeff#é中😀", "\r\n", '""', "NA", "0"]


def random_rows(rng: random.Random, alphabet: list[str], columns: int) -> list[list[str]]:
    return [
        ["".join(rng.choices(alphabet, k=rng.randrange(8))) for _ in range(columns)] for _ in range(rng.randrange(1, 9))
    ]


@pytest.mark.parametrize("seed", range(300))
def test_any_table_that_csv_writes_is_read_back_with_its_lines(read, seed):
    rng = random.Random(seed)
    columns = rng.randrange(1, 5)
    header = [f"{number} {rng.choice(['text', 'é', 'a,b' if columns > 1 else 'a'])}" for number in range(columns)]
    end, quoting = rng.choice(["\n", "\r\n", "\r"]), rng.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
    alphabet = ALPHABET
    if quoting == csv.QUOTE_MINIMAL:  # before Python 3.13 the writer leaves the other line end without quotes
        foreign = {"\n": "\r", "\r": "\n", "\r\n": "\0"}[end]
        alphabet = [piece for piece in ALPHABET if foreign not in piece]
    rows = random_rows(rng, alphabet, columns)
    file, starts = io.StringIO(newline=""), []
    writer = csv.writer(file, lineterminator=end, quoting=quoting)
    writer.writerow(header)
    for row in rows:
        starts.append(file.getvalue().count("\n" if end == "\r\n" else end) + 1)
        writer.writerow(row)
    table = read("t.csv", file.getvalue().encode())
    assert [list(row.values()) for row in table.rows] == rows
    assert table.columns == tuple(header)
    assert table.lines == starts


@pytest.mark.parametrize("seed", range(100))
def test_any_table_without_tabs_and_line_breaks_is_read_back_from_tsv(read, seed):
    rng = random.Random(seed)
    alphabet = [piece for piece in ALPHABET if not set(piece) & set("\t\n\r")]
    rows = random_rows(rng, alphabet, 3)
    content = "\n".join("\t".join(row) for row in [["a", "b", "c"], *rows])
    table = read("t.tsv", content)
    assert [list(row.values()) for row in table.rows] == rows
    assert table.lines == list(range(2, len(rows) + 2))


@pytest.mark.parametrize("seed", range(200))
def test_any_objects_that_json_writes_are_read_back(read, seed):
    rng = random.Random(seed)
    keys = ["a", "", "é\n", "b\u2028"]
    values = [None, True, 0, -1, 10**30, 1.5, 1e-300, [], {}, [[{"x": "y"}]]]
    rows = [
        dict(zip(keys, [cell if rng.random() < 0.7 else rng.choice(values) for cell in row], strict=True))
        for row in random_rows(rng, ALPHABET, len(keys))
    ]
    ascii_only, indent = rng.random() < 0.5, rng.choice([None, 2])
    lines = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    gaps = [rng.randrange(3) for _ in rows]
    table = read("t.jsonl", "".join(line + "\n" + "\n" * gap for line, gap in zip(lines, gaps, strict=True)))
    assert table.rows == rows
    assert table.lines == [1 + number + sum(gaps[:number]) for number in range(len(rows))]

    document = json.dumps(rows, ensure_ascii=ascii_only, indent=indent)
    table = read("t.json", document)
    assert table.rows == rows
    if indent:
        assert table.lines == [number for number, line in enumerate(document.split("\n"), 1) if line.startswith("  {")]
    else:
        assert table.lines == [1] * len(rows)


# What is refused, and the phrase that helps


REFUSED = [
    # the header
    ("t.csv", "", "t.csv: the file is empty; the first line must name the columns"),
    ("t.csv", "\ufeff\n\n", "the file is empty"),
    ("t.tsv", "", "the file is empty"),
    ("t.csv", "\ntext,label\n", "line 1: no header; the first line must name the columns"),
    ("t.csv", "text,label\n\n", "a header and no rows ('text', 'label')"),
    ("t.csv", "text,text,label\na,b,1\n", "line 1: 2 columns are named 'text'; names must differ"),
    ("t.csv", ",text\n0,a\n", "line 1: column 1 has no name; name it, or remove it (pandas writes one"),
    ("t.csv", "text;label\na;1\n", "line 1: one column only, 'text;label', it seems separated by ';'; save it with"),
    ("t.csv", "text\tlabel\na\t1\n", "rename it to .tsv"),
    ("t.tsv", "text,label\na,1\n", "rename it to .csv"),
    # the rows
    ("t.csv", "text,label\na,1\nb\n", "t.csv, line 3: 1 field where the header has 2; put double quotes around"),
    ("t.csv", 'text,label\n"a\nb",1\nb,c,0\n', "t.csv, line 4: 3 fields where the header has 2"),
    ("t.tsv", "text\tlabel\na\tb\t1\n", "t.tsv, line 2: 3 fields where the header has 2; a field cannot hold a tab"),
    ("t.csv", "text,label\na,1\n\nb,0\n", "line 3: a blank line between rows; remove it"),
    ("t.tsv", "text\tlabel\na\t1\n\nb\t0\n", "line 3: a blank line between rows; remove it"),
    ("t.csv", 'text,label\na,1\n"b,0\nc,1\n', "line 3: a double quote opened in this record is never closed"),
    ("t.csv", '"text,label\na,1\n', "line 1: a double quote opened in this record is never closed"),
    ("t.csv", 'text,label\n"a" b,1\n', 'line 2: a stray double quote: text follows the closing quote; write a quote'),
    ("t.csv", 'text,label\n"a,1\n"b",0\n', "line 2: a stray double quote: text follows the closing quote (the quoted"),
    ("t.csv", "text,label\na\rb,1\n", "line 2: a lone carriage return; use one kind of line end"),
    # bytes
    ("t.csv", b"text,label\na\0,1\n\0,0\n", "line 2 (byte 12): a NUL byte, 2 in all; remove them: tr -d"),
    ("t.csv", "text,label\ngut,1\nMädchen,0\n".encode("cp1252"), "line 3 (byte 18): byte 0xe4 is not UTF-8"),
    ("t.csv", "text,label\ncafé,1\n“naïve”,0\n".encode("cp1252"), "iconv -f WINDOWS-1252 -t UTF-8"),
    ("t.csv", "text,label\ncréée naïve naïf maïs,1\n".encode("cp1252"), "iconv -f WINDOWS-1252 -t UTF-8"),
    ("t.csv", "text,label\n很好,1\n不好 movie,0\n".encode("gb18030"), "iconv -f GB18030 -t UTF-8"),
    ("t.csv", "text,label\nочень хорошо,1\n".encode("cp1251"), "iconv -f WINDOWS-1251 -t UTF-8"),
    ("t.csv", "text,label\ngood,1\n".encode("utf-16"), "UTF-16, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8"),
    ("t.csv", "text,label\ngood,1\n".encode("utf-16-le"), "iconv -f UTF-16LE -t UTF-8"),
    ("t.csv", "text,label\ngood,1\n".encode("utf-16-be"), "iconv -f UTF-16BE -t UTF-8"),
    ("t.csv", "text,label\r好电影好电影,1\r".encode() + b"\xff,0", "line 3 (byte 32): byte 0xff is not UTF-8, the "),
    ("t.jsonl", b'{"a": "b"}\n{"a": "\xe9"}\n', "line 2 (byte 18): byte 0xe9 is not UTF-8"),
    ("t.csv", b"PK\x03\x04\x14\0\x06\0", "an Excel workbook, not text"),
    ("t.csv", b"\x1f\x8b\x08\0", "compressed with gzip; unpack it first"),
    ("t.csv", "text,label\nとても良い,1\n".encode("shift_jis"), "iconv -f SHIFT_JIS -t UTF-8"),
    ("t.csv", "text,label\nмир и café,1\n".encode("utf-16"), "UTF-16"),
    ("t.csv", b"PAR1\x15\0\x15", "rename it to .parquet"),
    # JSON Lines
    ("t.jsonl", "", "no rows; write objects such as"),
    ("t.jsonl", "{}\n", "all objects are empty"),
    ("t.jsonl", '{"a": 1}\n{"a": 1, "a": 2}\n', "line 2: the key 'a' appears twice; keep one"),
    ("t.jsonl", '{"a": {"b": 1, "b": 1}}\n', "line 1: the key 'b' appears twice; keep one"),
    ("t.jsonl", '{"a": NaN}\n', "line 1: NaN is not JSON; write null"),
    ("t.jsonl", '{"a": [-Infinity]}\n', "line 1: -Infinity is not JSON"),
    ("t.jsonl", '{"a": 1e999}\n', "line 1: the number '1e999' is too large"),
    ("t.jsonl", '{"a": ' + "1" * 5000 + "}", "a number of thousands of digits"),
    ("t.jsonl", '{"a": "\\ud83d!"}\n', "line 1: \\ud83d is half a character"),
    ("t.jsonl", '{"a": ' + "[" * 60 + "]" * 60 + "}", "line 1: nested deeper than 50 levels"),
    ("t.jsonl", '{"a":' * 99_999, "nested deeper than 50 levels"),
    ("t.jsonl", '{"a": 1}\n{"a": 2\n', "line 2, column 8: not JSON (Expecting ',' delimiter); each line must be one"),
    ("t.jsonl", '{"a": 1} {"a": 2}\n', "line 1, column 10: not JSON (Extra data)"),
    ("t.jsonl", '["a", 1]\n["b", 2]\n', "line 1: a list; each line must be an object such as"),
    ("t.jsonl", '["a", 1]', "line 1: a list; each line must be an object such as"),
    ("t.jsonl", '{"a": 1}\n3\n', "line 2: a number; each line must be an object"),
    ("t.jsonl", '[{"a": 1},\n{"a": 2}]\n', "one JSON value over the whole file, not one object per line; rename it"),
    ("t.jsonl", '[{"a": 1}]', "rename it to .json"),
    ("t.jsonl", '{\n"data": []\n}\n', "rename it to .json"),
    # JSON
    ("t.json", " \n", "the file is empty; write a list of objects"),
    ("t.json", "[]", "no rows"),
    ("t.json", '[{"a": 1},\n {"a"', "line 2, column 6: the file is cut off"),
    ("t.json", '[{"a": 1},\n {"a": "b', "line 2, column 8: the file is cut off"),
    ("t.json", '[{"a": 1}\n', "the file is cut off"),
    ("t.json", '[{"a": 1},\n]', "line 2, column 1: not JSON (Expecting value)"),
    ("t.json", '[{"a": 1}\n{"a": 2}]', "line 2, column 1: not JSON (Expecting ',' delimiter)"),
    ("t.json", '[{"a": 1}]\n]', "line 2, column 1: not JSON (Extra data)"),
    ("t.json", '{"a": 1}\n{"a": 2}\n', "line 2, column 1: a second JSON value; if each line is one object rename"),
    ("t.json", '{"text": {"0": "a"}, "label": {"0": 1}}', "an object without one list of rows in it; write a list of"),
    ("t.json", '{"a": [{"x": 1}], "b": [{"x": 1}]}', "an object without one list of rows in it"),
    ("t.json", '"text"', "this is a string; write a list of objects"),
    ("t.json", '[{"a": 1},\n{"b": 1, "b": 2}]', "line 2: the key 'b' appears twice"),
    ("t.json", '[{"a": 1},\n{"b": NaN}]', "line 2: NaN is not JSON"),
    ("t.json", '[{"a": 1},\n"b"]', "line 2: a string; each item must be an object"),
    ("t.json", '{"data": [{"a": 1}, null]}', "item 2: null; each item must be an object"),
    ("t.json", '{"data": [{"a": Infinity}]}', "Infinity is not JSON"),
    ("t.json", "[" * 99_999, "nested deeper than 50 levels"),
    ("t.json", '[{"a": 1},\n{"b": ' + "1" * 5000 + "}]", "line 2, column 1: not JSON (a number of thousands of"),
    # Parquet
    ("t.parquet", b"", "not a Parquet file, or damaged"),
    ("t.parquet", ROWS, "not a Parquet file, or damaged"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "phrase"), REFUSED, ids=[phrase[:50] for _, _, phrase in REFUSED])
def test_refused_with_the_phrase_that_helps(read, name, content, phrase):
    assert phrase in message(read, name, content)


def test_parquet_with_equal_names_or_without_rows(read):
    file = io.BytesIO()
    parquet.write_table(pyarrow.table([["a"], ["b"]], names=["text", "text"]), file)
    assert "several columns are named 'text'" in message(read, "t.parquet", file.getvalue())
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": pyarrow.array([], "string")}), file)
    assert "no rows" in message(read, "t.parquet", file.getvalue())


def test_two_problems_in_words_and_the_others_counted(read):
    rows = ["a,1", "b", "c,1,2", '"d"x,1', "", "e,1", "f,,"]
    assert message(read, "t.csv", "text,label\n" + "\n".join(rows)).split("\n") == [
        "t.csv, line 3: 1 field where the header has 2; put double quotes around a field that has a comma in it",
        "t.csv, line 4: 3 fields where the header has 2; put double quotes around a field that has a comma in it",
        "... and 3 more problems like these",
    ]
    torn = message(read, "t.csv", 'text,label\n"a,1\n"b",0\nc,"1\n"d",0\n')
    assert len(torn.split("\n")) == 1, "after a quote that runs over lines nothing is read inside out"
    found = message(read, "t.jsonl", '{"a": NaN}\n{"a": 1}\n{"a": Infinity}\n[]\n')
    assert [line.split(":")[0] for line in found.split("\n")] == [
        "t.jsonl, line 1",
        "t.jsonl, line 3",
        "t.jsonl, line 4",
    ]
    assert "line 3" in message(read, "t.json", '[{"a": NaN},\n{"a": 1},\n{"a": NaN}]')


def test_keys_that_differ_in_every_row_do_not_fill_the_memory(read):
    lines = "\n".join(json.dumps({f"key {number}": 1}) for number in range(20_000))
    assert "20000 different keys, not the same in each row" in message(read, "t.jsonl", lines)


def test_quoted_values_are_cut_and_cannot_drive_the_terminal(read):
    assert quoted("\x1b[31mred\u202e") == r"'\x1b[31mred\u202e'"
    assert quoted("x" * 100) == f"'{'x' * 37}...'"
    assert r"\x1b[2J" in message(read, "t.csv", "\x1b[2J,\x1b[2J\na,b\n")
    assert r"\x1b[2J" in message(read, "t.jsonl", '{"\\u001b[2J": 1, "\\u001b[2J": 1}')


# Columns


def test_a_missing_column_names_the_option_the_columns_and_the_nearest(read):
    table = read("reviews.csv", "Review,label\ngood,1\n")
    with pytest.raises(BadInput) as caught:
        table.require("reviews", option="task.text")
    assert str(caught.value) == (
        "task.text: reviews.csv has no column 'reviews'; its columns are 'Review', 'label'; did you mean 'Review'?"
    )
    with pytest.raises(BadInput, match=r"task\.text: reviews.csv has no column 'reviews'"):
        table.column("reviews", option="task.text")
    with pytest.raises(BadInput, match="the first line of the file must name the columns"):
        read("bare.csv", "good,1\nbad,0\n").column("text")
    with pytest.raises(BadInput, match=r"its columns are 'a'; type task\.text=<one of them>"):
        read("t.jsonl", '{"a": 1}').require("text", option="task.text")
    with pytest.raises(BadInput, match="'9' and 5 more;"):
        read("t.csv", ",".join(map(str, range(15))) + "\n" + "," * 14).column("text")


# Files


@pytest.mark.parametrize(
    ("path", "phrase"),
    [
        ("review.csv", "did you mean 'Reviews.CSV'?"),
        ("quite-other.bin", "nothing there has a name like it"),
        ("nowhere/t.csv", "there is no folder '"),
        ("data", "data: this is a folder; give a file"),
        ("notes.txt", "the suffix '.txt' is not known; known are .csv .tsv .jsonl .ndjson .json .parquet"),
        ("plain", "the name has no suffix; known are .csv"),
        ("link.csv", "a link to 'gone.csv', which does not exist"),
        ("nul\0.csv", "'nul\\x00.csv': not found"),
        ("", "'': this is a folder"),
    ],
)
def test_a_path_that_is_no_table(tmp_path, monkeypatch, path, phrase):
    monkeypatch.chdir(tmp_path)
    for name in ("Reviews.CSV", "notes.txt", "plain"):
        (tmp_path / name).write_bytes(ROWS)
    (tmp_path / "data").mkdir()
    (tmp_path / "link.csv").symlink_to("gone.csv")
    with pytest.raises(BadInput) as caught:
        read_table(path)
    assert phrase in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_file_the_machine_does_not_give(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "t.csv").write_bytes(ROWS)
    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(MachineFault, match=r"t\.csv: cannot be read \(Permission denied\)"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(MachineFault, match="File name too long"):
        read_table(tmp_path / ("x" * 300 + ".csv"))


# Any bytes, any size


def test_any_bytes_give_a_table_or_a_message(read):
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": ["good", "bad"], "label": [1, 0]}), file)
    seeds = [
        b'text,label\n"a ""b""\r\nc",1\nd,0\n',
        '{"text": "\\ud83d\\ude00 é", "label": [1, 2.5e3]}\n{"text": null}\n'.encode(),
        b'[{"text": "a", "label": {"b": NaN}},\n {"text": 12}]',
        file.getvalue(),
    ]
    rng = random.Random(0)
    for number in range(2000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(len(data) + 1)
            data[at : at + rng.choice([0, 0, 1, 1, 9])] = rng.choice(
                [b'"', b"\r", b"\n", b"{", b",", b"\xff", b"\0", b""]
            )
        name = f"t{list(READERS)[number % len(READERS)]}"
        try:
            table = read(name, bytes(data))
        except BadInput as error:
            lines = str(error).split("\n")
        else:
            assert all(set(row) == set(table.columns) for row in table.rows)
            assert len(table.lines) == len(table.rows) > 0
            lines = [table.where(0)]
        assert lines[0].startswith(name)
        assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.json"])
@pytest.mark.parametrize("good", [True, False])
def test_seventy_thousand_rows_are_read_or_refused_at_once(read, name, good):
    row = {"t.csv": '"a text, of so many words",1', "t.tsv": "a text of so many words\t1"}.get(
        name, '{"text": "a", "n": 1}'
    )
    bad = {"t.csv": '"a" text,1', "t.tsv": "a\tb\tc"}.get(name, '{"text": NaN, "n": 1}')
    rows = [row if good else bad] * 70_000
    header = {"t.csv": ["text,label"], "t.tsv": ["text\tlabel"]}.get(name, [])
    content = "[" + ",\n".join(rows) + "]" if name == "t.json" else "\n".join(header + rows)
    start = time.perf_counter()
    if good:
        assert len(read(name, content).rows) == 70_000
    else:
        assert "69998 more" in message(read, name, content)
    assert time.perf_counter() - start < 3  # 0.1 to 0.5 s; anything quadratic takes minutes


def test_reading_imports_nothing_heavy():
    heavy = {"torch", "pandas", "datasets", "transformers"}
    code = f"import sys, tl_run.data.readers; print(sorted({heavy | {'pyarrow'}} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
