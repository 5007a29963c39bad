"""What a power cut may leave of a run's folder: the states that POSIX allows, made from what the run did until then.

A file keeps what was in it at its last fsync; of the rest nothing, a part, zeros or all of it is there. A name is as it
was at its folder's last fsync; of what was done to names since, each act (a rename, an exchange: in one piece) is there
or not, on its own, in no order. Only `os.fsync` itself counts: what the program says it has done does not.
"""

import os
import random
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Entry = tuple[int, str]  # the folder's inode and a name in it
NOT_THE_RUNS = {"output", "operations", "codes.json"}


@dataclass
class Act:
    """A change of names that happens in one piece: what each leads to, None where it is gone."""

    names: dict[Entry, int | None]


class Disk:
    """A folder, of which it knows what is there and what would be there after a power cut."""

    def __init__(self, root: Path) -> None:
        self.root, self.root_inode = root, root.stat().st_ino
        self.names: dict[Entry, int] = {}
        self.data: dict[int, bytes | None] = {}  # of every inode ever seen; None: a folder
        self.stamps: dict[int, tuple[int, int]] = {}
        self.kept_names: dict[Entry, int] = {}
        self.kept_data: dict[int, bytes] = {}
        self.open: list[int] = []  # as long as an inode is open its number is not given again
        self.pending: list[Act] = []
        self.look()
        self.kept_names = dict(self.names)
        self.kept_data = {inode: data for inode, data in self.data.items() if data is not None}
        self.pending.clear()

    def look(self) -> None:
        """Take in what has changed."""
        found: dict[Entry, int] = {}
        self._scan(self.root, self.root_inode, found)
        changed = {
            entry: (self.names.get(entry), found.get(entry))
            for entry in {**self.names, **found}
            if self.names.get(entry) != found.get(entry)
        }
        self.pending += _acts(changed)
        self.names = found

    def _scan(self, folder: Path, inode: int, found: dict[Entry, int]) -> None:
        for entry in os.scandir(folder):
            if folder == self.root and entry.name in NOT_THE_RUNS:
                continue
            try:
                facts = entry.stat(follow_symlinks=False)
                found[inode, entry.name] = facts.st_ino
                if facts.st_ino not in self.data:
                    self.open.append(os.open(entry.path, os.O_PATH))
                if stat.S_ISDIR(facts.st_mode):
                    self.data[facts.st_ino] = None
                    self._scan(Path(entry.path), facts.st_ino, found)
                elif self.stamps.get(facts.st_ino) != (stamp := (facts.st_size, facts.st_mtime_ns)):
                    self.data[facts.st_ino], self.stamps[facts.st_ino] = Path(entry.path).read_bytes(), stamp
            except FileNotFoundError:  # of another thread: TensorBoard's
                found.pop((inode, entry.name), None)

    def synced(self, descriptor: int) -> None:
        """What `os.fsync` has made durable."""
        self.look()
        inode = os.fstat(descriptor).st_ino
        if inode not in self.data and inode != self.root_inode:
            return
        data = self.data.get(inode)
        if data is not None:
            self.kept_data[inode] = data
            return
        here = [act for act in self.pending if any(folder == inode for folder, _ in act.names)]
        for act in here:
            _apply(act, self.kept_names)
        self.pending = [act for act in self.pending if act not in here]

    def after_a_power_cut(self, target: Path, rng: random.Random) -> None:
        """Write one of the states that may be there into the folder `target`."""
        names = dict(self.kept_names)
        share = rng.choice((0.0, 0.5, 0.8, 1.0))
        for act in self.pending:
            if rng.random() < share:
                _apply(act, names)
        self._write(target, self.root_inode, names, rng)

    def _write(self, target: Path, folder: int, names: dict[Entry, int], rng: random.Random) -> None:
        target.mkdir(exist_ok=True)
        for (parent, name), inode in names.items():
            if parent == folder:
                data = self.data[inode]
                if data is None:
                    self._write(target / name, inode, names, rng)
                else:
                    (target / name).write_bytes(_torn(self.kept_data.get(inode, b""), data, rng))


def _acts(changed: dict[Entry, tuple[int | None, int | None]]) -> list[Act]:
    """Changes that share an inode are one act: a rename takes a name away and gives another."""
    acts: list[tuple[set[int], Act]] = []
    for entry, (before, after) in changed.items():
        inodes = {inode for inode in (before, after) if inode is not None}
        act = Act({entry: after})
        for other in [found for found in acts if found[0] & inodes]:
            acts.remove(other)
            inodes |= other[0]
            act.names |= other[1].names
        acts.append((inodes, act))
    return [act for _, act in acts]


def _apply(act: Act, names: dict[Entry, int]) -> None:
    for entry, inode in act.names.items():
        if inode is None:
            names.pop(entry, None)
        else:
            names[entry] = inode


def _torn(kept: bytes, now: bytes, rng: random.Random) -> bytes:
    """A file's content: what is kept for certain, and of what came after it nothing, all, a part, or zeros."""
    if kept == now or kept.startswith(now):  # it was cut, and the cut is there or not
        return rng.choice((kept, now))
    start = len(kept) if now.startswith(kept) else 0
    rest = now[start:]
    cut = rng.randrange(len(rest) + 1)
    return rng.choice((kept, now, now[:start] + rest[:cut], now[:start] + rest[:cut] + bytes(len(rest) - cut)))


def record(root: str, states: dict[str, list[str]], seed: int) -> Any:
    """For `forked_runs`: at each of these operations writes what a power cut there may leave, into these folders."""
    disk, fsync = Disk(Path(root)), os.fsync

    def synced(file: Any) -> None:
        fsync(file)
        disk.synced(file if isinstance(file, int) else file.fileno())

    def at(number: int, operation: str, path: Path) -> None:
        disk.look()
        for i, target in enumerate(states.get(str(number), [])):
            disk.after_a_power_cut(Path(target), random.Random(f"{seed} {number} {i}"))

    os.fsync = synced
    return at
