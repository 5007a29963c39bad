"""One composed config to its result: prepare it, give it its folder, and only then import torch and run."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tl_run.config import check
from tl_run.errors import BAD_INPUT, JOB_FAILED, BadCheckpoint, Interrupted
from tl_run.failures import in_words
from tl_run.folder import CONFIG, ENVIRONMENT, TERMINAL, RunFolder, drop_if_empty, enter, job_folder, of_the_run
from tl_run.prepare import Job, prepare
from tl_run.signals import Signals
from tl_run.sweep import ledger
from tl_run.sweep.apart import JobFailed, apart
from tl_run.sweep.ledger import note
from tl_run.sweep.trials import watch

if TYPE_CHECKING:
    from tl_run.console import Terminal


def job(config: DictConfig) -> float | None:
    """Run one job; returns the main metric on validation, by which sweeps compare. Raises: Failure."""
    hydra = HydraConfig.get()
    overrides = _typed(hydra.overrides.task)
    if hydra.mode == RunMode.MULTIRUN:
        return in_sweep(check.resolve(config), of_the_run(overrides), Path(hydra.sweep.dir))
    try:
        plain = check.resolve(config)
        if plain["resume"] and not of_the_run(overrides):
            plain |= _stored(Path(plain["resume"]))
        with Signals() as signals:
            ready = prepare(plain, of_the_run(overrides))
            return _run(ready, plain, *_place(hydra, plain), signals)
    except BaseException:
        drop_if_empty(Path(hydra.runtime.output_dir))  # Hydra made it before anything was checked
        raise


def in_sweep(plain: dict[str, Any], overrides: list[str], sweep: Path) -> float | None:
    """One job of a sweep, in a process of its own and noted in the ledger; None where its study has ended it early.

    Raises: Failure, Interrupted.
    """
    options = plain["sweep"]
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
            study, trial = plain["sweep"]["study"], plain["sweep"]["trial"]
            behind = watch(sweep, study, trial) if study is not None else None
            return str(path), _run(ready, plain, path, False, signals, log=TERMINAL, behind=behind)
    except Exception as problem:
        code, words = in_words(problem)
        raise JobFailed(words, code) from problem


def _run(
    ready: Job,
    plain: dict[str, Any],
    path: Path,
    fresh: bool,
    signals: Signals,
    log: str | None = None,
    behind: Callable[[int, float], bool] | None = None,
) -> float | None:
    """In the run's folder, to its result; in a sweep what would be printed goes to the file `log` there."""
    from tl_run.console import Terminal  # after prepare: a mistake is told at once

    with enter(path, fresh=fresh, config=plain, identity=ready.identity) as folder:
        try:
            if log is None:
                result = _result(ready, folder, signals, Terminal(), behind)
            else:
                with (folder.path / log).open("a", encoding="utf-8") as file:
                    result = _result(ready, folder, signals, Terminal(file), behind)
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
    ready: Job,
    folder: RunFolder,
    signals: Signals,
    terminal: "Terminal",
    behind: Callable[[int, float], bool] | None,
) -> dict[str, Any] | None:
    if folder.result is not None:
        terminal.note(f"{folder.path} is done; its result:")
        terminal.result(folder.result, str(folder.path))
        return folder.result
    from tl_run.run import run

    return run(ready, folder, terminal, signals, behind)


def _stored(folder: Path) -> dict[str, Any]:
    """A run's own config."""
    try:
        stored = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as problem:
        raise BadCheckpoint(f"{folder / CONFIG} cannot be read: {problem}") from problem
    return {key: value for key, value in stored.items() if key not in ("resume", "plan")}
