"""States of examples on disk: a shelf for each cut of each set of weights, in pieces that are whole or not there.

Every piece is a folder of safetensors with a checksum manifest, read through memory maps. Two processes may fill a
shelf together: a piece has one maker at a time, and a piece made twice is the same bytes.
"""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tl_run import cache, durable, manifest
from tl_run.errors import BadCheckpoint, MachineFault
from tl_run.lock import InUse, Lock

FILE = "states.safetensors"
KEY = re.compile(r"[0-9a-f]{64}")  # what a shelf's folder is called by


@dataclass(frozen=True)
class Piece:
    """`states[offsets[i]:offsets[i + 1]]` belongs to example i; the states are a memory map."""

    offsets: np.ndarray
    states: torch.Tensor  # (rows of all examples, hidden)

    def rows(self, number: int) -> torch.Tensor:
        """The states of one example: (rows, hidden)."""
        return self.states[self.offsets[number] : self.offsets[number + 1]]


class Shelf:
    """What one set of frozen weights has made of examples, by the examples' hashes."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self.bytes = 0
        self._where: dict[bytes, tuple[Piece, int]] = {}
        self._seen: set[str] = set()
        self.refresh()

    def __contains__(self, example: bytes) -> bool:
        return example in self._where

    def __getitem__(self, example: bytes) -> torch.Tensor:
        piece, number = self._where[example]
        return piece.rows(number)

    def refresh(self) -> None:
        """Take in the pieces that were written since; a damaged one, or one of other weights, is removed."""
        try:
            paths = sorted(self.folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):  # nothing was put there, or another process has made room
            return
        for path in paths:
            if path.name.startswith(".") or path.name in self._seen:
                continue
            try:
                facts = manifest.read_folder(path)
                if facts.get("key") != self.key:
                    raise BadCheckpoint(f"{path}: was made from other weights")
                with safe_open(path / FILE, framework="pt") as file:
                    examples, offsets = file.get_tensor("examples").numpy(), file.get_tensor("offsets").numpy()
                    piece = Piece(offsets, file.get_tensor("states"))
            except (BadCheckpoint, SafetensorError, OSError):
                with contextlib.suppress(OSError, MachineFault):
                    durable.remove_folder(path)
                continue
            self._seen.add(path.name)
            self.bytes += piece.states.nbytes
            self._where.update((example.tobytes(), (piece, i)) for i, example in enumerate(examples))

    def put(self, states: Mapping[bytes, torch.Tensor]) -> None:
        """Write states, each (rows, hidden), as one piece, and take it in.

        Raises: MachineFault when the disk is full or refuses.
        """
        name, examples = _name(states), list(states)
        rows = [states[example] for example in examples]
        tensors = {
            "examples": torch.from_numpy(np.frombuffer(b"".join(examples), np.uint8).reshape(len(examples), -1).copy()),
            "offsets": torch.from_numpy(np.cumsum([0, *(len(r) for r in rows)], dtype=np.int64)),
            "states": torch.cat(rows).contiguous(),
        }
        with contextlib.suppress(OSError):  # another process has put the same here, or removed the shelf to make room
            durable.write_folder(
                self.folder / name,
                {FILE: lambda path: save_file(tensors, path)},
                {"key": self.key},
                expect_bytes=tensors["states"].nbytes,
            )
        self.refresh()

    @contextlib.contextmanager
    def making(self, examples: Sequence[bytes], between: Callable[[], object]) -> Iterator[None]:
        """Hold the making of a piece of these examples; waits while another process makes it."""
        claim = self.folder.parent / ".claims" / f"{self.folder.name}-{_name(examples)}"
        with contextlib.ExitStack() as held:
            while True:
                try:
                    durable.make_folder(claim)
                    held.enter_context(Lock(claim))
                    break
                except (InUse, FileNotFoundError):  # or it was let go, and removed, between the two lines
                    between()
                    time.sleep(0.05)
            try:
                yield
            finally:
                with contextlib.suppress(OSError):  # who waited for it may be in it by now
                    (claim / ".lock").unlink()
                    claim.rmdir()


class Store:
    """All shelves under one folder, within a number of bytes; the shelf that was unused for longest goes first."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._open: set[Path] = set()

    def shelf(self, key: str) -> Shelf:
        """The shelf of this key, perhaps empty."""
        path = self.folder / key
        self._open.add(path)
        with contextlib.suppress(OSError):
            os.utime(path)
            durable.clean(path)
        return Shelf(path, key)

    def room(self, needed: int) -> int:
        """How many of the bytes that are needed there is room for, after removing shelves that nobody here uses."""
        durable.clean(self.folder)
        shelves = [path for path in self.folder.iterdir() if KEY.fullmatch(path.name)] if self.folder.is_dir() else []
        taken = cache.evict(shelves, self.max_bytes - needed, keep=self._open)
        return max(0, min(self.max_bytes - taken, needed))


def _name(examples: Sequence[bytes] | Mapping[bytes, torch.Tensor]) -> str:
    return hashlib.sha256(b"".join(examples)).hexdigest()[:32]
