"""Every durable file operation of the program: a path holds its old or its new content, whole, wherever we die.

The rule: write beside, fsync, rename, fsync the folder. A path has one writer at a time, who holds a `lock.Lock`.
"""

import errno
import hashlib
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tl_run import disk
from tl_run.errors import BadCheckpoint
from tl_run.manifest import MANIFEST, Sum, render, sha256_file

Content = bytes | Callable[[Path], None]  # a callable writes the file itself, as safetensors' save_file does

HOST = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())[:40]
LEFTOVER = re.compile(r"\.(tmp|del|old)-(.+)-([1-9]\d{0,8})-([A-Za-z0-9._]*)")
DAY = 24 * 3600

_under_way: set[Path] = set()  # what this process is writing now


def write_file(path: Path, content: Content) -> None:
    """Gives `path` its new content, and makes its parents.

    The umask says who may read it, as for any file of the user's: groups share runs, and no secret is written.
    """
    with _replacing(path, [content]) as temporary:
        _fill(temporary / path.name, content)
        disk.rename(temporary / path.name, path)


def write_folder(target: Path, files: Mapping[str, Content], facts: dict, expect_bytes: int = 0) -> None:
    """Writes `files`, then a manifest with `facts` and checksums, as the folder `target`, in place of what is there.

    A name may have one folder in it: `1_Pooling/config.json`.
    `expect_bytes`: about how much the callables will write; too little room is then known before the first byte.
    """
    render(facts, dict.fromkeys(files, (0, "")))  # what it refuses, it refuses before the writing
    with _replacing(target, files.values(), expect_bytes) as temporary:
        inside = sorted({temporary / name.partition("/")[0] for name in files if "/" in name})
        for folder in inside:
            disk.create(folder)
        sums = {name: _fill(temporary / name, content) for name, content in files.items()}
        _fill(temporary / MANIFEST, render(facts, sums))
        for folder in inside:
            disk.sync_folder(folder)
        disk.sync_folder(temporary)
        if not os.path.lexists(target):
            disk.rename(temporary, target)
        elif not disk.exchange(temporary, target):
            _swap(temporary, target)


def remove_folder(folder: Path) -> None:
    """Removes a folder, if it is there; no half of it is ever seen under its name."""
    if os.path.lexists(folder):
        with disk.faults("remove", folder):
            removed = _beside(folder, "del")
            disk.remove(removed)
            disk.rename(folder, removed)
            disk.sync_folder(folder.parent)
            disk.remove(removed)


