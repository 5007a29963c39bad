"""The manifest of a folder: facts, and checksums of every file and of itself. What is not verified is not parsed.

A file may lie in a subfolder (`1_Pooling/config.json`), one level down.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from tl_run.errors import BadCheckpoint

FORMAT = 1
MANIFEST = "manifest.json"
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
LARGEST = 64 * 2**20

Sum = tuple[int, str]  # bytes, sha256 in hex


def sha256_file(path: Path) -> str:
    """The checksum of a file of any size, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def render(facts: dict, sums: dict[str, Sum]) -> bytes:
    """The manifest of these facts and files. Raises: ValueError for what would not come back as it is."""
    if json.loads(json.dumps(facts, allow_nan=False)) != facts:
        raise ValueError(f"JSON would change these facts: {facts}")
    if bad := [name for name in sums if not _is_plain(name)]:
        raise ValueError(f"not plain file names: {bad}")
    files = {name: {"bytes": size, "sha256": sha256} for name, (size, sha256) in sums.items()}
    text = json.dumps({"format": FORMAT, "facts": facts, "files": files}, indent=1)
    return _sealed(text.removesuffix("\n}").encode())


def read_folder(folder: Path) -> dict:
    """The facts of a folder, after proof that every file in it is what `durable.write_folder` wrote.

    Hidden files are the system's (.DS_Store, .nfs0001) and do not count.
    Raises: BadCheckpoint, one line with the file and what is wrong.
    """
    facts, sums = _read(folder / MANIFEST)
    there = dict(_entries(folder))
    if extra := sorted(there.keys() - sums.keys() - {MANIFEST}):
        raise BadCheckpoint(f"{folder / extra[0]}: is not in {MANIFEST}: it was not written with this folder")
    for name, (size, _) in sums.items():
        path = folder / name
        if name not in there:
            raise BadCheckpoint(f"{path}: is missing")
        if not there[name].is_file(follow_symlinks=False):
            raise BadCheckpoint(f"{path}: is not a plain file")
        if (found := path.stat().st_size) != size:
            raise BadCheckpoint(f"{path}: has {found:,} bytes where {size:,} were written")
    for name, (_, sha256) in sums.items():
        try:
            same = sha256_file(folder / name) == sha256
        except OSError as error:  # a bad sector costs this folder, not the older ones
            raise BadCheckpoint(f"{folder / name}: cannot be read: {error.strerror}") from error
        if not same:
            raise BadCheckpoint(f"{folder / name}: is not what was written (sha256 differs)")
    return facts


def _entries(folder: Path, inside: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """What lies in a folder and its subfolders, by its name from there."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from _entries(Path(entry.path), f"{inside}{entry.name}/")
        elif not entry.name.startswith("."):
            yield inside + entry.name, entry


def _read(path: Path) -> tuple[dict, dict[str, Sum]]:
    if not path.is_file() or path.is_symlink() or path.stat().st_size > LARGEST:
        raise BadCheckpoint(f"{path}: is missing or no manifest: its folder is unfinished, or no checkpoint")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadCheckpoint(f"{path}: cannot be read: {error.strerror}") from error
    if raw != _sealed(raw.rpartition(b',\n "sha256": "')[0]):
        raise BadCheckpoint(f"{path}: is not what was written (its own sha256 differs)")
    try:
        manifest = json.loads(raw)
        number, facts = manifest["format"], dict(manifest["facts"])
        sums = {name: (int(of["bytes"]), str(of["sha256"])) for name, of in manifest["files"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadCheckpoint(f"{path}: is no manifest of ours: {error!r}") from error
    if number != FORMAT:
        raise BadCheckpoint(f"{path}: has format {number!r}, but this version reads format {FORMAT}")
    if bad := [name for name in sums if not _is_plain(name)]:
        raise BadCheckpoint(f"{path}: lists {bad[0]!r}, which is no plain file name")
    return facts, sums


def _sealed(body: bytes) -> bytes:
    return body + b',\n "sha256": "' + hashlib.sha256(body).hexdigest().encode() + b'"\n}\n'


def _is_plain(name: str) -> bool:
    parts = name.split("/")
    return len(parts) <= 2 and all(PLAIN_NAME.fullmatch(part) for part in parts) and name != MANIFEST
