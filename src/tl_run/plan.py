"""The plan in words before anything is trained, and the hyperparameters that TensorBoard compares."""

from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tl_run import chain
from tl_run.build import Built
from tl_run.config.options import SOLVED, Run
from tl_run.freeze import Freeze
from tl_run.model.anatomy import Anatomy
from tl_run.model.heads import Headed
from tl_run.model.start import Start
from tl_run.optimizer import parameter_groups
from tl_run.solve import GRID


def rows(built: Built, folder: Path) -> list[tuple[str, str]]:
    """Name and words for each row of the plan."""
    job, model, parts = built.job, built.model, built.anatomy
    options, splits = job.options, job.splits
    counts = f"{len(splits.train):,} train, {len(splits.validation):,} validation, "
    counts += f"{len(splits.test):,} test" if splits.test is not None else "no test"
    labels = job.task.labels
    shown = ", ".join(labels[:6]) + (f", ... ({len(labels)})" if len(labels) > 6 else "")
    shown = f"labels {shown}; " if labels else ""
    o, t = options.optimizer, options.training
    warmup = f"{o.warmup:.0%} warmup" if o.warmup < 1 else f"{o.warmup:.0f} steps warmup"
    if o.schedule == "constant":  # transformers has constant_with_warmup for the other
        warmup = "no warmup"
    commit = job.commits.get("model")
    micro = "" if t.micro_batch_size == "auto" else f" (in parts of {t.micro_batch_size})"
    length = f"{t.max_steps:,} steps" if t.max_steps else f"{t.epochs} epochs, {built.budget.steps:,} steps"
    length = length if built.budget.steps else "no step"
    steps = [
        *_optimizer(
            f"{o.name}, {o.schedule} with {warmup}",
            parameter_groups(model, parts, built.learning.ever, o, built.method.rates),
        ),
        ("training", f"{length} of {built.method.unit or f'{t.batch_size} examples{micro}'}, seed {options.seed}"),
    ]
    if options.model.head in SOLVED:
        grid = ", ".join(f"{strength:g}" for strength in GRID)
        steps = [("solved", f"{options.model.head} by scikit-learn, C={grid}, the best by validation")]
    return [
        ("task", f"{options.task.name}: {counts}; {shown}best by {job.task.metric}"),
        (
            "model",
            f"{options.model.name}: {options.model.path or 'from nothing'}{f' at {commit[:8]}' if commit else ''}"
            f"{'' if options.model.pretrained else ', random weights'}, {_layers(parts)}{_head(options, model)}",
        ),
        *([("after", chain.words(job.chain))] if job.chain else []),
        *_start(built.found.start, every=options.plan),
        *_learns(model, built.learning, options.freeze.name, built.budget.steps, built.per_epoch),
        *([("adapter", built.adapted.words)] if built.adapted else []),
        *([("transfer", built.method.words)] if built.method.words else []),
        *([("augment", built.augmented.words)] if built.augmented.words else []),
        ("reused", built.reuse.words()),
        *steps,
        ("hardware", built.hardware.words),
        ("folder", str(folder)),
    ]


def _layers(parts: Anatomy) -> str:
    """What was found in the model."""
    if not parts.layers:
        return f"no layers found; tensors: {', '.join(f'{b} {len(names)}' for b, names in parts.blocks.items())}"
    shared = f", shared: run {parts.repeats} times" if parts.repeats > 1 else ""
    return f"{len(parts.layers)} layer{'s' if len(parts.layers) > 1 else ''}{shared}"


def _start(start: Start, *, every: bool) -> list[tuple[str, str]]:
    """What the checkpoint brought and what not; with `every` each tensor by its name."""
    rows = [("start", start.words())]
    if every:
        rows += [("", f"{what.replace('_', ' ')}: {name}") for what, names in start.as_data().items() for name in names]
    return rows


