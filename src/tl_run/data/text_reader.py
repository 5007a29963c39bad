"""Plain text as a table: a document on each line, or the whole file."""

from functools import partial

from tl_run.data.decoding import decode
from tl_run.data.readers import Readers
from tl_run.data.table import Table
from tl_run.errors import BadInput


def readers(documents: str, column: str) -> Readers:
    """For .txt and .md files; `documents` is line or file."""
    read = partial(read_text, documents=documents, column=column)
    return {".txt": read, ".md": read}


def read_text(path: str, data: bytes, *, documents: str, column: str) -> Table:
    """Lines that hold nothing but space are no documents. Raises: BadInput when nothing is left, or it is not UTF-8."""
    text = decode(path, data)
    lines = text.splitlines() if documents == "line" else [text]
    kept = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not kept:
        raise BadInput(f"{path}: holds no text")
    return Table(path, (column,), [{column: line} for _, line in kept], [number for number, _ in kept])
