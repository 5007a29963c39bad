"""One composed config to its result: check, find, read, name, and only then import torch and run."""

import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from tl_run import embedded, identity, task
from tl_run.config import check
from tl_run.config.options import Run
from tl_run.data import sources, splits
from tl_run.errors import BadCheckpoint, Interrupted
from tl_run.folder import CONFIG, ENVIRONMENT, RunFolder, drop_if_empty, enter, job_name
from tl_run.signals import Signals


@dataclass(frozen=True)
class Job:
    """A checked run with its data read and its model found; no torch has been needed so far."""

    options: Run
    config: dict[str, Any]
    overrides: list[str]
    task: Any
    splits: splits.Splits
    data: dict[str, str]
    weights: dict[str, str]
    model_folder: Path
    commits: dict[str, str | None]
    identity: str
    started: float


def job(config: DictConfig) -> float | None:
    """Run one job; returns the main metric on validation, by which sweeps compare. Raises: Failure."""
    hydra = HydraConfig.get()
    with Signals() as signals:
        overrides = [str(override) for override in hydra.overrides.task if not override.startswith("plan=")]
        plain = check.resolve(config)
        if plain["resume"] and all(override.startswith("resume=") for override in overrides):
            plain |= _stored(Path(plain["resume"]))
        try:
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


def _place(hydra: Any, config: dict[str, Any], ready: Job) -> tuple[Path, bool]:
    """The run's folder, and whether its name came from the clock, so that a second start must take another one."""
    if config["resume"]:
        return Path(config["resume"]), False
    if hydra.mode == RunMode.MULTIRUN:
        return Path(hydra.sweep.dir) / job_name(ready.overrides, ready.identity), False
    path = Path(hydra.runtime.output_dir)
    named = any(override.startswith("hydra.run.dir=") for override in hydra.overrides.hydra)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path, not named


def _result(ready: Job, folder: RunFolder, signals: Signals, in_sweep: bool) -> dict[str, Any] | None:
    from tl_run.console import Terminal

    terminal = Terminal(in_sweep)
    if folder.result is not None:
        terminal.note(f"{folder.path} is done; its result:")
        terminal.result(folder.result, str(folder.path))
        return folder.result
    from tl_run.run import run

    return run(ready, folder, terminal, signals)


def prepare(config: dict[str, Any], overrides: list[str]) -> Job:
    """Everything that can fail without torch: options, hub and folders, files and their content."""
    started = time.time()
    options = check.check(config)
    model_folder, dataset_folder, commits = find(options)
    kind = task.load(options.task)
    tables = sources.read(options.task, dataset_folder)
    examples = kind.read(tables)
    made = splits.make(
        examples,
        kind.stratum,
        share=options.task.validation_share,
        split_seed=options.task.split_seed,
        shots=options.task.shots,
        limit=options.task.limit,
        seed=options.seed,
    )
    data, weights = identity.of_tables(tables), identity.of_model(model_folder)
    return Job(
        options=options,
        config=config,
        overrides=overrides,
        task=kind,
        splits=made,
        data=data,
        weights=weights,
        model_folder=model_folder,
        commits=commits,
        identity=identity.identity(config, data, weights),
        started=started,
    )


def find(options: Run) -> tuple[Path, Path | None, dict[str, str | None]]:
    """Folders of model and dataset, and their commits on the hub; what is missing is named at once."""
    from tl_run import hub

    model, data = options.model, options.task
    wanted: dict[str, hub.Wanted] = {}
    if not model.path.startswith(embedded.PREFIX):
        files = ("config", "weights", "tokenizer") if model.pretrained else ("config", "tokenizer")
        wanted["model"] = hub.Wanted("model", model.path, "model.path", "model=tiny", model.revision, files)
    if data.dataset:
        names = tuple(name for name in (data.splits.train, data.splits.validation, data.splits.test) if name)
        wanted["dataset"] = hub.Wanted(
            "dataset", data.dataset, "task.dataset", "task=reviews", data.revision, subset=data.subset, splits=names
        )
    found = dict(zip(wanted, hub.find(list(wanted.values())), strict=True))
    return (
        found["model"].folder if "model" in found else embedded.locate(model.path),
        found["dataset"].folder if "dataset" in found else None,
        {kind: place.commit for kind, place in found.items()},
    )


def _stored(folder: Path) -> dict[str, Any]:
    """A run's own config."""
    try:
        stored = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as problem:
        raise BadCheckpoint(f"{folder / CONFIG} cannot be read: {problem}") from problem
    return {key: value for key, value in stored.items() if key not in ("resume", "plan")}
