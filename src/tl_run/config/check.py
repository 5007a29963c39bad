"""The composed config into a checked Run: types by the schema, then what types cannot say. Imports no torch."""

import re
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tl_run.config import several
from tl_run.config.check_augment import check_augment
from tl_run.config.check_task import check_task
from tl_run.config.check_transfer import check_transfer
from tl_run.config.options import (
    SOLVED,
    Episodes,
    FreezeGradual,
    FreezePattern,
    FreezePhase,
    FreezeSchedule,
    Generation,
    Lora,
    Model,
    Rnn,
    Run,
    SeparableCnn,
    Seq2Seq,
    Several,
    Transformer,
    Triples,
)
from tl_run.config.schema import build
from tl_run.errors import BadOption

GROUPS = ("task", "model", "freeze", "adapter", "transfer", "augment", "optimizer", "hardware", "experiment")


def register_resolvers() -> None:
    """`${times:a,b}` is the product of its arguments; `${given:a}` whether it is not null; `${named:a,b}` the name of
    one task, or of several."""

    def times(*factors: float) -> float:
        product = 1.0
        for factor in factors:
            product *= factor
        return float(f"{product:.6g}")  # 2e-5 * 50 is 0.001, not 0.0010000000000000002

    OmegaConf.register_new_resolver("times", times, replace=True)
    OmegaConf.register_new_resolver("given", lambda value: value is not None, replace=True)
    OmegaConf.register_new_resolver("named", several.named, replace=True)


def resolve(config: DictConfig) -> dict[str, Any]:
    """Plain data with interpolations resolved; what is required and missing stays `???`.

    Where several tasks are named, their options are composed now.
    """
    try:
        plain = OmegaConf.to_container(several.composed(config), resolve=True, throw_on_missing=False)
    except OmegaConfBaseException as problem:
        raise BadOption(uninterpolated(problem)) from problem
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def uninterpolated(problem: OmegaConfBaseException) -> str:
    """An interpolation that leads nowhere, or to itself."""
    option, words = problem.full_key or "config", str(problem).splitlines()[0]
    if words.startswith("Recursive interpolation"):
        return f"{option}: its ${{...}} leads back to the option itself: type a value"
    return f"{option}: {words}"


