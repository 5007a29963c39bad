"""Everything about a run that can fail without torch: options, where model and data lie, what the data holds."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tl_run import chain, embedded, hub, identity, task
from tl_run.config import check, older, several
from tl_run.config.options import AnyTask, BackTranslation, ImageText, Run, Scratch, Several, TransE
from tl_run.data import doubts, sources, splits, synonyms
from tl_run.data.table import Table
from tl_run.errors import BadOption
from tl_run.folder import CONFIG
from tl_run.model import folder as model_folder_of
from tl_run.model.scratch import folder as scratch
from tl_run.model.scratch import graph
from tl_run.stored_files import Damaged, read_json
from tl_run.task.kind import Kind
from tl_run.task.several import Several as SeveralKinds

GROUPS = ("task", "model", "transfer", "augment")
PATHS = {"train", "validation", "test", "dataset", "path", "vision", "from_run", "teacher", "synonyms", "there", "back"}
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
    translators: dict[str, Path]
    """Folders of the models that translate `there` and `back`, where training texts are."""
    synonyms: synonyms.Synonyms
    """Those that the user has given."""
    commits: dict[str, str | None]
    identity: str
    started: float
    chain: list[dict[str, Any]]
    """The runs that it starts from, the first one first: what `chain.link` says of each."""

    def alone(self, name: str) -> "Job":
        """Of a job of several tasks what belongs to one."""
        kind = self.task.kinds[name]
        commits = self.commits | {"dataset": self.commits.get(f"dataset/{name}")}
        return replace(self, options=replace(self.options, task=kind.options), task=kind, commits=commits)


def prepare(config: dict[str, Any], overrides: list[str], *, doubting: bool = True) -> Job:
    """Everything that can fail without torch: options, hub and folders, files and their content.

    A sweep's plan, which tells no doubts of its jobs, does not look for them.
    """
    started = time.time()
    several.refuse_typed(config, overrides)
    config, links = chain.followed(config, overrides)
    options = check.check(older.complete(config) if config["resume"] else config)
    kind = task.load(options.task)
    if isinstance(options.model, Scratch) and not kind.auto_classes <= {*options.model.auto_classes}:
        what = f"model={options.model.name} has no head for task={options.task.name}"
        raise BadOption(f"{what}: type model=tiny, or another that is pretrained")
    model_folder, datasets, vision_folder, translators, commits = find(options, kind)
    known = synonyms.read(embedded.locate(typed)) if (typed := getattr(options.augment, "synonyms", None)) else {}
    made, data = _read_all(options, kind, datasets, doubting)
    if isinstance(options.model, Scratch):
        assert kind.row_length is not None  # there is no head for pictures
        model_folder = scratch.made(options.model, kind.corpus(made.train), kind.row_length, max(kind.auto_classes))
    if isinstance(options.model, TransE):
        model_folder = graph.made(options.model, kind.entities, kind.relations, model_folder)
    assert model_folder is not None
    weights = identity.of_model(model_folder)
    if known:
        data["synonyms"] = identity.of_words(known)
    teacher = _teacher(options, kind.labels)
    weights |= identity.of_others({"vision": vision_folder, "teacher": teacher, **translators})
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
        translators=translators,
        synonyms=known,
        commits=commits,
        identity=identity.identity(config, data, weights),
        started=started,
        chain=links,
    )


def _read_all(
    options: Run, kind: Kind, datasets: dict[str, Path | None], doubting: bool
) -> tuple[splits.Splits, dict[str, str]]:
    """The examples of the run, and a checksum of each split; of several tasks all of them together."""
    if not isinstance(kind, SeveralKinds):
        return _read(kind, datasets["dataset"], options, doubting)
    made, sums = {}, {}
    for name, own in kind.kinds.items():
        with several.told(name):
            made[name], sums[name] = _read(own, datasets[f"dataset/{name}"], options, doubting)
    return kind.joined(made), identity.together(sums)


def _read(
    kind: Kind, dataset_folder: Path | None, options: Run, doubting: bool
) -> tuple[splits.Splits, dict[str, str]]:
    """The examples of a task, and a checksum of each split."""
    task = kind.options
    tables = sources.read(task, dataset_folder, kind.open)
    examples = kind.read(tables)
    new, notes = _domain(kind, options.transfer)
    made = splits.make(
        examples,
        kind.stratum,
        kind.group,
        share=task.validation_share,
        split_seed=task.split_seed,
        shots=kind.shots,
        limit=task.limit,
        seed=options.seed,
    )
    if doubting:
        kind.doubts += doubts.of(kind, tables, made)
    if new:
        tables["domain"], examples["domain"] = new, kind.read_unlabelled(new)
        made = replace(made, domain=examples["domain"])
    contents = {split: kind.content(rows, examples[split]) for split, rows in tables.items()}
    return replace(made, notes=[*made.notes, *notes]), identity.of_tables(contents)


def _domain(kind: Kind, transfer: Any) -> tuple[Table | None, list[str]]:
    """The unlabelled examples of another domain where the method learns from them; and what the plan shall say."""
    domain, notes = kind.options.domain, []
    if domain.test:
        notes.append("test: of the new domain (task.domain.test); validation is of the old one, and chooses the model")
    if domain.train and not transfer.takes_domain:
        notes.append(f"task.domain.train is not read by transfer={transfer.name}: the old domain alone")
    used = domain.train and transfer.takes_domain
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


def find(
    options: Run, kind: Kind
) -> tuple[Path | None, dict[str, Path | None], Path | None, dict[str, Path], dict[str, str | None]]:
    """Folders of model, datasets, encoder of pictures, translators, and their commits on the hub; all missing is named.

    The dataset is called so; of several tasks there is one for each, `dataset/<task>`.

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
    tasks, other = dict[str, tuple[AnyTask, str]](), "task=reviews"
    if isinstance(data, Several):
        other = "transfer.tasks='[tagging-demo,relation-demo]'"
        tasks |= {f"dataset/{name}": (own, f"transfer.options.{name}") for name, own in data.tasks.items()}
    else:
        tasks["dataset"] = data, "task"
    for key, (own, where) in tasks.items():
        names = tuple(name for name in (own.splits.train, own.splits.validation, own.splits.test) if name)
        if own.dataset:
            wanted[key] = hub.Wanted(
                "dataset",
                own.dataset,
                f"{where}.dataset",
                other,
                own.revision,
                subset=own.subset,
                splits=names,
            )
    translators = {}
    if isinstance(options.augment, BackTranslation):
        translators = {"there": options.augment.there, "back": options.augment.back}
    for name, path in translators.items():
        if not path.startswith(embedded.PREFIX):
            wanted[name] = hub.Wanted("model", path, f"augment.{name}", "augment=none")
    found = dict(zip(wanted, hub.find(list(wanted.values())), strict=True))
    return (
        found["model"].folder if "model" in found else _embedded_model(model, kind),
        {key: found[key].folder if key in found else None for key in tasks},
        found["vision"].folder if "vision" in found else embedded.locate(vision) if vision else None,
        {name: found[name].folder if name in found else embedded.locate(path) for name, path in translators.items()},
        {kind: place.commit for kind, place in found.items()},
    )


def _embedded_model(model: Any, kind: Kind) -> Path | None:
    """Of the embedded family the member that reads what the kind has."""
    if isinstance(model, Scratch) or not model.path:
        return None
    return embedded.locate(kind.tiny if model.path == Kind.tiny else model.path)
