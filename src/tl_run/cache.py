"""What was computed before, by the hash of what it was computed from: safe to delete, bounded, checked when read."""

import contextlib
import os
from collections.abc import Callable
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
        _bound(entry.parent)
    return made


def _bound(parent: Path) -> None:
    """Remove the entries unused for longest until the rest fits."""
    durable.clean(parent)
    entries = [(path.stat().st_mtime, path) for path in parent.iterdir() if not path.name.startswith(".")]
    sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for _, path in entries}
    total = sum(sizes.values())
    for _, path in sorted(entries):
        if total <= MAX_BYTES:
            return
        durable.remove_folder(path)
        total -= sizes[path]