def clean(parent: Path, locked: bool = False) -> list[Path]:
    """Removes what dead processes left half done in `parent`; returns their paths.

    `locked`: the caller holds the lock over `parent`, so nobody else is at work in it. Otherwise the process number
    tells; that of another host does not, and what it left goes when it has not changed for a day.
    """
    cleaned = []
    for path in [*parent.iterdir()] if parent.is_dir() else []:
        found = LEFTOVER.fullmatch(path.name)
        if found is None or path in _under_way:
            continue
        kind, name, pid, host = found.groups()
        with suppress(OSError):  # another process cleans too, or it resists: a leftover does no harm
            in_use = _lives(int(pid)) if host == HOST else time.time() - path.lstat().st_mtime < DAY
            if in_use and not locked:
                continue
            if kind == "old" and not os.path.lexists(parent / name):  # died in the middle of _swap
                disk.rename(path, parent / name)
            else:
                disk.remove(path)
            cleaned.append(path)
    return cleaned


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A folder for what is on its way into another; `clean` removes it if the process dies."""
    path = _beside(parent / "scratch", "tmp")
    disk.create(path)
    try:
        yield path
    finally:
        disk.remove(path)


def make_folder(folder: Path) -> None:
    """Makes a folder and its parents, if need be; a power cut does not take them back."""
    if not folder.is_dir():
        make_folder(folder.parent)
        with suppress(FileExistsError):  # another process was faster
            _make(folder)


def settle(folder: Path) -> None:
    """A folder that others made (Hydra makes that of a run), and those above it, outlive a power cut too."""
    for inner in (folder.absolute(), *folder.absolute().parents):
        if inner == Path.cwd():
            return
        with suppress(OSError):  # those above may be of others, who let us in but not look
            disk.sync_folder(inner.parent)


def claim(folder: Path) -> Path:
    """Makes a folder of our own: `folder`, or else the first of folder-2, folder-3, ... that nobody has."""
    make_folder(folder.parent)
    mine, number = folder, 1
    while True:
        try:
            _make(mine)
            return mine
        except FileExistsError:
            number += 1
            mine = folder.with_name(f"{folder.name}-{number}")


def append_line(path: Path, line: str) -> None:
    """Adds a line to a log. It is durable after the next `sync`; what is after that, a resumed run cuts off."""
    assert "\n" not in line, line
    data = f"{line}\n".encode()
    with disk.faults("write", path, len(data)):
        disk.before("write", path)
        with open(path, "ab") as file:
            file.write(data)


def sync(path: Path) -> int:
    """Makes a log durable. Returns its size, to which a run resumed from a checkpoint made now has to `truncate` it."""
    with disk.faults("write", path):
        disk.sync_file(path)
        disk.sync_folder(path.parent)
        return path.stat().st_size


def truncate(path: Path, size: int) -> None:
    """Cuts a log back to its first `size` bytes. Raises: BadCheckpoint when it has fewer."""
    there = path.stat().st_size if path.exists() else 0
    if there < size:
        raise BadCheckpoint(f"{path}: has {there:,} bytes, but had {size:,} when the checkpoint was made")
    if there > size:
        with disk.faults("cut", path):
            disk.cut(path, size)
            disk.sync_file(path)


@contextmanager
def _replacing(target: Path, contents: Iterable[Content], expect_bytes: int = 0) -> Iterator[Path]:
    """A folder beside `target` in which its new content is made. For a file too: safetensors writes a temporary file of
    its own first, which must not stay when the process is killed."""
    make_folder(target.parent)
    temporary = _beside(target, "tmp")
    needed = expect_bytes + sum(len(content) for content in contents if isinstance(content, bytes))
    with disk.faults("write", target, needed):
        if needed > disk.free(target.parent):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        disk.remove(temporary)  # of an earlier process that had our number
        _under_way.add(temporary)
        try:
            disk.create(temporary)
            yield temporary
        except BaseException:
            with suppress(OSError):
                disk.remove(temporary)
            raise
        else:  # the old content goes only when the new one is there to stay
            disk.sync_folder(target.parent)
            disk.remove(temporary)
        finally:
            _under_way.discard(temporary)


def _fill(path: Path, content: Content) -> Sum:
    disk.before("write", path)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        try:
            content(path)
        except Exception as error:
            # safetensors 0.8 has the system's error only as text: "I/O error: File too large (os error 27)".
            if number := re.search(r"\(os error (\d+)\)", str(error)):
                raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
            raise
        path.chmod(path.parent.stat().st_mode & 0o666)  # safetensors 0.8 makes files that only we can read
    disk.sync_file(path)
    sha256 = hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else sha256_file(path)
    return path.stat().st_size, sha256


def _swap(temporary: Path, target: Path) -> None:
    aside = _beside(target, "old")
    disk.rename(target, aside)  # until the next rename there is no target: who dies here leaves it to clean()
    try:
        disk.rename(temporary, target)
    except BaseException:
        os.rename(aside, target)
        raise
    disk.sync_folder(target.parent)
    disk.rename(aside, temporary)


def _make(folder: Path) -> None:
    with disk.faults("make the folder", folder):
        disk.create(folder)
        disk.sync_folder(folder.parent)


def _beside(target: Path, kind: str) -> Path:
    return target.with_name(f".{kind}-{target.name}-{os.getpid()}-{HOST}")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    # Our own number, on what is not under way: an earlier process had it too, as in a container that starts again.
    return pid != os.getpid()
