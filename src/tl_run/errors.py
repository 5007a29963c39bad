"""What goes wrong, as the user sees it: every failure has an exit code and says in at most a few lines what to do."""

import shlex
from collections.abc import Sequence

DONE, JOB_FAILED, BAD_INPUT, BAD_CHECKPOINT, NON_FINITE, MACHINE, OUR_FAULT = 0, 1, 2, 3, 4, 5, 70
INTERRUPTED, SECOND_INTERRUPT = 75, 130


class Failure(Exception):
    """An expected failure. Its text is for the user and names option, file or line, what is allowed, what to type."""

    code = BAD_INPUT


class BadOption(Failure):
    """An option or a combination of options that cannot work."""


class BadInput(Failure):
    """A file of the user's that cannot be used as it is."""

    shown = 3

    @classmethod
    def of(cls, problems: Sequence[str]) -> "BadInput":
        """One failure from many problems, in at most `shown` lines: the first in words, the others as a count."""
        if len(problems) <= cls.shown:
            return cls("\n".join(problems))
        told = problems[: cls.shown - 1]
        return cls("\n".join([*told, f"... and {len(problems) - len(told)} more problems like these"]))


class BadCheckpoint(Failure):
    """A checkpoint or run folder that is damaged, or that belongs to another run."""

    code = BAD_CHECKPOINT


class NonFinite(Failure):
    """Loss or gradient became NaN or infinite."""

    code = NON_FINITE

    @classmethod
    def at(cls, what: str, ids: Sequence[str]) -> "NonFinite":
        """What it was, the examples it came from, and what may help."""
        shown = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
        return cls(
            f"{what} (examples {shown}); the last checkpoint is intact.\n"
            "  Try a smaller optimizer.lr, a longer optimizer.warmup, or hardware.precision=fp32"
        )


class MachineFault(Failure):
    """The machine is in the way: disk, permission, memory, device, or a hub out of reach."""

    code = MACHINE


class Interrupted(BaseException):
    """A signal asked the run to stop; the checkpoint is written. Not an Exception: it ends a whole sweep."""

    code = INTERRUPTED


class JobsFailed(Failure):
    """Some jobs of a sweep failed; the others are done."""

    code = JOB_FAILED
    shown = 4
    not_typed = ("plan=", "hydra.sweep.dir=", "sweep.study=", "sweep.trial=")

    @classmethod
    def of(cls, total: int, failures: Sequence[tuple[Sequence[str], str]]) -> "JobsFailed":
        """Every reason with the jobs that failed for it, each as the command that repeats it alone."""
        reasons: dict[str, list[str]] = {}
        for overrides, reason in failures:
            typed = [o for o in overrides if not o.startswith(cls.not_typed)]
            reasons.setdefault(reason, []).append(f"  tl-run {shlex.join(typed)}")
        lines = [f"{len(failures)} of {total} jobs failed:"]
        for reason, commands in reasons.items():
            more = len(commands) - cls.shown
            lines += [*commands[: cls.shown], *([f"  ... and {more} more"] if more > 0 else [])]
            lines += [f"      {line}" for line in reason.splitlines()]
        return cls("\n".join(lines))