def _learns(model: nn.Module, learning: Freeze, name: str, steps: int, per_epoch: int) -> list[tuple[str, str]]:
    """What learns; where it changes, a row for each phase."""
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    total = sum(sizes.values())

    def share(names: frozenset[str]) -> str:
        count = sum(sizes[name] for name in names)
        return f"{count:,} of {total:,} parameters ({count / total:.1%})"

    if len(learning.phases) == 1:
        return [("learns", f"{share(learning.ever)}, freeze={name}")]
    rows, begin, loose = [("learns", f"freeze={name}, in {len(learning.phases)} phases")], 0, False
    for number, phase in enumerate(learning.phases, 1):
        end = min(phase.end.step(per_epoch), steps) if phase.end and number < len(learning.phases) else steps
        when = f"from epoch {begin / per_epoch:.3g} (step {begin}){' at the latest' if loose else ''}"
        when = when if begin < steps else f"not reached in {steps} steps"
        when += ", for no step" if end <= begin < steps else ""
        rate = f", lr x{phase.lr_factor:g}" if phase.lr_factor != 1 else ""
        patience = f", patience {phase.patience}" if phase.patience else ""
        rows.append(("", f"{number}. {when}: {share(phase.learns)}, {phase.words}{rate}{patience}"))
        begin, loose = max(begin, end), loose or bool(phase.patience)
    return rows


def _optimizer(words: str, groups: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The rate of each part of the model; of many parts as a table."""
    rates: dict[str, tuple[float, int]] = {}
    for group in groups:
        count = rates.get(group["name"], (0.0, 0))[1] + sum(p.numel() for p in group["params"])
        rates[group["name"]] = (group["peak_lr"], count)
    if len(rates) <= 2:
        shown = ", ".join(f"{name} {lr:.3g} ({count:,})" for name, (lr, count) in rates.items())
        return [("optimizer", f"{words}; peak lr {shown}")]
    width = max(map(len, rates))
    table = [f"{name:<{width}}  {f'{lr:.3g}':<9} {count:>13,}" for name, (lr, count) in rates.items()]
    return [
        ("optimizer", words),
        *(("", line) for line in [f"{'group':<{width}}  {'peak lr':<9} {'parameters':>13}", *table]),
    ]


def _head(options: Run, model: nn.Module) -> str:
    if not isinstance(model, Headed):
        return ""
    bottom, top = min(model.layers), max(model.layers)
    layers = f"layer {top}" if bottom == top else f"layers {bottom} to {top}"
    if model.design.kind == "towers":
        return f"; one vector for each text, pooling {model.pooling}"
    return f"; head {model.design.kind} on {layers}, pooling {model.pooling}"


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
        **{f"freeze.{k}": _plain(v) for k, v in vars(options.freeze).items() if k not in ("name", "lr_factor")},
        "adapter": options.adapter.name,
        **{f"adapter.{k}": v for k, v in vars(options.adapter).items() if k not in ("name", "lr_factor")},
        "transfer": options.transfer.name,
        **{f"transfer.{k}": _plain(v) for k, v in vars(options.transfer).items() if k != "name"},
        "augment": options.augment.name,
        **{f"augment.{k}": v for k, v in vars(options.augment).items() if k != "name"},
        "optimizer": options.optimizer.name,
        **{
            f"optimizer.{key}": getattr(options.optimizer, key)
            for key in ("lr", "head_lr", "layer_decay", "weight_decay", "schedule", "warmup")
        },
        "training.epochs": options.training.epochs,
        "training.batch_size": options.training.batch_size,
        "task.limit": options.task.limit,
        "task.shots": getattr(options.task, "shots", None),
        "task.max_length": options.task.max_length,
        "precision": options.hardware.precision,
    }
    return {name: value for name, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    """TensorBoard takes numbers and text: phases become `until 1, learns head; learns all`."""
    if not isinstance(value, list):
        return value
    if not any(is_dataclass(each) for each in value):
        return ", ".join(map(str, value))
    return "; ".join(", ".join(f"{k} {v}" for k, v in vars(each).items() if v is not None) for each in value)
