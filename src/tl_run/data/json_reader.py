"""JSON Lines and JSON: rows keep their JSON types, and columns are the keys in order of first appearance."""

import json
from typing import Any

from tl_run.data.decoding import decode, line_end, no_page
from tl_run.data.strict_json import StrictDecoder, nothing_after, skip_space
from tl_run.data.table import Table
from tl_run.errors import BadInput

_MAX_UNEVEN_COLUMNS = 1000
_ROW = '{"text": "...", "label": "..."}'
_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}


def read_jsonl(name: str, data: bytes) -> Table:
    """One object per line; blank lines are skipped."""
    text = decode(name, data)
    no_page(name, text)
    strict, rows, lines, problems = StrictDecoder(), [], [], []
    for number, line in enumerate(text.split(line_end(text)), 1):
        start = skip_space(line, 0)
        if start == len(line):
            continue
        try:
            row, end = strict.value(line, start)
            nothing_after(line, end)
        except json.JSONDecodeError as error:
            what = f"column {error.colno}: not JSON ({error.msg}); each line must be one object such as {_ROW}"
            problems.append(f"{name}, line {number}, {what}")
            continue
        problems += [f"{name}, line {number}: {fault}" for fault in strict.faults or _not_a_row(row, "line")]
        rows.append(row)
        lines.append(number)
    if problems and _is_one_document(text):
        raise BadInput(f"{name}: one JSON value over the whole file, not one object per line; rename it to .json")
    return _table(name, rows, lines, "line", problems)


def read_json(name: str, data: bytes) -> Table:
    """A list of objects, or an object that holds one such list (`{"data": [...]}`)."""
    text = decode(name, data)
    no_page(name, text)
    if line_end(text) == "\r":
        text = text.replace("\r", "\n")  # json counts lines by "\n"; inside a string of JSON neither is allowed
    start = skip_space(text, 0)
    if start == len(text):
        raise BadInput(f"{name}: the file is empty; write a list of objects: [{_ROW}, ...]")
    try:
        return _from_list(name, text, start) if text[start] == "[" else _from_object(name, text, start)
    except json.JSONDecodeError as error:
        place = f"{name}, line {error.lineno}, column {error.colno}"
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
            raise BadInput(f"{place}: the file is cut off ({error.msg}); copy or download it again") from None
        if error.msg == "Extra data" and text[start] == "{":
            raise BadInput(f"{place}: a second JSON value; if each line is one object rename it to .jsonl") from None
        raise BadInput(f"{place}: not JSON ({error.msg}); write a list of objects: [{_ROW}, ...]") from None


def _from_list(name: str, text: str, start: int) -> Table:
    """Item by item rather than at once, so that each row knows its line."""
    strict, rows, lines, problems = StrictDecoder(), [], [], []
    line, counted = 1, 0
    at = skip_space(text, start + 1)
    while text[at : at + 1] != "]" or rows:  # an item must follow a comma
        row, end = strict.value(text, at)
        line, counted = line + text.count("\n", counted, at), at
        problems += [f"{name}, line {line}: {fault}" for fault in strict.faults or _not_a_row(row, "item")]
        rows.append(row)
        lines.append(line)
        at = skip_space(text, end)
        if text[at : at + 1] == "]":
            break
        if text[at : at + 1] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = skip_space(text, at + 1)
    nothing_after(text, at + 1)
    return _table(name, rows, lines, "line", problems)


def _from_object(name: str, text: str, start: int) -> Table:
    strict = StrictDecoder()
    value, end = strict.value(text, start)
    nothing_after(text, end)
    lists = [part for part in value.values() if isinstance(part, list)] if isinstance(value, dict) else []
    if len(lists) != 1:
        what = "an object without one list of rows in it" if isinstance(value, dict) else _kind(value)
        raise BadInput(f"{name}: this is {what}; write a list of objects: [{_ROW}, ...] (pandas: orient='records')")
    problems = [f"{name}: {fault}" for fault in strict.faults]
    for number, row in enumerate(lists[0], 1):
        problems += [f"{name}, item {number}: {fault}" for fault in _not_a_row(row, "item")]
    return _table(name, lists[0], list(range(1, len(lists[0]) + 1)), "item", problems)


def _table(name: str, rows: list[dict[str, Any]], lines: list[int], unit: str, problems: list[str]) -> Table:
    if problems:
        raise BadInput.of(problems)
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    if not columns:
        what = "all objects are empty" if rows else "no rows"
        raise BadInput(f"{name}: {what}; write objects such as {_ROW}")
    if any(len(row) < len(columns) for row in rows):
        if len(columns) > _MAX_UNEVEN_COLUMNS:  # rows times keys would fill the memory
            raise BadInput(f"{name}: {len(columns)} different keys, not the same in each row; use the same keys in all")
        rows = [{column: row.get(column) for column in columns} for row in rows]
    return Table(name, columns, rows, lines, unit)


def _not_a_row(value: Any, place: str) -> list[str]:
    return [] if isinstance(value, dict) else [f"{_kind(value)}; each {place} must be an object such as {_ROW}"]


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")


def _is_one_document(text: str) -> bool:
    """Whether this is the content of a .json: a list of objects, or one object printed over several lines."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, dict) for item in value)
    return isinstance(value, dict) and line_end(text) in text.strip()
