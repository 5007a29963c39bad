"""One run by several processes: what they add up and agree on.

Every rank holds the same weights and walks through the same batches; of each it computes the gradient of its own part,
and one all-reduce adds them up. Importing this imports no torch.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tl_run.errors import BadOption, MachineFault

if TYPE_CHECKING:
    import torch

Value = TypeVar("Value")

BUCKET = 25 * 2**20  # bytes of gradients that are added up at once
PATIENCE = timedelta(hours=12)  # one rank may fill the store meanwhile; who is dead is noticed by its parent


@dataclass(frozen=True)
class Group:
    """This process among those that make one run. Alone it asks nobody, and imports nothing."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    lockstep: bool = False
    """Whether every forward pass is one of all ranks (FSDP), so that none may leave one out."""

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    @property
    def place(self) -> tuple[int, ...]:
        """What dropout is seeded by besides seed and step."""
        return (self.rank,) if self.size > 1 else ()

    def parts(self, indices: np.ndarray, micro: int) -> list[tuple[np.ndarray, bool]]:
        """Of a batch the parts that this rank computes, up to `micro` examples each, and whether they count.

        All ranks have as many parts. Where there are not enough examples to go round a part is left out; in lockstep
        one example stands in for it, that does not count.
        """
        own, longest = indices[self.rank :: self.size], -(-len(indices) // self.size)
        parts = [own[start : start + micro] for start in range(0, longest, micro)]
        if self.lockstep:
            return [(part, True) if len(part) else (indices[:1], False) for part in parts]
        return [(part, True) for part in parts if len(part)]

    def any(self, *flags: bool) -> list[bool]:
        """Of each flag whether some rank has it raised."""
        if self.size == 1:
            return [*flags]
        import torch
        from torch import distributed

        raised = torch.tensor([int(flag) for flag in flags])
        distributed.all_reduce(raised, distributed.ReduceOp.MAX)
        return [bool(flag) for flag in raised.tolist()]

    def add(self, parameters: Sequence["torch.Tensor"], means: dict[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
        """Add up `.grad` of the parameters over all ranks, in place, and the means, which are returned.

        What has no gradient on any rank still has none. All ranks give the same parameters and the same terms.
        """
        if self.size == 1:
            return means
        import torch
        from torch import distributed

        has = [float(p.grad is not None) for p in parameters]
        head = torch.tensor(has + [float(mean) for mean in means.values()], dtype=torch.float64)
        distributed.all_reduce(head)
        if not self.lockstep:  # there the backward pass has done it
            learning = [p for p, count in zip(parameters, head.tolist(), strict=False) if count]
            for parameter in learning:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            for bucket in _buckets([p.grad for p in learning if p.grad is not None]):
                flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
                distributed.all_reduce(flat)
                for gradient, total in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
                    gradient.copy_(total.view_as(gradient))
        return dict(zip(means, head[len(has) :], strict=True))

    def scaled(self, loss: "torch.Tensor") -> "torch.Tensor":
        """What to call backward on: FSDP takes the mean over ranks, and the sum is meant."""
        return loss * self.size if self.lockstep else loss

    def gather(self, found: list[Value]) -> list[Value]:
        """The lists of all ranks, one after the other."""
        if self.size == 1:
            return found
        from torch import distributed

        lists: list[Any] = [None] * self.size
        distributed.all_gather_object(lists, found)
        return [item for each in lists for item in each]

    def first(self, make: Callable[[], Value]) -> Value:
        """What the leading rank makes, on all of them."""
        if self.size == 1:
            return make()
        from torch import distributed

        made = [make() if self.leads else None]
        distributed.broadcast_object_list(made)
        return made[0]  # type: ignore[return-value]

    def wait(self) -> None:
        """Until all have come here."""
        self.any(False)


ALONE = Group()


def _buckets(gradients: list["torch.Tensor"]) -> Iterator[list["torch.Tensor"]]:
    """Neighbours of one type, up to so many bytes together."""
    bucket: list[Any] = []
    for gradient in gradients:
        if bucket and (gradient.dtype != bucket[0].dtype or sum(g.nbytes for g in bucket) + gradient.nbytes > BUCKET):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket


# -- being one of them


class PeerLost(MachineFault):
    """Another rank has gone: what happened to it is the reason, and this one has none of its own."""


def outside() -> tuple[int, int] | None:
    """Rank and number of ranks where torchrun, or another that sets RANK and WORLD_SIZE, has started this process."""
    try:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    except (KeyError, ValueError):
        return None
    return (rank, size) if size > 1 else None


def as_started(hardware: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The options of `hardware` with the number of processes that were started from outside, where they were.

    Raises: BadOption when another was typed.
    """
    started = outside()
    if not started:
        return hardware
    typed = [each for each in overrides if each.startswith(("hardware.processes=", "hardware.nodes="))]
    if typed and hardware["processes"] * hardware["nodes"] != started[1]:
        raise BadOption(f"{' '.join(typed)}: {started[1]} processes were started from outside: leave it out")
    return hardware | {"processes": started[1], "nodes": 1}


@contextlib.contextmanager
def joined(shard: bool) -> Iterator[Group]:
    """The group of this process, from its environment. Who leaves it by an exception leaves it alone."""
    import torch
    from torch import distributed

    local = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        torch.cuda.set_device(local % torch.cuda.device_count())
    distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    group = Group(
        rank=distributed.get_rank(),
        size=distributed.get_world_size(),
        local_rank=local,
        local_size=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        lockstep=shard,
    )
    try:
        yield group
    except RuntimeError as problem:
        if not lost(problem):
            raise
        time.sleep(1)  # the one that has gone is to be noticed first, and told of
        raise PeerLost("another process of the run has gone, and this one cannot go on without it") from problem
    group.wait()  # who goes while another is still at it may end that one
    distributed.destroy_process_group()


def lost(problem: RuntimeError) -> bool:
    """Whether it says no more than that another rank has gone, which has told why, or died."""
    from torch import distributed

    return isinstance(problem, distributed.DistError) or "gloo" in str(problem)
