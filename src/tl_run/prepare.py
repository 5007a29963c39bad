"""Everything about a run that can fail without torch: options, where model and data lie, what the data holds."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tl_run import embedded, hub, identity, task
from tl_run.config import check
from tl_run.config.options import Run, Scratch, TransE
from tl_run.data import sources, splits
from tl_run.data.table import Table
from tl_run.errors import BadOption
from tl_run.model.scratch import folder as scratch
from tl_run.model.scratch import graph
from tl_run.task.kind import Kind

GROUPS = ("task", "model", "transfer")
PATHS = {"train", "validation", "test", "dataset", "path"}  # their options that may name files or folders


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


def prepare(config: dict[str, Any], overrides: list[str]) -> Job:
    """Everything that can fail without torch: options, hub and folders, files and their content."""
    started = time.time()
    options = check.check(config)
    kind = task.load(options.task)
    if isinstance(options.model, Scratch) and kind.auto_class not in options.model.auto_classes:
        what = f"model={options.model.name} has no head for task={options.task.name}"
        raise BadOption(f"{what}: type model=tiny, or another that is pretrained")
    model_folder, dataset_folder, commits = find(options, kind)
    tables = sources.read(options.task, dataset_folder, kind.open)
    examples = kind.read(tables)
    new, notes = _domain(options, kind)
    made = splits.make(
        examples,
        kind.stratum,
        kind.group,
        share=options.task.validation_share,
        split_seed=options.task.split_seed,
        shots=getattr(options.task, "shots", None),
        limit=options.task.limit,
        seed=options.seed,
    )
    if isinstance(options.model, Scratch):
        assert kind.row_length is not None  # there is no head for pictures
        model_folder = scratch.made(options.model, kind.corpus(made.train), kind.row_length, kind.auto_class)
    if isinstance(options.model, TransE):
        model_folder = graph.made(options.model, kind.entities, kind.relations, model_folder)
    assert model_folder is not None
    if new:
        made = replace(made, domain=kind.read_unlabelled(new))
        tables["domain"], examples["domain"] = new, made.domain
    made = replace(made, notes=[*made.notes, *notes])
    contents = {split: kind.content(rows, examples[split]) for split, rows in tables.items()}
    data, weights = identity.of_tables(contents), identity.of_model(model_folder)
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


def _domain(options: Run, kind: Kind) -> tuple[Table | None, list[str]]:
    """The unlabelled examples of another domain where the method learns from them; and what the plan shall say."""
    domain, notes = options.task.domain, []
    if domain.test:
        notes.append("test: of the new domain (task.domain.test); validation is of the old one, and chooses the model")
    if domain.train and not options.transfer.takes_domain:
        notes.append(f"task.domain.train is not read by transfer={options.transfer.name}: the old domain alone")
    used = domain.train and options.transfer.takes_domain
    return (kind.open(embedded.locate(domain.train)) if used and domain.train else None), notes


def stored(config: dict[str, Any]) -> dict[str, Any]:
    """The config as a run folder keeps it: paths that exist here are absolute, so that it resumes from anywhere."""

    def absolute(value: Any) -> Any:
        there = isinstance(value, str) and not value.startswith(embedded.PREFIX) and embedded.locate(value).exists()
        return str(embedded.locate(value).absolute()) if there else value

    def within(options: dict[str, Any]) -> dict[str, Any]:
        return {
            key: within(value) if isinstance(value, dict) else absolute(value) if key in PATHS else value
            for key, value in options.items()
        }

    return config | {group: within(config[group]) for group in GROUPS if group in config}


def find(options: Run, kind: Kind) -> tuple[Path | None, Path | None, dict[str, str | None]]:
    """Folders of model and dataset, and their commits on the hub; what is missing is named at once.

    A model that begins with nothing has no folder yet: one is made when its training texts, or names, are known.
    """
    model, data = options.model, options.task
    wanted: dict[str, hub.Wanted] = {}
    if not isinstance(model, Scratch) and model.path and not model.path.startswith(embedded.PREFIX):
        files = ("config", *(["weights"] if model.pretrained else []), kind.processor)
        instead = "model.path=null" if isinstance(model, TransE) else "model=tiny"
        wanted["model"] = hub.Wanted("model", model.path, "model.path", instead, model.revision, files)
    if data.dataset:
        names = tuple(name for name in (data.splits.train, data.splits.validation, data.splits.test) if name)
        wanted["dataset"] = hub.Wanted(
            "dataset", data.dataset, "task.dataset", "task=reviews", data.revision, subset=data.subset, splits=names
        )
    found = dict(zip(wanted, hub.find(list(wanted.values())), strict=True))
    return (
        found["model"].folder if "model" in found else _embedded_model(model, kind),
        found["dataset"].folder if "dataset" in found else None,
        {kind: place.commit for kind, place in found.items()},
    )


def _embedded_model(model: Any, kind: Kind) -> Path | None:
    """Of the embedded family the member that reads what the kind has."""
    if isinstance(model, Scratch) or not model.path:
        return None
    return embedded.locate(kind.tiny if model.path == Kind.tiny else model.path)
