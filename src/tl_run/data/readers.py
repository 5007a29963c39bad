"""The user's tables from files and streams: read whole, checked whole, and refused with the line and the remedy."""

import itertools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from tl_run.data.csv_reader import read_csv, read_tsv
from tl_run.data.json_reader import read_json, read_jsonl
from tl_run.data.parquet_reader import read_parquet
from tl_run.data.table import Table, nearest, quoted
from tl_run.errors import BadInput, BadOption, MachineFault

Reader = Callable[[str, bytes], Table]  # the file's name and its bytes
Readers = Mapping[str, Reader]  # by suffix
READERS: Readers = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json,
    ".parquet": read_parquet,
}
OTHER_FORMATS = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "save the sheet as CSV (UTF-8)"),
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zip", ".tar"), "unpack it first (gunzip, unzip)"),
    **dict.fromkeys((".pkl", ".pickle", ".feather", ".arrow"), "save it as Parquet"),
    **dict.fromkeys((".doc", ".docx", ".pdf", ".html"), "save it as plain text"),
}
"""What to do with files that are not read, by suffix."""
STREAM_FORMATS = ("csv", "tsv", "jsonl")


def read_table(path: str | Path, others: Readers | None = None) -> Table:
    """The table in a UTF-8 file of a format that its suffix says; `others` are formats that one kind of task has.

    Raises:
        BadInput: the file is not there, of no known kind, or not well formed; up to three problems in words.
        MachineFault: the file is there and the machine does not let us read it.
    """
    name, file, readers = _printable(str(path)), Path(path), {**READERS, **(others or {})}
    try:
        if file.is_dir():
            raise BadInput(f"{name}: this is a folder; give a file ({' '.join(readers)})")
        if not file.exists():
            raise BadInput(_why_missing(name, file))
        reader = readers.get(file.suffix.lower())
        if reader is None:
            what = f"the suffix {quoted(file.suffix)} is not known" if file.suffix else "the name has no suffix"
            advice = f"; {OTHER_FORMATS[file.suffix.lower()]}" if file.suffix.lower() in OTHER_FORMATS else ""
            raise BadInput(f"{name}: {what}; known are {' '.join(readers)}{advice}")
        data = file.read_bytes()
    except OSError as error:
        raise MachineFault(f"{name}: cannot be read ({error.strerror or error})") from None
    return reader(name, data)


def read_stream(stream: BinaryIO, format: str, name: str = "standard input") -> Table:
    """The table in an open binary stream, read to its end, under the same rules as a file.

    Raises:
        BadOption: `format` is not one of STREAM_FORMATS.
        BadInput: as `read_table`.
    """
    if format not in STREAM_FORMATS:
        raise BadOption(f"format: {quoted(format)} is not known; known are {' '.join(STREAM_FORMATS)}")
    return READERS[f".{format}"](name, stream.read())


def _why_missing(name: str, file: Path) -> str:
    if file.is_symlink():
        return f"{name}: a link to {quoted(os.readlink(file), 200)}, which does not exist; mend the link"
    folder = file.parent
    if not folder.is_dir():
        return f"{name}: not found, there is no folder {quoted(str(folder.absolute()), 200)}"
    place = f"{name}: not found in {quoted(str(folder.absolute()), 200)}"
    with os.scandir(folder) as entries:
        there = [entry.name for entry in itertools.islice(entries, 10_000)]
    close = nearest(file.name, there)
    return f"{place}; did you mean {quoted(close, 200)}?" if close else f"{place}; nothing there has a name like it"


def _printable(path: str) -> str:
    return path if path and path.isprintable() else repr(path)
