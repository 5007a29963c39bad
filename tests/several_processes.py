"""What ranks do in tests: they are started by name, so it lies in a module."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finished_objects import Parts, assemble
from tl_run import distributed, fsdp, start, training
from tl_run.errors import BadOption
from tl_run.transfer.finetune import FineTune

FROZEN = "bert.embeddings.word_embeddings.weight"
MICRO = (16, 3)
STEPS = (0, 2)  # a whole batch, and the last of an epoch, which has one example: some rank has none


def gradients(parts: Parts, step: int, micro: int, group: distributed.Group) -> tuple[dict[str, np.ndarray], float]:
    """Of one step's batch, and the mean loss."""
    learning = [*parts.model.parameters()]
    means = parts.method.gradient(
        parts.model,
        {"train": parts.method.streams()["train"].batch(step)},
        step=step,
        progress=0.0,
        micro_batch_size=micro,
        backward=lambda loss: group.scaled(loss).backward(),
        group=group,
    )
    means = group.add(learning, means)
    named = parts.model.named_parameters()
    found = {n: fsdp.whole(p.grad).numpy().copy() for n, p in named if p.grad is not None}
    parts.model.zero_grad()
    return found, float(means["loss"])


def facts(overrides: list[str], group: distributed.Group = distributed.ALONE) -> dict[str, Any]:
    """What a number of processes makes of a run's first batches and of its validation split."""
    parts = assemble(*overrides)
    parts.model.get_parameter(FROZEN).requires_grad_(False)  # nobody has a gradient of it
    if group.lockstep:
        fsdp.split(parts.model, parts.anatomy.path, torch.device("cpu"), group.size)
    found: dict[str, Any] = {(s, m): gradients(parts, s, m, group) for s in STEPS for m in MICRO}
    found["scores"] = parts.score(batch_size=6, group=group).scores
    return found


def facts_of_ranks(overrides: list[str], shard: bool) -> dict[str, Any]:
    torch.set_num_threads(1)
    with distributed.joined(shard) as group:
        found = facts(overrides, group)
        found["ranks"] = group.gather([(group.rank, group.size, group.leads)])
        found["first"] = group.first(lambda: f"made by {group.rank}")
        found["any"] = group.any(group.rank == 1, False)
        return found


def at_step(step: int, what: str, *arguments: Any) -> Any:
    """The run, but one of the ranks does or meets something when it comes to a step."""
    own = training.seed_by

    def seed_by(*position: int) -> None:
        own(*position)
        if position[1:] == (step, 1):
            if what == "refuses":
                raise BadOption("in its own words")
            os.kill(os.getpid(), signal.Signals[what])

    training.seed_by = seed_by
    return start._rank(*arguments)


def with_little_memory(rows: int, *arguments: Any) -> Any:
    """The run, but on one of the ranks there is memory for so many examples in training."""
    own = FineTune.terms

    def terms(self: Any, model: Any, batches: Any, step: int, progress: float) -> Any:
        if os.environ["RANK"] == "1" and len(batches["train"]) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return own(self, model, batches, step, progress)

    FineTune.terms = terms
    return start._rank(*arguments)


def never_ends(sign: str) -> None:
    """Heeds no signal but the last."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    Path(sign, str(os.getpid())).touch()
    time.sleep(600)


def command(folder: str, environment: dict[str, str], arguments: list[str]) -> None:
    """`tl-run` in a process with other variables; what it prints is in the file `output`."""
    import sys

    from tl_run import cli

    Path(folder).mkdir(exist_ok=True)
    os.chdir(folder)
    os.environ.update(environment)
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for standard in (1, 2):
        os.dup2(output, standard)
    sys.argv = ["tl-run", *arguments]
    code = cli.outcome(lambda: cli._compose_and_run(arguments))
    sys.stdout.flush()
    os._exit(code)
