"""CSV and TSV as written: every value stays the string it is ("NA", "007", ""), every message names a physical line."""

import csv
import re
from collections import Counter
from collections.abc import Iterator

from tl_run.data.decoding import decode, line_end, no_page
from tl_run.data.table import Table, quoted
from tl_run.errors import BadInput

Record = tuple[int, list[str]]
"""The line a record starts at, and its fields; no fields for a blank line."""

_OTHER_SEPARATORS = {
    ",": {";": "save it with commas", "\t": "rename it to .tsv", "|": "save it with commas"},
    "\t": {",": "rename it to .csv", ";": "save it with tabs", "|": "save it with tabs"},
}


def read_csv(name: str, data: bytes) -> Table:
    """Comma-separated, quoted with double quotes where needed (RFC 4180)."""
    problems: list[str] = []
    records = _csv_records(name, _text(name, data), problems)
    return _table(name, records, problems, ",", "put double quotes around a field that has a comma in it")


def read_tsv(name: str, data: bytes) -> Table:
    """Tab-separated without quoting: a quote is a character like any other, as in the files of GLUE."""
    records = _tsv_records(_text(name, data))
    return _table(name, records, [], "\t", "a field cannot hold a tab or a line break (a quoted one in a .csv can)")


def _text(name: str, data: bytes) -> str:
    text = decode(name, data)
    if not text.strip():
        raise BadInput(f"{name}: the file is empty; the first line must name the columns")
    no_page(name, text)
    return text


def _csv_records(name: str, text: str, problems: list[str]) -> Iterator[Record]:
    csv.field_size_limit(2**31 - 1)  # the limit of 128 KiB is shorter than many a document
    end = line_end(text)
    reader = csv.reader((line + end for line in text.split(end)), strict=True)
    while True:
        start = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.append(f"{name}, line {start}: {_csv_fault(str(error), start, reader.line_num)}")
            if reader.line_num > start:  # a quote ran over lines: what follows would be read inside out
                return
        else:
            yield start, fields


def _csv_fault(error: str, start: int, last: int) -> str:
    inside = "write a quote inside a quoted field as two"
    if "end of data" in error:
        return f'a double quote opened in this record is never closed; close it, or {inside} ("")'
    if "expected after" in error:
        lines = f" (the quoted field runs to line {last})" if last > start else ""
        return f'a stray double quote: text follows the closing quote{lines}; {inside} ("")'
    if "new-line" in error:
        return "a lone carriage return; use one kind of line end, and put quotes around a field with a line break"
    return error


def _tsv_records(text: str) -> Iterator[Record]:
    for number, line in enumerate(text.split(line_end(text)), 1):
        line = line.rstrip("\r")
        yield number, line.split("\t") if line else []


def _table(name: str, records: Iterator[Record], problems: list[str], separator: str, advice: str) -> Table:
    _, header = next(records, (1, []))
    if faults := problems or _header_problems(name, header, separator):
        raise BadInput.of(faults)

    rows, lines, blanks = [], [], []
    for line, fields in records:
        if not fields or (len(fields) == 1 < len(header) and not fields[0].strip()):
            blanks.append(line)
            continue
        for blank in blanks:  # only now: blank lines at the end of a file are nothing
            if len(header) == 1:
                rows.append({header[0]: ""})
                lines.append(blank)
            else:
                problems.append(f"{name}, line {blank}: a blank line between rows; remove it")
        blanks.clear()
        if fields == header and len(header) > 1:
            problems.append(f"{name}, line {line}: the header again, as where two files were joined; remove it")
        elif len(fields) == len(header):
            rows.append(dict(zip(header, fields, strict=True)))
            lines.append(line)
        else:
            amount = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
            problems.append(f"{name}, line {line}: {amount} where the header has {len(header)}; {advice}")
    if problems:
        raise BadInput.of(problems)
    if not rows:
        raise BadInput(f"{name}: a header and no rows ({_shown(header)}); add rows, or a header above the data")
    return Table(name, tuple(header), rows, lines, has_header=True)


def _header_problems(name: str, header: list[str], separator: str) -> list[str]:
    place = f"{name}, line 1"
    if not "".join(header).strip():
        return [f"{place}: no header; the first line must name the columns"]
    if re.match(r"\s*(\{\s*\"|\[\s*[\"{])", header[0]):
        return [f"{place}: this is JSON; rename it to .jsonl (an object on each line) or .json"]
    if len(header) == 1:
        for other, advice in _OTHER_SEPARATORS[separator].items():
            if other in header[0]:
                return [f"{place}: one column only, {quoted(header[0])}, it seems separated by {other!r}; {advice}"]
    problems = [
        f"{place}: column {number} has no name; name it, or remove it (pandas writes one without index=False)"
        for number, column in enumerate(header, 1)
        if not column.strip()
    ]
    for column, count in Counter(header).items():
        if count > 1 and column.strip():
            problems.append(f"{place}: {count} columns are named {quoted(column)}; names must differ, rename one")
    return problems


def _shown(header: list[str]) -> str:
    return ", ".join(quoted(column) for column in header[:5]) + (", ..." if len(header) > 5 else "")
