"""What `forked_runs` does to a command: a disk that is full, refuses, or has a limit; numbers that are no numbers."""

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOM = {"create", "write", "fsync"}  # what a full disk refuses
ANY = {*ROOM, "rename", "fsync_dir", "truncate", "remove"}


def disk_refuses(at: int, error: str) -> Callable[[int, str, Path], None]:
    """From operation `at` on: `ENOSPC` to what needs room, another error to all."""
    number, refused = getattr(errno, error), ROOM if error == "ENOSPC" else ANY

    def before(n: int, operation: str, path: Path) -> None:
        if n >= at and operation in refused:
            raise OSError(number, os.strerror(number))

    return before


def file_size_limit(limit: int) -> None:
    """As `ulimit -f`: no file of the process grows over so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def no_number(where: str, step: int, value: str) -> None:
    """The loss, the gradient or the weights of that optimizer step (1, 2, ...) are `nan`, `inf` or `-inf`."""
    import torch

    from tl_run import training

    number, gradient = float(value), training._gradient

    def spoilt(model: Any, method: Any, batches: Any, optimizer: Any, *rest: Any) -> dict[str, Any]:
        means = gradient(model, method, batches, optimizer, *rest)
        state = rest[3]
        if state.step + 1 == step:
            parameter = next(p for group in optimizer.param_groups for p in group["params"] if p.grad is not None)
            if where == "loss":
                means["loss"] = torch.tensor(number)
            elif where == "gradient":
                parameter.grad.view(-1)[-1] = number
            else:
                optimizer.register_step_post_hook(lambda *_: parameter.data.view(-1)[-1:].fill_(number))
        return means

    training._gradient = spoilt
