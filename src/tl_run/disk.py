"""One operation on the disk each: the hook comes first, and what the system refuses is said in the user's words.

Only `durable` and `lock` call these; everything else goes through those two.
"""

import ctypes
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tl_run.errors import MachineFault

hook: Callable[[str, Path], None] | None = None
"""Called before each operation (create, write, fsync, rename, fsync_dir, truncate, remove) with its path: tests record
there, or raise or die at the n-th."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MACHINE = _NO_ROOM | {errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.ENOTDIR}
_MACHINE |= {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # a file system without locks


@contextmanager
def faults(verb: str, path: Path, needed: int = 0) -> Iterator[None]:
    """Raises: MachineFault with what could not be done, where, why, and how much room there is."""
    try:
        yield
    except OSError as error:
        if error.errno not in _MACHINE:
            raise
        text = f"cannot {verb} {path}: {error.strerror}"
        if error.errno in _NO_ROOM:
            need = f"at least {needed:,} bytes needed, " if needed else ""  # a callable's are not known
            text += f" ({need}{free(path.parent):,} bytes free)\n"
            text += "Make room, or raise the quota or `ulimit -f`; what was complete is untouched: repeat the command."
        raise MachineFault(text) from error


def before(operation: str, path: Path) -> None:
    """Tells the hook what is about to happen."""
    if hook is not None:
        hook(operation, path)


def free(folder: Path) -> int:
    """The bytes that a user may still write there."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize if disk.f_blocks else 1 << 62  # some file systems do not say


def create(folder: Path) -> None:
    before("create", folder)
    folder.mkdir()


def rename(source: Path, target: Path) -> None:
    before("rename", target)
    os.rename(source, target)


def exchange(one: Path, other: Path) -> bool:
    """Swaps two names in one step, or returns False where system or file system cannot (macOS, NFS)."""
    before("rename", other)
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return renameat2 is not None and renameat2(here, os.fsencode(one), here, os.fsencode(other), swap) == 0


def remove(path: Path) -> None:
    """Removes a file or a folder with all in it, if it is there."""
    if os.path.lexists(path):
        before("remove", path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def cut(path: Path, size: int) -> None:
    before("truncate", path)
    os.truncate(path, size)


def sync_file(path: Path) -> None:
    before("fsync", path)
    with open(path, "rb+") as file:
        os.fsync(file)


def sync_folder(folder: Path) -> None:
    """Makes durable which names the folder holds."""
    before("fsync_dir", folder)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems sync no folders
            raise
    finally:
        os.close(descriptor)
