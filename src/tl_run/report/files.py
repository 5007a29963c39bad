"""Tables as CSV, with all digits; all that is said as Markdown."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from tl_run.report.content import Part
from tl_run.report.tables import Between, Estimate, Table, cell


def csv_of(tables: Sequence[tuple[Part, Table]]) -> str:
    """The rows of all tables, with the task and the metric they are of; a column that a table lacks stays empty."""
    rows = [
        {"task": part.task.name, "metric": part.task.metric} | _plain(table, row)
        for part, table in tables
        for row in table.rows
    ]
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
        elif isinstance(value, Between):
            found |= {column: value.value, f"{column} low": value.low, f"{column} high": value.high}
        else:
            found[column] = float(value) if isinstance(value, float) else value
    return found


def markdown_of(parts: Sequence[Part], left_out: Sequence[tuple[str, str]]) -> str:
    """A section for each task."""
    made = []
    for part in parts:
        made += [f"## {_escaped(part.settings.title)}", _escaped(part.headline)]
        made += [_escaped(part.best)] if part.best != part.headline else []
        made += ["\n".join(f"- Caution: {_escaped(words)}" for words in part.cautions)] if part.cautions else []
        made += _table(part.settings)
        if part.gains:
            made += [f"### {_escaped(part.gains.title)}", "\n".join(f"- {_escaped(words)}" for words in part.sentences)]
            made += _table(part.gains)
        if part.classes:
            made += [f"### {_escaped(part.classes.title)}", *_table(part.classes)]
    if left_out:
        made += ["## Left out", "\n".join(f"- {_escaped(name)}: {_escaped(why)}" for name, why in left_out)]
    return "\n\n".join(made) + "\n"


def _table(table: Table) -> list[str]:
    marks = ["---:" if table.numeric(i) else "---" for i in range(len(table.columns))]
    body = [[_escaped(cell(value)) for value in row] for row in table.rows]
    lines = [[_escaped(column) for column in table.columns], marks, *body]
    return ["\n".join(f"| {' | '.join(line)} |" for line in lines), *map(_escaped, table.notes)]


def _escaped(text: str) -> str:
    for mark, instead in {"\\": "\\\\", "|": "\\|", "`": "\\`", "<": "&lt;", "\n": " "}.items():
        text = text.replace(mark, instead)
    return text