def check(config: dict[str, Any]) -> Run:
    """Raises: BadOption with up to three problems, each naming its option and what to type."""
    for name, own in config["task"].get("tasks", {}).items():  # each is sound as a run of its own
        with several.told(name):
            check(config | {"task": own, "transfer": {"name": "finetune"}})
    run: Run = build(Run, config)
    task = run.task
    if isinstance(task, Several):
        check_transfer(run)
        check_augment(run)
        return run
    if task.dataset and (task.train or task.validation or task.test):
        raise BadOption("task.dataset and task.train/validation/test exclude each other: type one of the two")
    if not task.dataset and not task.train:
        raise BadOption(
            f"task={task.name} needs data: type task.train={task.sources} or "
            f"task.dataset=<hub id or folder>; the columns are {', '.join(f'task.{role}' for role in task.columns)}"
        )
    columns = [*task.columns.values()]
    if len(set(columns)) < len(columns):
        raise BadOption(f"task.{', '.join(task.columns)} must be different columns, found {', '.join(columns)}")
    check_name("task.name", task.name)
    check_name("model.name", run.model.name)
    if run.model.path == "":
        raise BadOption("model.path='' names nothing: type model.path=<hub id or folder>, or model=tiny")
    if isinstance(task, Episodes) and task.limit:
        raise BadOption(
            f"task.limit={task.limit}: an episode has as many examples as task.shots says: type task.limit=null"
        )
    if getattr(task, "shots", None) and task.limit:
        raise BadOption("task.shots and task.limit exclude each other: labelled examples per class, or in all")
    micro = run.training.micro_batch_size
    if micro != "auto" and micro > run.training.batch_size:
        raise BadOption(
            f"training.micro_batch_size={micro} is larger than training.batch_size={run.training.batch_size}, "
            "which counts all examples of an optimizer step"
        )
    if not task.divisible and micro not in ("auto", run.training.batch_size):
        raise BadOption(
            f"training.micro_batch_size={micro}: the loss in_batch compares every pair of a batch with all others, so "
            "it cannot be cut: type training.micro_batch_size=auto; if memory runs out, a smaller training.batch_size"
        )
    check_task(run)
    check_transfer(run)
    check_augment(run)
    if isinstance(run.freeze, FreezePattern):
        _check_pattern("freeze.pattern", run.freeze.pattern)
    if isinstance(run.freeze, FreezeSchedule):
        _check_phases(run.freeze.phases)
    if isinstance(run.adapter, Lora):
        if run.freeze.name in ("trunk", "all_but_bias", "all_but_norms"):
            raise BadOption(
                f"adapter=lora and freeze={run.freeze.name} contradict each other: LoRA goes beside weights of the "
                "trunk that would learn, and none would: type freeze=none, or adapter=none"
            )
        if not run.adapter.targets:
            raise BadOption("adapter.targets: one or more of query, key, value, output, feed_forward are needed")
    _check_head(run.model, run.freeze.name, task.own_pooling)
    _check_shape(run.model)
    if run.model.copy is not None:
        _check_pattern("model.copy", run.model.copy)
        if not run.model.pretrained:
            raise BadOption("model.copy and model.pretrained=false contradict each other: leave one of the two out")
    if run.model.statistics == "fixed" and not run.model.pretrained:
        raise BadOption(
            "model.statistics=fixed: random weights have no statistics to keep: type model.statistics=moving"
        )
    if run.model.head != "stock" and not task.own_heads:
        raise BadOption(f"model.head={run.model.head}: task={task.name} has a head of its own: type model.head=stock")
    if run.model.head in SOLVED and task.kind not in ("classification", "relation"):
        raise BadOption(f"model.head={run.model.head} is for classes: type model.head=linear with task={task.name}")
    if run.model.head in SOLVED and getattr(task, "multi_label", False):
        raise BadOption(f"model.head={run.model.head} finds one label for a text: type model.head=linear")
    if run.model.head in SOLVED and run.hardware.compile:
        raise BadOption(f"hardware.compile does nothing with model.head={run.model.head}: type hardware.compile=false")
    warmup = run.optimizer.warmup
    if warmup >= 1 and warmup != int(warmup):
        raise BadOption(f"optimizer.warmup={warmup:g}: below 1 it is a share of all steps, from 1 on a whole number")
    if run.optimizer.name != "sgd" and len(run.optimizer.betas) != 2:  # type: ignore[union-attr]
        raise BadOption("optimizer.betas: two numbers are needed, for example [0.9,0.999]")
    if run.hardware.device == "cpu" and run.hardware.name == "gpu":
        raise BadOption("hardware=gpu and hardware.device=cpu contradict each other: type hardware=cpu")
    _check_processes(run)
    _check_length(run)
    return run


def check_name(option: str, name: str) -> None:
    """Raises: BadOption where a run's folder, which has this in its name, would lie elsewhere."""
    if "/" in name or not name.isprintable() or not name.strip(". ") or len(name) > 100:
        raise BadOption(
            f"{option}={name[:100]!r} is part of a folder's name: type one of up to 100 characters and without '/'"
        )


def _check_length(run: Run) -> None:
    """What would begin only after the run has ended."""
    steps, epochs, warmup = run.training.max_steps, run.training.epochs, run.optimizer.warmup
    if steps and warmup >= max(steps, 1):
        raise BadOption(
            f"optimizer.warmup={warmup:g} steps are not over in training.max_steps={steps}: type fewer, or a share "
            "such as optimizer.warmup=0.1"
        )
    freeze = run.freeze
    if isinstance(freeze, FreezeGradual) and not steps and 0 < epochs <= freeze.head_first:
        raise BadOption(
            f"freeze=gradual and training.epochs={epochs}: the head learns alone for the first freeze.head_first="
            f"{freeze.head_first:g} epochs, and no layer ever would: type more epochs, or freeze=trunk"
        )


def _check_processes(run: Run) -> None:
    """What several processes can share, and what only one can do."""
    hardware, task = run.hardware, run.task
    several = f"hardware.processes={hardware.processes}"
    if hardware.nodes > 1:
        several = f"hardware.nodes={hardware.nodes}"
        if not hardware.endpoint or not re.fullmatch(r"[^\s:]+:\d+|\[[^\s\]]+\]:\d+", hardware.endpoint):
            raise BadOption(
                f"{several} needs a place where they meet: type hardware.endpoint=<name of one of them>:29400 on each"
            )
    elif hardware.endpoint:
        raise BadOption(f"hardware.endpoint={hardware.endpoint} does nothing on one node: type hardware.nodes=2")
    if hardware.ranks == 1:
        if hardware.shard:
            raise BadOption(f"hardware={hardware.name}: one process has nothing to share: type hardware.processes=2")
        return
    if run.training.batch_size < hardware.ranks:
        raise BadOption(
            f"training.batch_size={run.training.batch_size} is smaller than {several}, which share every batch: type a "
            f"batch size of {hardware.ranks} or more, or fewer processes"
        )
    if hardware.device == "mps":
        raise BadOption(f"{several}: an Apple GPU is of one process: type hardware.processes=1, or hardware=cpu")
    if not task.divisible:
        raise BadOption(
            f"{several}: the loss in_batch compares every pair of a batch with all others, so the batch cannot be "
            "shared: type hardware.processes=1"
        )
    if run.model.head in SOLVED:
        raise BadOption(f"{several}: model.head={run.model.head} is solved by one process: type hardware.processes=1")
    if hardware.shard:
        _check_shard(run)


