"""Everything about a run that can fail without torch: options, where model and data lie, what the data holds."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tl_run import chain, embedded, hub, identity, task
from tl_run.config import check, older
from tl_run.config.options import ImageText, Run, Scratch, TransE
from tl_run.data import sources, splits
from tl_run.data.table import Table
from tl_run.errors import BadOption
from tl_run.folder import CONFIG
from tl_run.model import folder as model_folder_of
from tl_run.model.scratch import folder as scratch
from tl_run.model.scratch import graph
from tl_run.stored_files import Damaged, read_json
from tl_run.task.kind import Kind

GROUPS = ("task", "model", "transfer")
PATHS = {"train", "validation", "test", "dataset", "path", "vision", "from_run", "teacher"}
"""Their options that may name files or folders."""


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
    vision_folder: Path | None
    """Of the encoder of pictures, where texts are read too."""
    teacher: Path | None
    """Folder of the model that teaches, where one does."""
    commits: dict[str, str | None]
    identity: str
    started: float
    chain: list[dict[str, Any]]
    """The runs that it starts from, the first one first: what `chain.link` says of each."""


def prepare(config: dict[str, Any], overrides: list[str]) -> Job:
    """Everything that can fail without torch: options, hub and folders, files and their content."""
    started = time.time()
    config, links = chain.followed(config, overrides)
    options = check.check(older.complete(config) if config["resume"] else config)
    kind = task.load(options.task)
    if isinstance(options.model, Scratch) and kind.auto_class not in options.model.auto_classes:
        what = f"model={options.model.name} has no head for task={options.task.name}"
        raise BadOption(f"{what}: type model=tiny, or another that is pretrained")
    model_folder, dataset_folder, vision_folder, commits = find(options, kind)
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
    if vision_folder:
        weights |= {f"vision/{name}": checksum for name, checksum in identity.of_model(vision_folder).items()}
    teacher = _teacher(options, kind.labels)
    if teacher:
        weights |= {f"teacher/{name}": checksum for name, checksum in identity.of_model(teacher).items()}
    return Job(
        options=options,
        config=config,
        overrides=overrides,
        task=kind,
        splits=made,
        data=data,
        weights=weights,
        model_folder=model_folder,
        vision_folder=vision_folder,
        teacher=teacher,
        commits=commits,
        identity=identity.identity(config, data, weights),
        started=started,
        chain=links,
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


def _teacher(options: Run, labels: list[str]) -> Path | None:
    """The model folder of the teacher, in a run's folder or by itself. Raises: BadOption where it cannot teach this."""
    typed = getattr(options.transfer, "teacher", None)
    if typed is None:
        return None
    folder = embedded.locate(typed)
    if (folder / CONFIG).is_file():
        folder /= "model"
        if not folder.is_dir():
            raise BadOption(
                f"transfer.teacher={typed}: the run is not finished, it has no model yet: tl-run resume={typed}"
            )
    lacking = model_folder_of.lacks(folder, ("config", "weights", "tokenizer")) if folder.is_dir() else ["everything"]
    if lacking:
        raise BadOption(
            f"transfer.teacher={typed}: there is no model with a head (lacking: {', '.join(lacking)}): type the folder "
            "of a finished run, or its model folder"
        )
    try:
        known = [str(name) for name in read_json(folder / "config.json").get("id2label", {}).values()]
    except (OSError, Damaged, AttributeError) as problem:
        raise BadOption(f"transfer.teacher={typed}: its config.json cannot be read: {problem}") from problem
    if sorted(known) != sorted(labels):
        raise BadOption(
            f"transfer.teacher={typed}: it knows the labels {', '.join(known[:6]) or 'of no task'}; the task has "
            f"{', '.join(labels[:6])}: type a teacher that was trained on the same labels"
        )
    return folder


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


def find(options: Run, kind: Kind) -> tuple[Path | None, Path | None, Path | None, dict[str, str | None]]:
    """Folders of model, dataset and encoder of pictures, and their commits on the hub; all that is missing is named.

    A model that begins with nothing has no folder yet: one is made when its training texts, or names, are known.
    """
    model, data = options.model, options.task
    wanted: dict[str, hub.Wanted] = {}
    if not isinstance(model, Scratch) and model.path and not model.path.startswith(embedded.PREFIX):
        files = ("config", *(["weights"] if model.pretrained else []), kind.processor)
        instead = "model.path=null" if isinstance(model, TransE) else "model=tiny"
        wanted["model"] = hub.Wanted("model", model.path, "model.path", instead, model.revision, files)
    vision = model.vision if isinstance(data, ImageText) else None
    if vision and not vision.startswith(embedded.PREFIX):
        files = ("config", *(["weights"] if model.pretrained else []), "image processor")
        wanted["vision"] = hub.Wanted("model", vision, "model.vision", "model=tiny", None, files)
    if data.dataset:
        names = tuple(name for name in (data.splits.train, data.splits.validation, data.splits.test) if name)
        wanted["dataset"] = hub.Wanted(
            "dataset", data.dataset, "task.dataset", "task=reviews", data.revision, subset=data.subset, splits=names
        )
    found = dict(zip(wanted, hub.find(list(wanted.values())), strict=True))
    return (
        found["model"].folder if "model" in found else _embedded_model(model, kind),
        found["dataset"].folder if "dataset" in found else None,
        found["vision"].folder if "vision" in found else embedded.locate(vision) if vision else None,
        {kind: place.commit for kind, place in found.items()},
    )


def _embedded_model(model: Any, kind: Kind) -> Path | None:
    """Of the embedded family the member that reads what the kind has."""
    if isinstance(model, Scratch) or not model.path:
        return None
    return embedded.locate(kind.tiny if model.path == Kind.tiny else model.path)
