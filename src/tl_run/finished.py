"""A finished run read again from its folder: its config, what it was about, and the model that it has saved.

What can be told without torch is told before it is imported.
"""

import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import yaml

from tl_run import task
from tl_run.config.check import check
from tl_run.config.options import Several
from tl_run.errors import BadOption
from tl_run.folder import CONFIG, RESULT

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
        found = json.loads((self.path / RESULT).read_text(encoding="utf-8"))
        return found | {"metric": {"name": found["tasks"][self.name]["metric"]}} if self.name else found


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
    stored = yaml.safe_load((path / CONFIG).read_text(encoding="utf-8"))
    tasks = stored["task"].get("tasks", {})
    if name not in (tasks or ("",)):
        one = next(iter(tasks), None)
        what = f"several tasks ({', '.join(tasks)}): type one of their models, such as" if one else "one task: type"
        raise BadOption(
            f"{path / 'model' / name if name else path}: the run is of {what} {path / 'model' / (one or '')}"
        )
    if not (path / "model" / name / "config.json").is_file():
        raise BadOption(f"{path}: {_unfinished(path)}")
    before = {"augment": {"name": "none"}}  # a run may be from before there was this group
    options = check(before | stored | {"resume": None, "plan": False})
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
    config = json.loads((run.model / "config.json").read_text(encoding="utf-8"))
    names = config.get("id2label", {0: "LABEL_0", 1: "LABEL_1"})  # transformers' default is not written down
    run.kind.restore(SimpleNamespace(num_labels=len(names), id2label={int(i): name for i, name in names.items()}))


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


def _unfinished(path: Path) -> str:
    return f"the run is not finished, it has no model yet: tl-run {shlex.quote(f'resume={path}')}"
