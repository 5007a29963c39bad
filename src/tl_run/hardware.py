"""Device, precision, threads and seeds. Nothing is substituted silently: what is asked for and missing is an error."""

import ctypes
import hashlib
import os
import resource
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from tl_run.distributed import ALONE, Group
from tl_run.errors import BadOption, MachineFault

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
MMAP_MAX, TRIM_THRESHOLD = -4, -1  # of glibc's malloc.h
SMALL_MODEL = 5_000_000  # parameters under which a second thread costs more than it gives


@dataclass(frozen=True)
class Hardware:
    """The device and precision that a run has settled on."""

    device: torch.device
    precision: str
    processes: str = ""
    """How many work together, in words, where it is not one."""

    def autocast(self) -> AbstractContextManager[Any]:
        """Mixed precision around forward passes; does nothing in fp32."""
        dtype = DTYPES.get(self.precision, torch.float32)
        return torch.autocast(self.device.type, dtype=dtype, enabled=self.precision != "fp32")

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaling, which fp16 needs; idle otherwise. It works on a CPU too."""
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")

    @property
    def words(self) -> str:
        """For the plan: `cpu, fp32, 1 thread`."""
        name = f" ({torch.cuda.get_device_name()})" if self.device.type == "cuda" else ""
        threads = torch.get_num_threads()
        cpu = f", {threads} thread{'s' if threads > 1 else ''}" if self.device.type == "cpu" else ""
        return f"{self.device.type}{name}, {self.precision}{cpu}{self.processes}"

    def peak_memory_mb(self) -> float:
        """Most memory taken: on the GPU where there is one, else by the process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def prepare(options: Any, parameters: int, group: Group = ALONE) -> Hardware:
    """Settle device, precision and threads for a model of so many parameters.

    Raises: MachineFault when the device asked for is not there, BadOption when it lacks the precision.
    """
    device = options.device
    if device == "auto":
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        device = found.type if found and found.type in ("cuda", "mps") else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        why = "this torch has no CUDA" if torch.version.cuda is None else "no GPU is visible"
        raise MachineFault(f"hardware.device=cuda: {why}; type hardware=cpu or hardware=auto")
    if device == "mps" and not torch.backends.mps.is_available():
        raise MachineFault("hardware.device=mps: no Apple GPU here; type hardware=cpu or hardware=auto")
    if options.ranks > 1 and device == "mps":
        raise BadOption("hardware.processes: an Apple GPU is of one process: type hardware=cpu")
    here = group.local_size if group.size > 1 else options.processes
    if here > 1 and device == "cuda" and here > torch.cuda.device_count():
        raise MachineFault(
            f"hardware.processes={here}: of GPUs, one for each, {torch.cuda.device_count()} are visible: "
            "type fewer, or hardware=cpu"
        )
    precision = options.precision
    native_bf16 = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "auto":
        precision = ("bf16" if native_bf16 else "fp16") if device == "cuda" else "fp32"
    if precision == "bf16" and device == "cuda" and not native_bf16:
        raise BadOption("hardware.precision=bf16: this GPU has no bf16; type hardware.precision=fp16 or auto")
    if precision == "fp16" and options.shard:
        raise BadOption("hardware.precision=fp16: with hardware.shard type bf16 or fp32")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = max(1, cores // here)
    threads = options.threads if options.threads != "auto" else 1 if parameters < SMALL_MODEL else share
    torch.set_num_threads(threads)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif device == "cpu":
        keep_memory()
    processes = f"; {options.ranks} processes" if options.ranks > 1 else ""
    processes += f" on {options.nodes} nodes" if options.nodes > 1 else ""
    processes += ", each holding a part of the model" if options.shard else ""
    own = torch.device(device, group.local_rank) if device == "cuda" and group.size > 1 else torch.device(device)
    return Hardware(own, precision, processes)


def keep_memory() -> None:
    """Let the process keep the memory that tensors give back, where the C library is glibc.

    By default each large tensor is mapped anew from the system and zeroed page by page: with long texts that was half
    of the time of a step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, -1)


def seed_by(*position: int) -> None:
    """Seed torch's generators from a position such as (seed, step, rank): dropout needs no saved state to go on."""
    digest = hashlib.sha256(repr(position).encode()).digest()
    number = int.from_bytes(digest[:8], "little") >> 1
    # Not torch.manual_seed: where no GPU has been used yet it notes the call, with its stack, for the day one is; that
    # takes 3 ms, and memory, at every step.
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(number)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(number)
