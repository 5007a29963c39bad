"""The plan in words before anything is trained, and the hyperparameters that TensorBoard compares."""

from pathlib import Path
from typing import Any

from torch import nn

from tl_run.config.options import SOLVED, Run
from tl_run.freeze import Freeze
from tl_run.hardware import Hardware
from tl_run.model.anatomy import Anatomy
from tl_run.model.heads import Headed
from tl_run.optimizer import parameter_groups
from tl_run.prepare import Job
from tl_run.solve import GRID
from tl_run.training import Budget


def rows(
    job: Job, model: nn.Module, parts: Anatomy, learning: Freeze, hardware: Hardware, budget: Budget, folder: Path
) -> list[tuple[str, str]]:
    """Name and words for each row of the plan."""
    options, splits = job.options, job.splits
    counts = f"{len(splits.train):,} train, {len(splits.validation):,} validation, "
    counts += f"{len(splits.test):,} test" if splits.test is not None else "no test"
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    trainable, total = sum(sizes[name] for name in learning.ever), sum(sizes.values())
    labels = job.task.labels
    shown = ", ".join(labels[:6]) + (f", ... ({len(labels)})" if len(labels) > 6 else "")
    o, t = options.optimizer, options.training
    warmup = f"{o.warmup:.0%} warmup" if o.warmup < 1 else f"{o.warmup:.0f} steps warmup"
    if o.schedule == "constant":  # transformers has constant_with_warmup for the other
        warmup = "no warmup"
    rates: dict[str, tuple[float, int]] = {}
    for group in parameter_groups(model, parts, learning.ever, o):
        count = rates.get(group["name"], (0.0, 0))[1] + sum(p.numel() for p in group["params"])
        rates[group["name"]] = (group["peak_lr"], count)
    commit = job.commits.get("model")
    micro = "" if t.micro_batch_size == "auto" else f" (in parts of {t.micro_batch_size})"
    length = f"{t.max_steps:,} steps" if t.max_steps else f"{t.epochs} epochs, {budget.steps:,} steps"
    steps = [
        (
            "optimizer",
            f"{o.name}, {o.schedule} with {warmup}; peak lr "
            + ", ".join(f"{name} {lr:.3g} ({count:,})" for name, (lr, count) in rates.items()),
        ),
        ("training", f"{length} of {t.batch_size} examples{micro}, seed {options.seed}"),
    ]
    if options.model.head in SOLVED:
        grid = ", ".join(f"{strength:g}" for strength in GRID)
        steps = [("solved", f"{options.model.head} by scikit-learn, C={grid}, the best by validation")]
    return [
        ("task", f"{options.task.name}: {counts}; labels {shown}; best by {job.task.metric}"),
        (
            "model",
            f"{options.model.name}: {options.model.path}{f' at {commit[:8]}' if commit else ''}"
            f"{'' if options.model.pretrained else ', random weights'}, {len(parts.layers)} layers"
            f"{_head(options, model)}",
        ),
        ("learns", f"{trainable:,} of {total:,} parameters ({trainable / total:.1%}), freeze={options.freeze.name}"),
        *steps,
        ("hardware", hardware.words),
        ("folder", str(folder)),
    ]


def _head(options: Run, model: nn.Module) -> str:
    if not isinstance(model, Headed):
        return ""
    bottom, top = min(model.layers), max(model.layers)
    layers = f"layer {top}" if bottom == top else f"layers {bottom} to {top}"
    return f"; head {options.model.head} on {layers}, pooling {model.pooling}"


def hyperparameters(options: Run) -> dict[str, Any]:
    """The columns of TensorBoard's HParams page: choices and what is commonly swept, without seed and unset ones."""
    values = {
        "task": options.task.name,
        "model": options.model.name,
        "pretrained": options.model.pretrained,
        "head": options.model.head,
        "head_layer": options.model.head_layer,
        "pooling": options.model.pooling,
        "dropout": options.model.dropout,
        "freeze": options.freeze.name,
        **{f"freeze.{k}": v for k, v in vars(options.freeze).items() if k not in ("name", "lr_factor")},
        "transfer": options.transfer.name,
        "optimizer": options.optimizer.name,
        **{
            f"optimizer.{key}": getattr(options.optimizer, key)
            for key in ("lr", "head_lr", "layer_decay", "weight_decay", "schedule", "warmup")
        },
        "training.epochs": options.training.epochs,
        "training.batch_size": options.training.batch_size,
        "task.limit": options.task.limit,
        "task.shots": options.task.shots,
        "task.max_length": options.task.max_length,
        "precision": options.hardware.precision,
    }
    return {name: value for name, value in values.items() if value is not None}
