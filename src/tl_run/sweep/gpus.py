"""Jobs at the same time on a machine with several GPUs: each takes as many for itself as it needs."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"


@contextlib.contextmanager
def taken(count: int) -> Iterator[None]:
    """Of the visible GPUs only `count` that no other job of ours has taken are visible here, before CUDA is used.

    Where there is nothing to choose from, or not enough is free, nothing changes. They are taken by locks in the
    folder for temporary files, which end with their process, kill -9 included.
    """
    if not count:
        yield
        return
    import torch

    names = [name for name in os.environ.get(VISIBLE, "").split(",") if name]
    names = names or [str(number) for number in range(torch.cuda.device_count())]
    if len(names) <= count:
        yield
        return
    folder = Path(tempfile.gettempdir()) / f"tl-run-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with contextlib.ExitStack() as held:
        mine = []
        for name in names:
            if len(mine) < count and _lock(folder / name.replace("/", "-"), held):
                mine.append(name)
        if len(mine) == count:
            os.environ[VISIBLE] = ",".join(mine)
        else:
            held.close()
        yield


def _lock(path: Path, held: contextlib.ExitStack) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    held.callback(os.close, descriptor)
    return True
