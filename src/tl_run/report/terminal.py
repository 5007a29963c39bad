"""The report in a terminal: the answer, the tables, and what to be careful about."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as Grid

from tl_run.console import whole
from tl_run.failures import printable
from tl_run.plain import plain
from tl_run.report.content import Part
from tl_run.report.runs import Found
from tl_run.report.tables import INTERVAL, Table, cell

SHOWN = 20  # rows of a table, and folders that do not count


def show(parts: Sequence[Part], found: Found, written: Sequence[Path], console: Console) -> None:
    """All parts, then the runs that do not count, and where everything lies."""
    for part in parts:
        console.print(plain(part.settings.title, style="bold"))
        console.print(plain(part.headline))
        if part.best != part.headline:
            console.print(plain(part.best))
        console.print()
        _table(console, part.settings)
        if part.gains:
            console.print()
            _table(console, part.gains)
            console.print()
            for words in part.sentences:
                console.print(plain(f"- {words}"))
        for words in part.cautions:
            console.print(plain(f"caution: {words}", style="yellow"))
        console.print()
    console.print(plain(f"note: {INTERVAL}", style="dim"))
    if found.left_out:
        console.print(plain(f"{len(found.runs)} runs count, {len(found.left_out)} are left out:"))
        for name, why in found.left_out[:SHOWN]:
            console.print(plain(printable(f"  {name}: {why}")))
        if (more := len(found.left_out) - SHOWN) > 0:
            console.print(plain(f"  and {more} more, named in the page"))
    for path in written:
        console.print(plain(printable(str(path))))


def _table(console: Console, table: Table) -> None:
    """As many columns as there is room for, the first at least; in a file all of them."""
    count = len(table.columns)
    while console.is_terminal and count > 1 and _width(console, _grid(table, count)) > console.width:
        count -= 1
    whole(console, _grid(table, count))
    left = [f"{more} more rows"] if (more := len(table.rows) - SHOWN) > 0 else []
    left += [", ".join(table.columns[count:])] if table.columns[count:] else []
    if left:
        console.print(plain(f"in the page besides: {' and '.join(left)}", style="dim"))


def _width(console: Console, grid: Grid) -> int:
    return Measurement.get(console, console.options.update(max_width=1000), grid).maximum


def _grid(table: Table, count: int) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="dim")
    for i, column in enumerate(table.columns[:count]):
        grid.add_column(plain(column), justify="right" if table.numeric(i) else "left")
    for row in table.rows[:SHOWN]:
        grid.add_row(*(plain(cell(value)) for value in row[:count]))
    return grid
