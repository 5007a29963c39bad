"""A table as its file holds it: rows by column name, and for every row the place a message can point at."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tl_run.errors import BadInput


@dataclass(frozen=True)
class Table:
    """What a reader returns: at least one column and at least one row."""

    path: str
    """As the user typed it, for messages."""
    columns: tuple[str, ...]
    rows: list[dict[str, Any]]
    """Every row has every column. CSV and TSV: strings as written; JSON and Parquet: their types, None if missing."""
    lines: Sequence[int | str]
    """Where each row starts, from 1, counted in `unit`; or its name, which is easier to find."""
    unit: str = "line"
    """line, item (of a JSON list), row (of a Parquet file) or question (of SQuAD's layout)."""
    has_header: bool = False
    """The column names are the first line of the file: a missing column may then mean a missing header."""
    class_names: dict[str, list[str]] = field(default_factory=dict)
    """For a column of class numbers, as the hub has them, the name of each number; -1 is no class."""

    def where(self, index: int) -> str:
        """The place of a row in words: `reviews.csv, line 12`."""
        return f"{self.path}, {self.unit} {self.lines[index]}"

    def require(self, name: str, option: str) -> None:
        """Raises BadInput if there is no such column; `option` is what the user typed it in, `task.text` for one."""
        if name in self.columns:
            return
        shown = ", ".join(quoted(column) for column in self.columns[:10])
        rest = f" and {len(self.columns) - 10} more" if len(self.columns) > 10 else ""
        if close := nearest(name, self.columns):
            advice = f"did you mean {quoted(close)}?"
        elif self.has_header:
            advice = "the first line of the file must name the columns"
            advice = f"type {option}=<one of them>; {advice}" if option.startswith("task.") else advice
        else:
            advice = f"type {option}=<one of them>"
        raise BadInput(f"{option}: {self.path} has no column {quoted(name)}; its columns are {shown}{rest}; {advice}")

    def column(self, name: str, option: str = "column") -> list[Any]:
        """The values of one column, row by row. Raises BadInput as `require` does."""
        self.require(name, option)
        return [row[name] for row in self.rows]


def quoted(text: str, limit: int = 40) -> str:
    """Text of a file, fit for a message: cut, and with control characters escaped (it may hold terminal codes)."""
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, whatever the case and the spaces around, or None if nothing is near."""
    by_key = {other.strip().lower(): other for other in known}
    close = difflib.get_close_matches(name.strip().lower(), by_key, n=1)
    return by_key[close[0]] if close else None
