"""One process works in a folder at a time."""

import errno
import fcntl
import os
import time
from pathlib import Path
from typing import ClassVar, Self

from tl_run import disk
from tl_run.durable import HOST
from tl_run.errors import Failure


class InUse(Failure):
    """Another process works in this folder."""


class Lock:
    """`with Lock(folder): ...` holds the folder. Raises: InUse, at once, naming who holds it.

    It is a flock: it ends with its process, kill -9 included. The file `.lock` stays for ever: were it removed, one
    process could hold the removed file and another a new one.
    """

    _held: ClassVar[set["Lock"]] = set()

    def __init__(self, folder: Path):
        self.path = folder / ".lock"
        self._descriptor = -1

    def __enter__(self) -> Self:
        with disk.faults("lock", self.path):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
                os.close(descriptor)
                if error.errno != errno.EWOULDBLOCK:
                    raise
                raise InUse(f"{self.path.parent} is in use by {holder}; wait for it, or stop it") from None
            if not (self.path.exists() and os.path.samestat(os.fstat(descriptor), os.stat(self.path))):
                os.close(descriptor)  # removed, with its empty folder, between our opening and locking it
                raise InUse(f"{self.path.parent} was just let go by another process; type the command again")
            who = f"process {os.getpid()} on host {HOST} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode()
            os.pwrite(descriptor, who, 0)  # before the cut, so that a second taker never reads an empty file
            os.truncate(descriptor, len(who))
            self._descriptor = descriptor
            Lock._held.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self in Lock._held:  # not so after a fork
            os.truncate(self._descriptor, 0)
            self._let_go()

    def _let_go(self) -> None:
        Lock._held.discard(self)
        os.close(self._descriptor)

    @classmethod
    def _let_go_after_fork(cls) -> None:
        for lock in [*cls._held]:
            lock._let_go()


# A loader's worker outlives its killed parent by seconds, and would keep the folder locked for as long.
os.register_at_fork(after_in_child=Lock._let_go_after_fork)