def _check_shard(run: Run) -> None:
    """What FSDP2 cannot be combined with here."""
    shard = f"hardware={run.hardware.name}" if run.hardware.name == "fsdp" else "hardware.shard=true"
    if run.freeze.name in ("gradual", "schedule"):
        raise BadOption(f"{shard}: what learns is fixed, and freeze={run.freeze.name} changes it: type freeze=none")
    if run.adapter.name != "none":
        raise BadOption(f"{shard}: type adapter=none, or hardware.shard=false with adapter={run.adapter.name}")
    if isinstance(run.task, Triples):
        raise BadOption(f"{shard}: the vectors of a graph are no stack of layers: type hardware.shard=false")
    if isinstance(run.task, Generation):
        raise BadOption(f"{shard}: processes that write texts do not keep step: type hardware.shard=false")
    if run.hardware.compile:
        raise BadOption(f"{shard}: type hardware.compile=false")
    if run.hardware.precision == "fp16":
        raise BadOption(f"{shard}: type hardware.precision=bf16 or fp32")
    if run.features.mode == "require":
        raise BadOption(f"{shard}: nothing is stored of a model that is split up: type features.mode=auto")


def _check_pattern(option: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as problem:
        raise BadOption(f"{option}: '{pattern}' is no regular expression: {problem}") from problem


def _check_phases(phases: list[FreezePhase]) -> None:
    """Each phase ends somehow, and not before the one it follows."""
    if not phases:
        raise BadOption("freeze.phases: there is none: type freeze.phases=[{until:1,learns:head},{learns:all}]")
    for number, phase in enumerate(phases):
        option, learns = f"freeze.phases[{number}]", phase.learns
        if isinstance(learns, str):
            _check_pattern(f"{option}.learns", learns)
        elif not (learns >= 1 if isinstance(learns, int) else 0 < learns < 1):
            raise BadOption(f"{option}.learns={learns}: a number of layers is whole, from 1 on; a share is below 1")
        if phase.until is not None and phase.until_steps is not None:
            raise BadOption(f"{option}: until (epochs) and until_steps exclude each other")
        ends, last = phase.until is not None or phase.until_steps is not None, number == len(phases) - 1
        if last and ends:
            raise BadOption(f"{option}: the last phase ends with the run (training.epochs): leave its until out")
        if not last and not ends and phase.patience is None:
            raise BadOption(f"{option} has no end, and another follows: type until:<epoch>, or patience:<evaluations>")
    for name in ("until", "until_steps"):
        given = [value for phase in phases if (value := getattr(phase, name)) is not None]
        if given != sorted(set(given)):
            shown = ", ".join(f"{value:g}" for value in given)
            raise BadOption(f"freeze.phases: {name} counts from the beginning of the run and must rise, found {shown}")


def _check_shape(model: Model) -> None:
    if isinstance(model, Transformer) and model.hidden % (2 * model.heads):
        raise BadOption(
            f"model.hidden={model.hidden} is no multiple of 2 x model.heads={model.heads}: each head has an even width"
        )
    if isinstance(model, Seq2Seq) and model.hidden % model.heads:
        raise BadOption(f"model.hidden={model.hidden} is no multiple of model.heads={model.heads}: type one that is")
    if isinstance(model, Rnn) and model.bidirectional and model.hidden % 2:
        raise BadOption(f"model.hidden={model.hidden}: model.bidirectional=true halves it, so type an even number")
    if isinstance(model, SeparableCnn) and model.kernel % 2 == 0:
        raise BadOption(f"model.kernel={model.kernel}: a kernel has a middle, so type an odd number")


def _check_head(model: Model, freeze: str, own_pooling: bool) -> None:
    """An option that the chosen head does not use would be believed to have done something."""
    head = f"model.head={model.head}"
    if model.head == "stock" and model.pooling is not None and not own_pooling:
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
