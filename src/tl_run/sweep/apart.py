"""A job in a process of its own: what kills it costs the others nothing.

The processes are forked from a server that has imported torch and what else a run needs, and has done nothing with it:
a start costs milliseconds instead of the imports' seconds. Forking the process of the sweep itself would not be sound
once torch has threads.
"""

import atexit
import contextlib
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any

from tl_run.errors import MACHINE, OUR_FAULT, Failure, Interrupted
from tl_run.signals import Signals

START = "forkserver"
PRELOADED = [
    "tl_run.job",
    "tl_run.run",
    "sklearn.metrics",
    "torch.utils.tensorboard",
    "transformers.generation.utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.bert.modeling_bert",  # the architecture that most start from
    "PIL.ImageFont",
]
GRACE = 60  # seconds from being asked to stop, at the next step with a checkpoint, to being stopped
DONE, FAILED, STOPPED = "done", "failed", "stopped"


class JobFailed(Failure):
    """A job that failed in its own process."""

    def __init__(self, words: str, code: int) -> None:
        super().__init__(words)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:  # it crosses processes, where joblib or submitit launch the jobs
        return JobFailed, (str(self), self.code)


def apart(work: Callable[..., Any], *arguments: Any, limit: float | None = None) -> Any:
    """What `work` returns, called in a new process for at most `limit` seconds; all of it must be picklable.

    Raises: JobFailed with the words of what `work` raised, or when the process dies; Interrupted when it was asked to
    stop.
    """
    context = server()
    ours, theirs = context.Pipe(duplex=False)
    process: Any = getattr(context, "Process")(  # noqa: B009  # each kind of context has its own class
        target=_child, args=(theirs, dict(os.environ), os.getcwd(), work, arguments)
    )
    late, answer = False, None
    with Signals() as signals:
        signals.training = True  # a signal is the child's to heed, at its next step
        process.start()
        theirs.close()
        try:
            late = _wait(process, ours, signals, limit)
            with contextlib.suppress(EOFError):
                answer = ours.recv() if ours.poll() else None
        finally:
            if process.is_alive() and answer is None:
                process.kill()
            process.join()
    if signals.asked:
        raise Interrupted(answer[1] if answer and answer[0] == STOPPED else signals.asked)
    if late:
        raise JobFailed(f"stopped after sweep.timeout={limit:g} seconds; the same command goes on with it", MACHINE)
    if answer is None:
        raise JobFailed(death(process.exitcode), MACHINE)
    what, value, *code = answer
    if what == DONE:
        return value
    if what == STOPPED:  # it alone, not by us
        raise JobFailed(f"its process was stopped by {value}; the same command goes on with it", MACHINE)
    raise JobFailed(value, *code)


def server() -> Any:
    """Where processes are started from; the server has begun to import."""
    context = multiprocessing.get_context(START)
    if START == "forkserver":
        known: Any = forkserver._forkserver  # type: ignore[attr-defined]
        if known._forkserver_pid is None and known._forkserver_address:
            known.ensure_running = lambda: None  # its child uses the same: Python 3.11 to 3.13 would start another
        context.set_forkserver_preload(PRELOADED)
        with _short_temporary_folder():
            known.ensure_running()
    return context


@contextlib.contextmanager
def _short_temporary_folder() -> Iterator[None]:
    """The path of a socket has 103 bytes on macOS and 107 on Linux; a cluster's TMPDIR may leave too few of them."""
    given = tempfile.gettempdir()
    if len(os.fsencode(given)) + len("/pymp-12345678/listener-12345678") > 103:
        tempfile.tempdir = "/tmp"
    try:
        yield
    finally:
        tempfile.tempdir = given


@atexit.register
def _end_server() -> None:
    """It is waited for, so that the time of its jobs counts as that of the sweep (`time tl-run -m ...`)."""
    with contextlib.suppress(FileNotFoundError):  # in a worker of joblib's the folder of its socket goes first
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # nothing happens where none was started


def _wait(process: Any, pipe: Connection, signals: Signals, limit: float | None) -> bool:
    """Until there is an answer or the process is dead; whether it took too long. A signal is passed on once."""
    began, asked, late = time.monotonic(), None, False
    while not pipe.poll(0.1) and process.is_alive():
        now = time.monotonic()
        late = late or (limit is not None and now - began > limit)
        if asked is None and (signals.asked or late):
            asked = now
            os.kill(process.pid, signal.Signals[signals.asked or "SIGTERM"])
        elif asked is not None and now - asked > GRACE:
            process.kill()
    return late


def death(code: int, remedy: str = "the same command goes on with it") -> str:
    """How a process has ended that gave no answer."""
    if code < 0:
        name = signal.Signals(-code).name
        why = ": perhaps by the system, for want of memory" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{why}; {remedy}"
    return f"its process ended itself with exit code {code}"


def _child(
    pipe: Connection, environment: dict[str, str], folder: str, work: Callable[..., Any], arguments: Any
) -> None:
    os.setpgrp()  # Ctrl-C in the terminal is for the sweep, which passes it on
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=follow, daemon=True).start()
    try:
        answer: tuple[Any, ...] = (DONE, work(*arguments))
    except Interrupted as stop:
        answer = (STOPPED, str(stop))
    except KeyboardInterrupt:
        answer = (STOPPED, "SIGINT")
    except Failure as failure:
        answer = (FAILED, str(failure), failure.code)
    except Exception as problem:
        answer = (FAILED, f"{type(problem).__name__}: {problem}", OUR_FAULT)
    with contextlib.suppress(BrokenPipeError):  # the sweep's process has died
        pipe.send(answer)


def follow() -> None:
    """Where the process that started this one dies, it stops too, with a checkpoint, or without one if it hangs."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(MACHINE)
