"""One composed config to its result: prepare it, give it its folder, and only then import torch and run."""

import contextlib
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tl_run import distributed, identity
from tl_run.config import check
from tl_run.distributed import ALONE, Group
from tl_run.errors import BAD_INPUT, JOB_FAILED, BadCheckpoint, BadOption, Interrupted
from tl_run.failures import in_words
from tl_run.folder import (
    CONFIG,
    ENVIRONMENT,
    TERMINAL,
    RunFolder,
    claim_fresh,
    drop_if_empty,
    enter,
    job_folder,
    let_go,
    of_the_run,
)
from tl_run.prepare import Job, prepare
from tl_run.signals import Signals
from tl_run.sweep import gpus, ledger
from tl_run.sweep.apart import JobFailed, apart
from tl_run.sweep.ledger import note

if TYPE_CHECKING:
    from tl_run.console import Terminal


WHERE = tuple(f"hardware.{key}=" for key in ("processes", "nodes", "endpoint", "elastic"))
"""What may be typed beside resume=<folder>."""


def job(config: DictConfig) -> float | None:
    """Run one job; returns the main metric on validation, by which sweeps compare. Raises: Failure."""
    hydra = HydraConfig.get()
    overrides = of_the_run(_typed(hydra.overrides.task))
    if hydra.mode == RunMode.MULTIRUN:
        return in_sweep(check.resolve(config), overrides, Path(hydra.sweep.dir))
    try:
        plain = check.resolve(config)
        if plain["resume"] and all(override.startswith(WHERE) for override in overrides):
            plain = _resumed(plain, overrides)
        plain["hardware"] = distributed.as_started(plain["hardware"], overrides)
        with Signals() as signals:
            ready = prepare(plain, overrides)
            return _start(ready, plain, *_place(hydra, plain), signals)
    except BaseException:
        drop_if_empty(Path(hydra.runtime.output_dir))  # Hydra made it before anything was checked
        raise


def in_sweep(plain: dict[str, Any], overrides: list[str], sweep: Path) -> float | None:
    """One job of a sweep, in a process of its own and noted in the ledger; None where its study has ended it early.

    Raises: Failure, Interrupted.
    """
    options = plain["sweep"]
    if plain["hardware"]["nodes"] != 1:
        raise BadOption("hardware.nodes: a job of a sweep runs on one node: type hardware.nodes=1")
    if options["fail_fast"] and ledger.has_failed(sweep):
        raise JobFailed("not begun: another job has failed (sweep.fail_fast)", JOB_FAILED)
    for attempt in range(1, options["retries"] + 2):
        note(sweep, ledger.RUNNING, overrides, attempt=attempt)
        try:
            folder, value = apart(_in_sweep, plain, overrides, sweep, limit=options["timeout"])
            if value is None:
                note(sweep, ledger.PRUNED, overrides, folder=folder, reason="the others do better")
            else:
                note(sweep, ledger.DONE, overrides, folder=folder, value=value)
            return value
        except JobFailed as failed:
            note(sweep, ledger.FAILED, overrides, reason=str(failed), code=failed.code)
            if attempt > options["retries"] or failed.code == BAD_INPUT:
                raise
        except Interrupted:
            note(sweep, ledger.INTERRUPTED, overrides)
            raise
    return None


def _in_sweep(plain: dict[str, Any], overrides: list[str], sweep: Path) -> tuple[str, float | None]:
    """What the job's own process does: what it prints is in its folder."""
    try:
        with Signals() as signals:
            ready = prepare(plain, overrides)
            path = job_folder(sweep, ready.overrides, ready.identity)
            with gpus.taken(0 if ready.options.hardware.device == "cpu" else ready.options.hardware.processes):
                return str(path), _start(ready, plain, path, False, signals, log=TERMINAL)
    except Exception as problem:
        code, words = in_words(problem)
        raise JobFailed(words, code) from problem


def _start(
    ready: Job, plain: dict[str, Any], path: Path, fresh: bool, signals: Signals, log: str | None = None
) -> float | None:
    """In this process, or in as many as `hardware` says."""
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


def _typed(overrides: Any) -> list[str]:
    """Overrides as they were typed: iterating would resolve `optimizer.lr=${model.lr}`, which means nothing there."""
    plain: Any = OmegaConf.to_container(overrides, resolve=False)
    return [str(override) for override in plain]


def _place(hydra: Any, config: dict[str, Any]) -> tuple[Path, bool]:
    """The run's folder, and whether its name came from the clock, so that a second start must take another one."""
    if config["resume"]:
        return Path(config["resume"]), False
    path = Path(hydra.runtime.output_dir)
    named = any(override.startswith("hydra.run.dir=") for override in _typed(hydra.overrides.hydra))
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path, not named


def _result(
    ready: Job, folder: RunFolder, signals: Signals, terminal: "Terminal", group: Group
) -> dict[str, Any] | None:
    if folder.result is not None:
        terminal.note(f"{folder.path} is done; its result:")
        terminal.result(folder.result, str(folder.path))
        return folder.result
    from tl_run.run import run

    return run(ready, folder, terminal, signals, group)


def _resumed(plain: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """A run's own config, but for where it is to go on."""
    stored, now = _stored(Path(plain["resume"])), plain["hardware"]
    typed = [override.partition("=")[0].partition(".")[2] for override in overrides if override.startswith(WHERE)]
    return plain | stored | {"hardware": now | stored["hardware"] | {key: now[key] for key in typed}}


def _as_begun(ready: Job, path: Path) -> Job:
    """Under the identity of the run that lies there, where it differs in the number of processes alone."""
    if not (path / CONFIG).is_file():
        return ready
    before = {key: _stored(path).get("hardware", {}).get(key, 1) for key in ("processes", "nodes")}
    config = ready.config | {"hardware": ready.config["hardware"] | before}
    return replace(ready, identity=identity.identity(config, ready.data, ready.weights))


def _stored(folder: Path) -> dict[str, Any]:
    """A run's own config."""
    try:
        stored = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as problem:
        raise BadCheckpoint(f"{folder / CONFIG} cannot be read: {problem}") from problem
    return {key: value for key, value in stored.items() if key not in ("resume", "plan")}
