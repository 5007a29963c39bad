"""Tables as CSV, with all digits, and as Markdown."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from tl_run.report.tables import Estimate, Table, cell


def csv_of(tables: Sequence[Table]) -> str:
    """One block for all tables: their columns together, and which table a row is of."""
    rows = [{"table": table.title} | _plain(table, row) for table in tables for row in table.rows]
    columns = dict.fromkeys(column for row in rows for column in row)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*columns], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _plain(table: Table, row: Sequence[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for column, value in zip(table.columns, row, strict=True):
        if isinstance(value, Estimate):
            found[column], found[f"{column} ±"] = value.numbers
        else:
            found[column] = value
    return found


def markdown_of(tables: Sequence[Table]) -> str:
    """A section for each table."""
    parts = []
    for table in tables:
        marks = ["---:" if table.numeric(i) else "---" for i in range(len(table.columns))]
        lines = [table.columns, marks, *([cell(value) for value in row] for row in table.rows)]
        text = "\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in lines)
        parts.append(f"## {_escaped(table.title)}\n\n{text}\n" + "".join(f"\n{_escaped(n)}\n" for n in table.notes))
    return "\n".join(parts)


def _escaped(text: str) -> str:
    for mark, instead in {"\\": "\\\\", "|": "\\|", "`": "\\`", "<": "&lt;", "\n": " "}.items():
        text = text.replace(mark, instead)
    return text
