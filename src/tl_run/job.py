"""One composed config to its result: check, find, read, name, and only then import torch and run."""

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
from tl_run.errors import BadCheckpoint, Failure
from tl_run.folder import CONFIG, enter, job_name
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
    with Signals() as signals:
        hydra = HydraConfig.get()
        sweep = hydra.mode == RunMode.MULTIRUN
        overrides = [str(o) for o in hydra.overrides.task if not o.startswith("plan=")]
        plain = check.resolve(config)
        if plain["resume"] and all(o.startswith("resume=") for o in overrides):
            plain |= _stored(Path(plain["resume"]))
        ready = prepare(plain, overrides)
        if plain["resume"]:
            path, fresh = Path(plain["resume"]), False
        elif sweep:
            path, fresh = Path(hydra.sweep.dir) / job_name(overrides, ready.identity), False
        else:
            path = Path(hydra.runtime.output_dir)
            fresh = not any(o.startswith("hydra.run.dir=") for o in hydra.overrides.hydra)
            path = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        with enter(path, fresh=fresh, config=plain, identity=ready.identity) as folder:
            try:
                result = _result(ready, folder, signals)
            except Failure:
                raise
            except Exception as problem:
                problem.run_folder = folder.path  # type: ignore[attr-defined]
                raise
        return result["validation"][result["metric"]["name"]] if result else None


def _result(ready: Job, folder: Any, signals: Signals) -> dict[str, Any] | None:
    if folder.result is not None and not ready.options.plan:
        print(f"this run is done, its result is shown again: {folder.path}")
        from tl_run.console import Terminal

        Terminal().result(folder.result, str(folder.path))
        return folder.result
    from tl_run.console import Terminal
    from tl_run.run import run

    return run(ready, folder, Terminal(), signals)


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
    if options.model.path.startswith(embedded.PREFIX) and not options.task.dataset:
        return embedded.locate(options.model.path), None, {}
    from tl_run import hub

    wanted = {}
    if not options.model.path.startswith(embedded.PREFIX):
        wanted["model"] = hub.model(options.model.path, options.model.revision, options.model.pretrained)
    if options.task.dataset:
        wanted["dataset"] = hub.dataset(options.task.dataset, options.task.revision, options.task.subset)
    found = dict(zip(wanted, hub.find(list(wanted.values())), strict=True))
    model = found["model"].folder if "model" in found else embedded.locate(options.model.path)
    dataset = found["dataset"].folder if "dataset" in found else None
    return model, dataset, {kind: place.commit for kind, place in found.items()}


def _stored(folder: Path) -> dict[str, Any]:
    """A run's own config."""
    try:
        stored = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as problem:
        raise BadCheckpoint(f"{folder / CONFIG} cannot be read: {problem}") from problem
    return {key: value for key, value in stored.items() if key not in ("resume", "plan")}
