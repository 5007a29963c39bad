"""One composed config to its result: prepare it, give it its folder, and only then import torch and run."""

import shlex
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tl_run.config import check
from tl_run.errors import BadCheckpoint, Interrupted
from tl_run.folder import CONFIG, ENVIRONMENT, RunFolder, drop_if_empty, enter, job_name
from tl_run.prepare import Job, prepare
from tl_run.signals import Signals


def job(config: DictConfig) -> float | None:
    """Run one job; returns the main metric on validation, by which sweeps compare. Raises: Failure."""
    hydra = HydraConfig.get()
    with Signals() as signals:
        overrides = [override for override in _typed(hydra.overrides.task) if not override.startswith("plan=")]
        try:
            plain = check.resolve(config)
            if plain["resume"] and all(override.startswith("resume=") for override in overrides):
                plain |= _stored(Path(plain["resume"]))
            ready = prepare(plain, overrides)
        except BaseException:
            drop_if_empty(Path(hydra.runtime.output_dir))  # Hydra made it before anything was checked
            raise
        path, fresh = _place(hydra, plain, ready)
        with enter(path, fresh=fresh, config=plain, identity=ready.identity) as folder:
            try:
                result = _result(ready, folder, signals, in_sweep=hydra.mode == RunMode.MULTIRUN)
            except Interrupted as interrupted:
                how = f"to go on: tl-run {shlex.quote(f'resume={folder.path}')}"
                if hydra.mode == RunMode.MULTIRUN:
                    how = "the same command goes on with the sweep"
                elif not (folder.path / ENVIRONMENT).is_file():
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


def _place(hydra: Any, config: dict[str, Any], ready: Job) -> tuple[Path, bool]:
    """The run's folder, and whether its name came from the clock, so that a second start must take another one."""
    if config["resume"]:
        return Path(config["resume"]), False
    if hydra.mode == RunMode.MULTIRUN:
        return Path(hydra.sweep.dir) / job_name(ready.overrides, ready.identity), False
    path = Path(hydra.runtime.output_dir)
    named = any(override.startswith("hydra.run.dir=") for override in _typed(hydra.overrides.hydra))
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path, not named


def _result(ready: Job, folder: RunFolder, signals: Signals, in_sweep: bool) -> dict[str, Any] | None:
    from tl_run.console import Terminal

    terminal = Terminal(in_sweep)
    if in_sweep:
        terminal.job(ready.overrides)
    if folder.result is not None:
        terminal.note(f"{folder.path} is done; its result:")
        terminal.result(folder.result, str(folder.path))
        return folder.result
    from tl_run.run import run

    return run(ready, folder, terminal, signals)


def _stored(folder: Path) -> dict[str, Any]:
    """A run's own config."""
    try:
        stored = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as problem:
        raise BadCheckpoint(f"{folder / CONFIG} cannot be read: {problem}") from problem
    return {key: value for key, value in stored.items() if key not in ("resume", "plan")}
