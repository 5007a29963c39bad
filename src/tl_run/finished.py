"""A finished run read again from its folder: its config, what it was about, and the model that it has saved.

What can be told without torch is told before it is imported.
"""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tl_run import task
from tl_run.config.check import check
from tl_run.config.older import complete
from tl_run.config.options import Several
from tl_run.errors import BadCheckpoint, BadOption
from tl_run.folder import CONFIG, ENVIRONMENT, RESULT, stored_config
from tl_run.stored_files import Damaged, read_json

if TYPE_CHECKING:
    from tl_run.data.encoded import Encoded
    from tl_run.evaluation import Evaluation
    from tl_run.hardware import Hardware


RATED = ("classification", "regression", "tagging", "srl", "relation")
"""Kinds whose examples have their gold labels in the same file."""


@dataclass(frozen=True)
class Finished:
    """A run folder, its checked options, and its kind of task, which knows the run's labels."""

    path: Path
    options: Any
    """A config.options.Run: which task and model it is of decides what there is in it."""
    kind: Any
    name: str = ""
    """Of a run of several tasks the one that is meant; options and kind are its own."""

    @property
    def model(self) -> Path:
        """The folder of the model."""
        return self.path / "model" / self.name

    @property
    def result(self) -> dict[str, Any]:
        """What result.json holds; of several tasks the metric is that of the one. Raises: BadOption when the run has
        none yet."""
        if not (self.path / RESULT).is_file():
            raise BadOption(f"{self.path}: {_unfinished(self.path)}")
        found = _json(self.path / RESULT)
        metric = found.get("metric")
        if not isinstance(metric, dict) or not isinstance(metric.get("name"), str):
            raise BadCheckpoint(f"{self.path / RESULT} is damaged: it names no metric")
        if not self.name:
            return found
        try:
            return found | {"metric": {"name": str(found["tasks"][self.name]["metric"])}}
        except (KeyError, TypeError) as problem:
            raise BadCheckpoint(f"{self.path / RESULT} is damaged: it names no metric of {self.name}") from problem

    @property
    def weights(self) -> dict[str, Any]:
        """Checksums of the files that it began with. Raises: BadCheckpoint when its folder does not say."""
        found = _json(self.path / ENVIRONMENT).get("weights")
        if not isinstance(found, dict):
            raise BadCheckpoint(f"{self.path / ENVIRONMENT} is damaged: it names no weights")
        return found


def open_run(path: Path) -> Finished:
    """The run that lies in a folder; of several tasks the one whose model's folder is named.

    Raises: BadOption when there is none, or one that has no model yet, or several.
    """
    if (folder := path.absolute()).parent.name == "model" and (folder.parents[1] / CONFIG).is_file():
        return _open(path.parent.parent, path.name)
    return _open(path, "")


def _open(path: Path, name: str) -> Finished:
    if not (path / CONFIG).is_file():
        raise BadOption(f"{path}: no run lies there (a run folder holds {CONFIG})")
    stored = stored_config(path)
    task_options = stored.get("task")
    tasks = (task_options.get("tasks") if isinstance(task_options, dict) else None) or {}
    if name not in (tasks or ("",)):
        one = next(iter(tasks), None)
        what = f"several tasks ({', '.join(tasks)}): type one of their models, such as" if one else "one task: type"
        raise BadOption(
            f"{path / 'model' / name if name else path}: the run is of {what} {path / 'model' / (one or '')}"
        )
    if not (path / "model" / name / "config.json").is_file():
        raise BadOption(f"{path}: {_unfinished(path)}")
    try:
        options = check(complete(stored | {"resume": None, "plan": False}))
    except BadOption as problem:
        raise BadOption(f"{path / CONFIG}: {problem}") from problem
    if name:
        assert isinstance(options.task, Several)
        options = replace(options, task=options.task.tasks[name])
    return Finished(path, options, task.load(options.task), name)


def name_labels(run: Finished) -> None:
    """Let the kind know the labels of the run, before its model is loaded, so that it can read files with labels.

    Raises: BadOption for a kind that cannot.
    """
    if run.options.task.kind not in RATED:
        raise BadOption(
            f"{run.path} is a run of task.kind={run.options.task.kind}: this works with texts that have labels, a "
            f"number, tags or a relation ({', '.join(RATED)})"
        )
    path = run.model / "config.json"
    names = _json(path).get("id2label", {0: "LABEL_0", 1: "LABEL_1"})  # transformers' default is not written down
    try:
        names = {int(i): str(name) for i, name in names.items()}
    except (AttributeError, ValueError) as problem:
        raise BadCheckpoint(f"{path}: id2label holds no names by number") from problem
    run.kind.restore(SimpleNamespace(num_labels=len(names), id2label=names))


def load(run: Finished, device: Any) -> tuple[Any, Any, "Hardware"]:
    """Its model on the device, in fp32, and its tokenizer. Raises: BadInput, MachineFault."""
    import tl_run
    from tl_run.config import options
    from tl_run.hardware import prepare

    model, tokenizer = tl_run.load_model(run.model)
    run.kind.restore(model.config)
    alone = {"processes": 1, "nodes": 1, "endpoint": None, "shard": False, "elastic": False}
    wanted = options.Hardware("predict", device, precision="fp32", compile=False, threads="auto", **alone)
    hardware = prepare(wanted, sum(p.numel() for p in model.parameters()))
    return model.to(hardware.device), tokenizer, hardware


def evaluate(
    run: Finished, model: Any, tokenizer: Any, hardware: "Hardware", encoded: "Encoded", batch_size: int
) -> "Evaluation":
    """What its model says of encoded examples."""
    from tl_run import evaluation
    from tl_run.model.reading import padding

    pad = padding(tokenizer)
    return evaluation.evaluate(model, run.kind, encoded, batch_size=batch_size, pad=pad, hardware=hardware)


def _json(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except (OSError, Damaged) as problem:
        raise BadCheckpoint(f"{path} cannot be read: {problem}") from problem


def _unfinished(path: Path) -> str:
    return f"the run is not finished, it has no model yet: tl-run {shlex.quote(f'resume={path}')}"
