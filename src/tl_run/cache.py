"""What was computed before, by the hash of what it was computed from: safe to delete, bounded, checked when read."""

import contextlib
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import numpy as np

from tl_run import durable, manifest
from tl_run.errors import BadCheckpoint, MachineFault

MAX_BYTES = 4 * 2**30


def folder() -> Path:
    """TL_RUN_CACHE, or tl-run in the user's cache folder."""
    if own := os.environ.get("TL_RUN_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tl-run"


def arrays(kind: str, key: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays stored under `key`, or those that `make` gives, which are then stored.

    A damaged entry is made anew; a cache that cannot be written is done without. Two processes may make the same entry.
    """
    from safetensors.numpy import load, save_file

    entry = folder() / kind / key
    with contextlib.suppress(BadCheckpoint, OSError):
        manifest.read_folder(entry)
        os.utime(entry)
        return load((entry / "arrays.safetensors").read_bytes())
    made = make()
    with contextlib.suppress(MachineFault, OSError):
        entry.parent.mkdir(parents=True, exist_ok=True)
        durable.write_folder(entry, {"arrays.safetensors": lambda path: save_file(made, path)}, {})
        durable.clean(entry.parent)
        evict((path for path in entry.parent.iterdir() if not path.name.startswith(".")), MAX_BYTES)
    return made


def evict(folders: Iterable[Path], max_bytes: int, keep: Collection[Path] = ()) -> int:
    """Remove what was unused for longest until the rest takes no more than `max_bytes`; returns what the rest takes.

    Another process may remove or use any of them in the meantime.
    """
    found = []
    for folder in folders:
        with contextlib.suppress(OSError):
            found.append((folder.stat().st_mtime, _size(folder), folder))
    total = sum(size for _, size, _ in found)
    for _, size, folder in sorted(found):
        if total > max_bytes and folder not in keep:
            with contextlib.suppress(OSError, MachineFault):
                durable.remove_folder(folder)
                total -= size
    return total


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(parent, name)).st_size
    return total
