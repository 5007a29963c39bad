"""The processes of one run, started through torch's elastic engine (torchrun's), and what came of them in our words."""

import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tl_run.distributed import PeerLost
from tl_run.errors import MACHINE, Interrupted, MachineFault
from tl_run.failures import in_words
from tl_run.signals import Signals
from tl_run.sweep.apart import GRACE, JobFailed, death, follow, server

STOPPED, FAILED, LOST = "stopped", "failed", "lost"


def launch(options: Any, remedy: str, work: Callable[..., Any], *arguments: Any) -> Any:
    """What `work` returns, called in `options.processes` new processes on each node: that of the lowest rank here.

    `remedy` is what to do when one of them has died.
    Raises: JobFailed with the words of the rank that failed first, or of its death; Interrupted.
    """
    if options.nodes > 1:
        _resolve(options.endpoint)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # or torch tells each time that it tries to connect
    server()  # it imports what the ranks need while we import the engine
    scratch = Path(tempfile.mkdtemp(prefix="tl-run-"))
    values: dict[int, Any] = {}
    faults: list[BaseException] = []
    ended = threading.Event()  # not Thread.is_alive: interrupted while it waits, join() takes the thread for dead

    def engine() -> None:
        try:
            values.update(_elastic(options, scratch, work, arguments))
        except BaseException as problem:  # told by the thread that waits
            faults.append(problem)
        finally:
            ended.set()

    try:
        with Signals() as signals:
            signals.training = options.nodes == 1  # where others are waited for, a signal ends us
            threading.Thread(target=engine, daemon=True).start()
            try:
                _wait(ended, scratch, signals)
            except BaseException:
                _end(ended, scratch)
                raise
            answers = [json.loads(path.read_text()) for path in sorted(scratch.glob("*.answer"))]
        return _told(signals.asked, answers, faults, values, remedy)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _resolve(endpoint: str) -> None:
    host = endpoint.rpartition(":")[0].strip("[]")
    try:
        socket.getaddrinfo(host, None)
    except OSError as problem:
        raise MachineFault(f"hardware.endpoint={endpoint}: there is no machine named '{host}' ({problem})") from problem


def _elastic(options: Any, scratch: Path, work: Callable[..., Any], arguments: Any) -> dict[int, Any]:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _quiet()
    alone = options.nodes == 1
    config = LaunchConfig(
        min_nodes=options.nodes,
        max_nodes=options.nodes,
        nproc_per_node=options.processes,
        run_id="tl-run",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0" if alone else options.endpoint,
        local_addr="127.0.0.1" if alone else None,
        max_restarts=0,
        monitor_interval=0.1,
        start_method="forkserver",
        logs_specs=DefaultLogsSpecs(log_dir=str(scratch / "engine")),
    )
    return elastic_launch(config, _rank)(scratch, os.getcwd(), dict(os.environ), work, arguments)


def _wait(ended: threading.Event, scratch: Path, signals: Signals) -> None:
    """Until the engine is done. A signal is passed on to each rank once; who does not heed it is ended."""
    told: set[int] = set()
    asked: float | None = None
    while not ended.wait(0.1):
        signals.training |= any(scratch.glob("*.process"))
        if signals.asked:
            asked = asked or time.monotonic()
            late = time.monotonic() - asked > GRACE
            _send(scratch, signal.SIGKILL if late else signal.Signals[signals.asked], set() if late else told)


def _end(ended: threading.Event, scratch: Path) -> None:
    """Stop the ranks at once, also those that are about to begin."""
    began = time.monotonic()
    while not ended.wait(0.1) and time.monotonic() - began < 10:
        _send(scratch, signal.SIGKILL, set())


def _send(scratch: Path, number: signal.Signals, told: set[int]) -> None:
    for path in scratch.glob("*.process"):
        process = int(path.stem)
        if process not in told:
            told.add(process)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)


def _told(
    asked: str | None,
    answers: list[dict[str, Any]],
    faults: list[BaseException],
    values: dict[int, Any],
    remedy: str,
) -> Any:
    """The outcome of a run from what its ranks have left behind."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError

    by_kind = {answer["what"]: answer for answer in reversed(answers)}
    if failed := by_kind.get(FAILED):
        raise JobFailed(failed["words"], failed["code"])
    if asked or STOPPED in by_kind:
        raise Interrupted(by_kind[STOPPED]["words"] if STOPPED in by_kind else asked)
    if not faults:
        return values[min(values)]
    fault = faults[0]
    if isinstance(fault, ChildFailedError):
        rank, failure = fault.get_first_failure()
        if LOST in by_kind and failure.exitcode == MACHINE:
            raise JobFailed(f"{by_kind[LOST]['words']}: its own node tells why", MACHINE)
        raise JobFailed(f"rank {rank}: {death(failure.exitcode, remedy)}", MACHINE)
    if isinstance(fault, RendezvousError):
        raise MachineFault(f"hardware.nodes: the processes did not find each other: {fault}") from fault
    raise fault


def _rank(scratch: Path, folder: str, environment: dict[str, str], work: Callable[..., Any], arguments: Any) -> Any:
    """What a rank's process does. Its failure is left in a file, and ends the others."""
    try:
        os.setpgrp()  # Ctrl-C in the terminal is for the parent, which passes it on
        os.chdir(folder)
        os.environ.update(environment)
        _quiet()
        (scratch / f"{os.getpid()}.process").touch()
        threading.Thread(target=follow, daemon=True).start()
        return work(*arguments)
    except Interrupted as stop:
        answer = {"what": STOPPED, "words": str(stop), "code": stop.code}
    except KeyboardInterrupt:
        answer = {"what": STOPPED, "words": "SIGINT", "code": Interrupted.code}
    except Exception as problem:
        code, words = in_words(problem)
        answer = {"what": LOST if isinstance(problem, PeerLost) else FAILED, "words": words, "code": code}
    path = scratch / f"{time.time_ns():020d}.answer"
    path.with_suffix(".tmp").write_text(json.dumps(answer))
    path.with_suffix(".tmp").rename(path)
    sys.exit(answer["code"])


def _quiet() -> None:
    """The engine's own wall of text: what happened is told in our words."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("torch.distributed.elastic", "torch.multiprocessing")):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
