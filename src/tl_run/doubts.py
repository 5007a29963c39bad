"""What may be meant but is odd: the run begins, and the plan says it once."""

import os
from collections.abc import Iterator, Mapping

from tl_run.build import Built
from tl_run.config.options import BackTranslation, Eda, Federated, Run, Sgd, TokenDropout

LARGEST_RATE = {"adamw": 0.1, "adam": 0.1, "sgd": 50.0}
"""Above it weights are overwritten within a few steps, whatever the model."""
SMALLEST_RATE = 1e-9


def doubts(built: Built) -> list[str]:
    """One line each: those of the data, then those of the options, with what is usual."""
    job = built.job
    typed = {override.partition("=")[0].lstrip("+"): override for override in job.overrides}
    return [
        *job.task.doubts,
        *_of_the_length(built),
        *_of_the_options(job.options),
        *_of_what_is_idle(job.options, typed),
    ]


IDLE = {
    "transfer.temperature": ("transfer.sampling", ("temperature",)),
    "transfer.epochs": ("transfer.sampling", ("annealed",)),
    "transfer.uncertainty_lr": ("transfer.weighting", ("uncertainty",)),
    "transfer.concentration": ("transfer.split", ("dirichlet",)),
    "transfer.keep": ("transfer.select", ("anova", "l1")),
}
"""Options that do something only where another one has one of these values."""

CHANGES = {
    Eda: (("share",), ("swap", "delete", "insert", "replace")),
    TokenDropout: (("rate",),),
    BackTranslation: (("share",),),
}
"""Of each of these sets of an augmentation's rates one must be above 0, or nothing is changed."""


def _of_what_is_idle(options: Run, typed: Mapping[str, str]) -> Iterator[str]:
    """What was typed and does nothing: in a sweep it may be there for other jobs, so nothing is refused."""
    if "model.lr" in typed and "optimizer.lr" in typed:
        yield "model.lr does nothing beside optimizer.lr: type optimizer.head_lr for a rate of the head alone"
    for option, (other, values) in IDLE.items():
        found = getattr(options.transfer, other.partition(".")[2], None)
        if option in typed and found is not None and found not in values:
            yield f"{typed[option]} does nothing with {other}={found}: it is for {other}={' or '.join(values)}"
    if "transfer.delta" in typed and isinstance(options.transfer, Federated) and not options.transfer.noise:
        yield f"{typed['transfer.delta']} does nothing without noise: type transfer.noise=1 transfer.clip=1"
    for rates in CHANGES.get(type(options.augment), ()):
        if not any(getattr(options.augment, name) for name in rates):
            zero = " ".join(f"augment.{name}=0" for name in rates)
            yield f"augment={options.augment.name} changes nothing with {zero}: type augment=none, which is faster"


def _of_the_options(options: Run) -> Iterator[str]:
    optimizer, usual = options.optimizer, options.model.lr * (500 if isinstance(options.optimizer, Sgd) else 1)
    for option, lr in (("lr", optimizer.lr), ("head_lr", optimizer.head_lr)):
        if lr is not None and not SMALLEST_RATE <= lr <= LARGEST_RATE[optimizer.name]:
            size = "large" if lr > 1 or lr > usual else "small"
            yield f"optimizer.{option}={lr:g} is very {size}: model={options.model.name} likes about {usual:g}"
    if optimizer.weight_decay >= 1:
        yield f"optimizer.weight_decay={optimizer.weight_decay:g} is very large: 0.01 is usual"
    if (dropout := options.model.dropout) is not None and dropout >= 0.9:
        yield f"model.dropout={dropout:g} leaves the head {1 - dropout:.0%} of its input: 0.1 is usual"
    if options.hardware.precision == "fp16" and options.hardware.device == "cpu":
        yield "hardware.precision=fp16 is slow on a CPU, and no more exact: type hardware.precision=auto"
    threads, cores = options.hardware.threads, os.cpu_count() or 1
    if threads != "auto" and threads > cores:
        yield f"hardware.threads={threads}: this machine has {cores} cores"


def _of_the_length(built: Built) -> Iterator[str]:
    options, steps = built.job.options, built.budget.steps
    training, warmup, train = options.training, options.optimizer.warmup, len(built.job.splits.train)
    if built.solved:
        return
    length = f"training.max_steps={steps}" if training.max_steps else f"{steps} steps (training.epochs)"
    if not steps:
        yield "training.epochs=0: nothing is trained, the model is scored as it is"
        return
    if 0.9 <= warmup < 1 or warmup >= max(steps, 1):
        yield f"optimizer.warmup={warmup:g}: of {length}, little or nothing is left at the full rate"
    every = training.eval_every
    if every != "epoch" and every > steps:
        yield f"training.eval_every={every} is more than {length}: there is one evaluation, at the end"
    evaluations = -(-steps // built.budget.evaluate_every)
    if (patience := training.early_stopping.patience) and patience >= evaluations:
        yield (
            f"training.early_stopping.patience={patience} never stops training early: {length} have "
            f"{evaluations} evaluation{'s' if evaluations > 1 else ''}"
        )
    if training.batch_size > train:
        yield f"training.batch_size={training.batch_size} is more than the {train} training examples"
    ends = [phase.end.step(built.per_epoch) for phase in built.learning.phases[:-1] if phase.end]
    if late := sum(end >= steps for end in ends):
        yield f"freeze={options.freeze.name}: {late} of its {len(ends) + 1} phases never begin in {length}"
