"""A prepared job in its folder, by one process or by several; only here is torch imported."""

import contextlib
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_run import disk, distributed, identity
from tl_run.distributed import ALONE, Group
from tl_run.errors import BadCheckpoint, BadOption, Interrupted
from tl_run.folder import (
    CONFIG,
    ENVIRONMENT,
    RESULT,
    RunFolder,
    claim_fresh,
    drop_if_empty,
    enter,
    let_go,
    stored_config,
)
from tl_run.prepare import Job
from tl_run.signals import Signals

if TYPE_CHECKING:
    from tl_run.console import Terminal


def start(
    ready: Job, plain: dict[str, Any], path: Path, fresh: bool, signals: Signals, log: str | None = None
) -> float | None:
    """Run a prepared job in this process, or in as many as `hardware` says.

    Returns the main metric on validation, None where there is no result. `fresh`: the folder's name was made from the
    time. `log`: in a sweep the file there that takes what would be printed. Raises: Failure, Interrupted.
    """
    hardware = ready.options.hardware
    if hardware.elastic:
        ready = _as_begun(ready, path)
    if distributed.outside():
        return _rank(ready, plain, path, fresh, log)
    if hardware.ranks == 1 or ready.options.plan:
        return _run(ready, plain, path, fresh, signals, log)
    from tl_run.launch import launch

    remedy = "the same command goes on with it" if log else "to go on: tl-run resume=<the run's folder>, on each node"
    claimed = fresh and hardware.nodes == 1  # of several nodes the rank that leads names it
    if claimed:
        path = claim_fresh(path)
    if hardware.nodes == 1 and not log:
        remedy = f"to go on: tl-run {shlex.quote(f'resume={path}')}"
    try:
        return launch(hardware, remedy, _rank, ready, plain, path, fresh and not claimed, log)
    finally:
        if claimed:
            let_go(path)
        drop_if_empty(path)


def _rank(ready: Job, plain: dict[str, Any], path: Path, fresh: bool, log: str | None) -> float | None:
    """What each of several processes does."""
    with Signals() as signals, distributed.joined(ready.options.hardware.shard) as group:
        if {*group.gather([ready.identity])} != {ready.identity}:
            raise BadOption("the processes have other options or data than each other: type the same on each node")
        return _run(ready, plain, path, fresh, signals, log, group)


def _run(
    ready: Job,
    plain: dict[str, Any],
    path: Path,
    fresh: bool,
    signals: Signals,
    log: str | None = None,
    group: Group = ALONE,
) -> float | None:
    """In the run's folder, to its result; in a sweep what would be printed goes to the file `log` there.

    Of several processes the one that leads holds the folder, and alone prints.
    """
    from tl_run.console import Terminal  # after prepare: a mistake is told at once

    with contextlib.ExitStack() as held:
        folder = group.first(
            lambda: held.enter_context(enter(path, fresh=fresh, config=plain, identity=ready.identity))
        )
        try:
            if log is None and group.leads:
                result = _result(ready, folder, signals, Terminal(), group)
            else:
                shown = folder.path / log if log and group.leads else Path(os.devnull)
                with shown.open("a", encoding="utf-8") as file:
                    result = _result(ready, folder, signals, Terminal(file), group)
        except Interrupted as interrupted:
            if log is not None:
                raise
            how = f"to go on: tl-run {shlex.quote(f'resume={folder.path}')}"
            if not (folder.path / ENVIRONMENT).is_file():
                how = "nothing was begun yet"
            raise Interrupted(f"{interrupted}; {how}") from None
        except Exception as problem:
            problem.run_folder = folder.path  # type: ignore[attr-defined]  # where the log of a fault goes
            raise
    return result["validation"][result["metric"]["name"]] if result else None


def _result(
    ready: Job, folder: RunFolder, signals: Signals, terminal: "Terminal", group: Group
) -> dict[str, Any] | None:
    result = _stored(folder, terminal)
    if result is None:
        from tl_run.run import run

        result = run(ready, folder, terminal, signals, group)
    if result is not None and group.leads and ready.options.training.keep_checkpoints == 0:
        disk.remove(folder.path / "checkpoints")
    return result


def _stored(folder: RunFolder, terminal: "Terminal") -> dict[str, Any] | None:
    """The result of a run that is done, shown."""
    if folder.result is not None:
        terminal.note(f"{folder.path} is done; its result:")
        try:
            terminal.result(folder.result, str(folder.path))
        except (LookupError, TypeError, ValueError, AttributeError) as problem:
            where = folder.path / RESULT
            raise BadCheckpoint(f"{where} is damaged: remove it, and the run goes on from its end") from problem
    return folder.result


def _as_begun(ready: Job, path: Path) -> Job:
    """Under the identity of the run that lies there, where it differs in the number of processes alone."""
    if not (path / CONFIG).is_file():
        return ready
    before = {key: stored_config(path).get("hardware", {}).get(key, 1) for key in ("processes", "nodes")}
    config = ready.config | {"hardware": ready.config["hardware"] | before}
    return replace(ready, identity=identity.identity(config, ready.data, ready.weights))
