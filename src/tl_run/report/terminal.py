"""The report in a terminal: the answer, the tables, and what to be careful about."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from tl_run.console import whole
from tl_run.failures import printable
from tl_run.report.content import Part
from tl_run.report.runs import Found
from tl_run.report.tables import Table, cell

SHOWN = 20  # rows of a table, and folders that do not count


def show(parts: Sequence[Part], found: Found) -> None:
    """All parts, then the runs that do not count."""
    console = Console(highlight=False, soft_wrap=True)
    for part in parts:
        console.print(Text(part.settings.title, style="bold"))
        console.print(Text(part.headline))
        if part.best != part.headline:
            console.print(Text(part.best))
        console.print()
        _table(console, part.settings)
        if part.gains:
            console.print()
            _table(console, part.gains)
            console.print()
            for words in part.sentences:
                console.print(Text(f"- {words}"))
        for words in part.cautions:
            console.print(Text(f"caution: {words}", style="yellow"))
        for table in (part.settings, part.gains):
            for note in table.notes if table else ():
                console.print(Text(f"note: {note}", style="dim"))
        console.print()
    if found.left_out:
        console.print(Text(f"{len(found.runs)} runs count, {len(found.left_out)} are left out:"))
        for name, why in found.left_out[:SHOWN]:
            console.print(Text(printable(f"  {name}: {why}")))
        if more := len(found.left_out) - SHOWN:
            console.print(Text(f"  and {more} more, named in the page") if more > 0 else "")


def wrote(paths: Sequence[Path]) -> None:
    """Where everything lies."""
    console = Console(highlight=False, soft_wrap=True)
    for path in paths:
        console.print(Text(printable(str(path))))


def _table(console: Console, table: Table) -> None:
    grid = Grid(box=None, pad_edge=False, header_style="dim")
    for i, column in enumerate(table.columns):
        grid.add_column(Text(column), justify="right" if table.numeric(i) else "left")
    for row in table.rows[:SHOWN]:
        grid.add_row(*(Text(cell(value)) for value in row))
    whole(console, grid)
    if (more := len(table.rows) - SHOWN) > 0:
        console.print(Text(f"and {more} more rows, in the page", style="dim"))
