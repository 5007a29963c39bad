"""Parquet with its own types. pyarrow is imported when the first such file is read: it costs half a second."""

from collections import Counter

from tl_run.data.table import Table, quoted
from tl_run.errors import BadInput


def read_parquet(name: str, data: bytes) -> Table:
    """All columns and rows; a null is None."""
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pyarrow.BufferReader(data))
        columns = tuple(file.schema_arrow.names)
        repeated = [column for column, count in Counter(columns).items() if count > 1]
        rows = [] if repeated else file.read().to_pylist()
    except Exception as error:  # the bytes are in memory, so it is them; pyarrow has a dozen types for that, some bare
        reason = quoted(str(error).partition("\n")[0], 80)
        raise BadInput(f"{name}: not a Parquet file, or damaged ({reason}); write or download it again") from None
    if repeated:
        raise BadInput(f"{name}: several columns are named {quoted(repeated[0])}; names must differ, rename one")
    if not rows or not columns:
        raise BadInput(f"{name}: no rows; a table needs at least one")
    return Table(name, columns, rows, list(range(1, len(rows) + 1)), "row")
