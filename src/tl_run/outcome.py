"""What a finished run leaves: the result, the predictions, and a model folder that transformers loads by itself."""

import json
import os
from pathlib import Path
from typing import Any

from tl_run import durable
from tl_run.build import Built
from tl_run.evaluation import Evaluation
from tl_run.model import saved
from tl_run.model.card import card
from tl_run.training import State


def describe(built: Built, state: State, split: str, final: Evaluation, audit: dict[str, Any]) -> dict[str, Any]:
    """The part of result.json that does not depend on the clock. Raises: AssertionError when a frozen tensor moved."""
    assert not audit["frozen_moved"], f"frozen tensors moved: {', '.join(audit['frozen_moved'][:3])}"
    job, learned = built.job, built.learning.learned(state)
    options, metric = job.options, job.task.metric
    return {
        "status": "done",
        "task": options.task.name,
        "model": options.model.name,
        "head": options.model.head,
        "freeze": options.freeze.name,
        "adapter": options.adapter.name,
        "transfer": options.transfer.name,
        "augment": options.augment.name,
        "seed": options.seed,
        "metric": {
            "name": metric,
            "value": final.scores[metric],
            "split": split,
            "higher_is_better": job.task.higher_is_better,
        },
        "splits": {name: len(getattr(job.splits, name) or ()) for name in ("train", "validation", "test")}
        | ({"domain": len(job.splits.domain)} if job.splits.domain else {}),
        "validation": state.best_scores,
        "test": final.scores if split == "test" else None,
        "tables": {"split": split, **final.tables},
        **({"tasks": _tasks(job.task, state.best_scores, final, split)} if job.task.kinds else {}),
        "best_step": state.best_step,
        "steps": state.step,
        "examples": state.examples,
        "parameters": {
            "total": sum(p.numel() for p in built.model.parameters()),
            "trainable": sum(p.numel() for name, p in built.model.named_parameters() if name in learned),
        },
        "start": built.found.start.as_data()
        | ({"from_run": str(options.model.from_run), "chain": job.chain} if job.chain else {}),
        **built.method.facts(state.step),
        "audit": audit,
        "identity": job.identity,
    }


def write(built: Built, folder: Path, split: str, final: Evaluation, result: dict[str, Any]) -> None:
    """Predictions of the final split, in its order, and the model folder; an adapter alone, then merged in place.

    Of several tasks each has its own predictions, and its own model in a folder below.
    """
    job, model, adapted, kinds = built.job, built.model, built.adapted, built.job.task.kinds
    _predictions(built, folder, split, final)
    if adapted:
        if (
            job.options.model.pretrained and not kinds
        ):  # random weights lie in no folder that the adapter could be put on again
            commit = job.commits.get("model")
            base = (commit and job.options.model.path) or str(job.model_folder.absolute())
            durable.write_folder(folder / "adapter", adapted.files(model, base, commit), {"identity": job.identity})
        adapted.merge(model)
    with durable.scratch(folder) as scratch:
        for name in kinds:
            alone = job.alone(name)
            told = result | result["tasks"][name] | {"metric": {"name": f"the mean over {job.options.task.name}"}}
            _model(scratch / name, alone, model.heads[name], built.found.tokenizer, told)
        if not kinds:
            _model(scratch, job, model, built.found.tokenizer, result)
        paths = (path for path in sorted(scratch.rglob("*")) if path.is_file())
        files = {path.relative_to(scratch).as_posix(): _moved(path) for path in paths}
        durable.write_folder(folder / "model", files, {"identity": job.identity})


def _model(folder: Path, job: Any, model: Any, tokenizer: Any, result: dict[str, Any]) -> None:
    model.config.update(job.task.head())  # with what validation has settled
    saved.save(folder, model, tokenizer, card(job, result))


def _tasks(task: Any, best: dict[str, float], final: Evaluation, split: str) -> dict[str, Any]:
    """What of the scores is of each task."""
    return {
        name: {
            "metric": kind.metric,
            "validation": task.own_scores(best, name),
            "test": task.own_scores(final.scores, name) if split == "test" else None,
        }
        for name, kind in task.kinds.items()
    }


def _predictions(built: Built, folder: Path, split: str, final: Evaluation) -> None:
    lines: dict[str, list[str]] = {}
    rows, several = _rows(built, split, final), built.job.task.kinds
    of = [f"-{example.task}" for example in getattr(built.job.splits, split)] if several else [""] * len(rows)
    for task, row in zip(of, rows, strict=True):
        lines.setdefault(task, []).append(json.dumps(row, ensure_ascii=False))
    for task, own in lines.items():
        durable.write_file(folder / f"predictions-{split}{task}.jsonl", ("\n".join(own) + "\n").encode())


def _rows(built: Built, split: str, final: Evaluation) -> list[dict[str, Any]]:
    """What was read, and what was found, for each example."""
    task, examples = built.job.task, getattr(built.job.splits, split)
    return task.lines(examples, final.predictions)


def columns(built: Built, split: str, final: Evaluation) -> dict[str, list[str]]:
    """The same as columns of text; the first is what points are coloured by."""
    rows = _rows(built, split, final)
    names = [name for name in ("gold", "prediction", "id", "text", "text_pair") if rows and name in rows[0]]
    return {name: [str(row[name]) for row in rows] for name in names}


def _moved(file: Path) -> Any:
    return lambda target: os.replace(file, target)
