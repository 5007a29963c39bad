"""Parquet with its own types. pyarrow is imported when the first such file is read: it costs half a second."""

from collections import Counter
from typing import Any

from tl_run.data.table import Table, quoted
from tl_run.errors import BadInput


def read_parquet(name: str, data: bytes) -> Table:
    """All columns and rows; a null is None."""
    import pyarrow
    from pyarrow import parquet

    table: Any = None
    try:
        file = parquet.ParquetFile(pyarrow.BufferReader(data))
        columns = tuple(file.schema_arrow.names)
        repeated = [column for column, count in Counter(columns).items() if count > 1]
        table = file.read() if not repeated else []
        rows = table.to_pylist() if len(table) else []
    except UnicodeDecodeError:
        raise BadInput(f"{name}{_not_utf8(table)}: a text that is not UTF-8; write the file again") from None
    except Exception as error:  # the bytes are in memory, so it is them; pyarrow has a dozen types for that, some bare
        reason = quoted(str(error).partition("\n")[0], 80)
        raise BadInput(f"{name}: not a Parquet file, or damaged ({reason}); write or download it again") from None
    if repeated:
        raise BadInput(f"{name}: several columns are named {quoted(repeated[0])}; names must differ, rename one")
    if not rows or not columns:
        raise BadInput(f"{name}: no rows; a table needs at least one")
    return Table(name, columns, rows, list(range(1, len(rows) + 1)), "row")


def _not_utf8(table: Any) -> str:
    """Where the first text is that cannot be decoded."""
    for column in table.column_names:
        for i, value in enumerate(table[column]):
            try:
                value.as_py()
            except UnicodeDecodeError:
                return f", row {i + 1}, {quoted(column)}"
    return ""
