"""What goes wrong, told: a message on stderr, an exit code, and of a fault of ours the traceback in a log."""

import contextlib
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tl_run import disk, errors
from tl_run.config import messages
from tl_run.folder import LOG
from tl_run.secrets import mask, scrub

NO_MEMORY = ("can't allocate memory", "could not create a primitive", "std::bad_alloc")
"""What torch says of a CPU's memory: of its own tensors, of oneDNN's, of C++'s."""


def outcome(command: Callable[[], None]) -> int:
    """Run a command and turn whatever it raises into a message on stderr and an exit code."""
    try:
        command()
    except errors.Interrupted as interrupted:
        say("warning", f"interrupted by {interrupted}")
        return interrupted.code
    except KeyboardInterrupt:
        return errors.SECOND_INTERRUPT
    except BrokenPipeError:  # the reader of our output has gone: tl-run ... | head
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return errors.DONE
    except SystemExit as stop:  # argparse and Hydra's own --help
        return stop.code if isinstance(stop.code, int) else errors.BAD_INPUT
    except Exception as problem:
        code, words = in_words(problem)
        say("error", words)
        return code
    return errors.DONE


def in_words(problem: Exception) -> tuple[int, str]:
    """Exit code and message; the traceback of a fault of ours goes to a log that the message names."""
    if isinstance(problem, errors.Failure):
        return problem.code, str(problem)
    if words := messages.explain(problem):
        return errors.BAD_INPUT, words
    if isinstance(problem, OSError) and (fault := _of_the_disk(problem)):
        return fault.code, str(fault)
    if isinstance(problem, MemoryError) or any(words in str(problem) for words in NO_MEMORY):
        return errors.MACHINE, (
            f"memory has run out ({str(problem).partition(chr(10))[0] or 'MemoryError'})\n"
            "  type a smaller training.micro_batch_size, training.eval_batch_size or task.max_length"
        )
    words = f"a fault of tl-run itself: {type(problem).__name__}: {problem}\n  traceback: {_log(problem)}"
    return errors.OUR_FAULT, words


def _of_the_disk(problem: OSError) -> errors.MachineFault | None:
    """A disk that is full or refuses, met by what does not write through `durable`: TensorBoard, or a library."""
    try:
        with disk.faults("write", Path(problem.filename or getattr(problem, "run_folder", Path.cwd()))):
            raise problem
    except errors.MachineFault as fault:
        return fault
    except OSError:
        return None


def say(kind: str, words: str) -> None:
    """Print to stderr; neither secrets nor control characters from data reach the terminal."""
    shown = "\n".join(map(printable, scrub(words).split("\n")))
    print(f"{kind}: {shown}", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """On one line, with control characters as Python writes them: what comes from data does not steer a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _log(problem: Exception) -> Path:
    folder = getattr(problem, "run_folder", None)  # a start that wrote nothing has left none
    path = Path(folder if folder and folder.is_dir() else tempfile.gettempdir()) / LOG
    command, trace = " ".join(mask(sys.argv)), scrub("".join(traceback.format_exception(problem)))
    text = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {command}\n{trace}\n"
    if os.environ.get("TL_DEBUG"):
        print(text, file=sys.stderr)
    try:
        with path.open("a", encoding="utf-8") as log:
            log.write(text)
    except OSError as reason:
        return Path(f"not written ({reason}); set TL_DEBUG=1 to see it")
    return path
