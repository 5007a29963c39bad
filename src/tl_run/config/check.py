"""The composed config into a checked Run: types by the schema, then what types cannot say. Imports no torch."""

import re
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tl_run.config.options import SOLVED, FreezePattern, Model, Run
from tl_run.config.schema import build
from tl_run.errors import BadOption

GROUPS = ("task", "model", "freeze", "transfer", "optimizer", "hardware", "experiment")


def register_resolvers() -> None:
    """`${times:a,b}` is the product of its arguments."""

    def times(*factors: float) -> float:
        product = 1.0
        for factor in factors:
            product *= factor
        return float(f"{product:.6g}")  # 2e-5 * 50 is 0.001, not 0.0010000000000000002

    OmegaConf.register_new_resolver("times", times, replace=True)


def resolve(config: DictConfig) -> dict[str, Any]:
    """Plain data with interpolations resolved; what is required and missing stays `???`."""
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    except OmegaConfBaseException as problem:
        raise BadOption(f"{getattr(problem, 'full_key', '') or 'config'}: {str(problem).splitlines()[0]}") from problem
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def check(config: dict[str, Any]) -> Run:
    """Raises: BadOption with up to three problems, each naming its option and what to type."""
    run: Run = build(Run, config)
    task = run.task
    if task.dataset and (task.train or task.validation or task.test):
        raise BadOption("task.dataset and task.train/validation/test exclude each other: type one of the two")
    if not task.dataset and not task.train:
        raise BadOption(
            f"task={task.name} needs data: type task.train=<file> (CSV, TSV, JSONL, JSON, Parquet) "
            "or task.dataset=<hub id or folder>; the columns are task.text and task.label"
        )
    columns = [task.text, task.label, *filter(None, [task.text_pair, task.id])]
    if len(set(columns)) < len(columns):
        raise BadOption(f"task.text, text_pair, label and id must be different columns, found {', '.join(columns)}")
    if task.shots and task.limit:
        raise BadOption("task.shots and task.limit exclude each other: labelled examples per class, or in all")
    micro = run.training.micro_batch_size
    if micro != "auto" and micro > run.training.batch_size:
        raise BadOption(
            f"training.micro_batch_size={micro} is larger than training.batch_size={run.training.batch_size}, "
            "which counts all examples of an optimizer step"
        )
    if isinstance(run.freeze, FreezePattern):
        try:
            re.compile(run.freeze.pattern)
        except re.error as problem:
            raise BadOption(f"freeze.pattern: '{run.freeze.pattern}' is no regular expression: {problem}") from problem
    _check_head(run.model, run.freeze.name)
    warmup = run.optimizer.warmup
    if warmup >= 1 and warmup != int(warmup):
        raise BadOption(f"optimizer.warmup={warmup:g}: below 1 it is a share of all steps, from 1 on a whole number")
    if run.optimizer.name != "sgd" and len(run.optimizer.betas) != 2:  # type: ignore[union-attr]
        raise BadOption("optimizer.betas: two numbers are needed, for example [0.9,0.999]")
    if run.hardware.device == "cpu" and run.hardware.name == "gpu":
        raise BadOption("hardware=gpu and hardware.device=cpu contradict each other: type hardware=cpu")
    return run


def _check_head(model: Model, freeze: str) -> None:
    """An option that the chosen head does not use would be believed to have done something."""
    head = f"model.head={model.head}"
    if model.head == "stock" and model.pooling is not None:
        raise BadOption(
            f"model.pooling={model.pooling} does nothing with {head}, which pools in its own way: "
            "type model.head=linear, or another head"
        )
    if model.head != "layer" and model.head_layer is not None:
        raise BadOption(f"model.head_layer={model.head_layer} does nothing with {head}: type model.head=layer")
    if model.head == "layer" and model.head_layer is None:
        raise BadOption(f"{head} needs the layer that it reads: type model.head_layer=6, or 0 for the embeddings")
    if model.head not in SOLVED:
        return
    if freeze != "trunk":
        raise BadOption(f"{head} is solved on features of a trunk that stays as it is: type freeze=trunk")
    if model.pooling == "attention":
        raise BadOption(f"model.pooling=attention learns by gradient, {head} does not: type model.pooling=mean")
    if model.dropout is not None:
        raise BadOption(f"model.dropout={model.dropout:g} does nothing with {head}: it is solved, not trained in steps")
