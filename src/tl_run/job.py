"""One composed config to its result: alone, or as a job of a sweep in a process of its own."""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tl_run import distributed
from tl_run.config import check
from tl_run.errors import BAD_INPUT, JOB_FAILED, BadOption, Interrupted
from tl_run.failures import in_words
from tl_run.folder import TERMINAL, check_name, drop_if_empty, job_folder, of_the_run, stored_config
from tl_run.prepare import prepare
from tl_run.signals import Signals
from tl_run.start import start
from tl_run.sweep import gpus, ledger
from tl_run.sweep.apart import JobFailed, apart
from tl_run.sweep.ledger import note

WHERE = tuple(f"hardware.{key}=" for key in ("processes", "nodes", "endpoint", "elastic"))
"""What may be typed beside resume=<folder>."""


def job(config: DictConfig) -> float | None:
    """Run one job; returns the main metric on validation, by which sweeps compare. Raises: Failure."""
    hydra = HydraConfig.get()
    overrides = of_the_run(_typed(hydra.overrides.task))
    if hydra.mode == RunMode.MULTIRUN:
        return in_sweep(check.resolve(config), overrides, Path(hydra.sweep.dir))
    try:
        check_name(Path(hydra.runtime.output_dir))
        plain = check.resolve(config)
        if plain["resume"] and all(override.startswith(WHERE) for override in overrides):
            plain = _resumed(plain, overrides)
        plain["hardware"] = distributed.as_started(plain["hardware"], overrides)
        with Signals() as signals:
            ready = prepare(plain, overrides)
            return start(ready, plain, *_place(hydra, plain), signals)
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
                return str(path), start(ready, plain, path, False, signals, log=TERMINAL)
    except Exception as problem:
        code, words = in_words(problem)
        raise JobFailed(words, code) from problem


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


def _resumed(plain: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """A run's own config, but for where it is to go on. What it lacks is filled in for the check, not for its identity:
    an older run stays the run that it was."""
    stored, now = stored_config(Path(plain["resume"])), plain["hardware"]
    typed = [override.partition("=")[0].partition(".")[2] for override in overrides if override.startswith(WHERE)]
    asked = {key: plain[key] for key in ("resume", "plan")}
    return stored | asked | {"hardware": stored["hardware"] | {key: now[key] for key in typed}}
