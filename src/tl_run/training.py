"""The loop. It takes finished objects and yields records; whoever calls it writes them, and may save while it waits."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from tl_run import audit
from tl_run import freeze as freezing
from tl_run.distributed import ALONE, Group
from tl_run.errors import MachineFault, NonFinite
from tl_run.evaluation import Evaluation
from tl_run.fsdp import whole
from tl_run.hardware import Hardware, seed_by
from tl_run.optimizer import set_rates
from tl_run.transfer.method import Method


@dataclass
class State:
    """Exactly what the future of a run depends on besides weights and optimizer; a checkpoint stores all of it."""

    step: int = 0  # optimizer steps taken
    examples: int = 0  # training examples seen
    micro_batch_size: int = 0  # examples per forward pass; halved when memory runs out
    loss_sum: float = 0.0  # of the steps since the last record
    loss_steps: int = 0
    evaluated: int = -1  # step of the last evaluation
    best_value: float | None = None
    best_step: int = -1
    best_scores: dict[str, float] = field(default_factory=dict)
    without_gain: int = 0  # evaluations since the last gain that counted
    counted_best: float | None = None  # the best value in early stopping's sense
    stopped: bool = False  # early stopping has struck
    phase: int = 0  # which of the freeze's phases it is in
    phase_began: int = 0  # at this step
    phase_best: float | None = None  # the best value within the phase, and evaluations since
    phase_without_gain: int = 0
    prints: dict[str, str] = field(default_factory=dict)  # fingerprints of what learns, when the phase began
    first_moved: dict[str, int] = field(default_factory=dict)  # parameter: where the phase began in which it first did
    processes: dict[str, int] = field(default_factory=dict)  # how many there were, from which step on
    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    scale: float = 0.0  # of the loss in fp16
    scale_growth: int = 0
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)  # on the CPU


@dataclass(frozen=True)
class Record:
    """What happened. A `step` record only says that a step boundary is reached; it is not written."""

    kind: Literal["step", "train", "validation", "phase"]
    step: int
    epoch: float
    values: dict[str, float]
    tables: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Budget:
    """How long to train and how often to look."""

    steps: int
    evaluate_every: int
    log_every: int
    clip: float | None
    patience: int | None
    min_delta: float
    halve_on_oom: bool


def train(
    *,
    model: nn.Module,
    method: Method,
    freeze: freezing.Freeze,
    enter: Callable[[freezing.Phase], None] = lambda phase: None,
    optimizer: torch.optim.Optimizer,
    schedule: Callable[[int], float],
    hardware: Hardware,
    scaler: torch.amp.GradScaler,
    evaluate: Callable[[], Evaluation],
    metric: str,
    higher_is_better: bool,
    budget: Budget,
    seed: int,
    state: State,
    group: Group = ALONE,
) -> Iterator[Record]:
    """Train from `state` to the end of the budget, changing model, optimizer, scaler and state in place.

    `enter` is called when a phase begins, and again after each evaluation. The best weights by `metric` on validation
    are left in `state.best_weights`. Evaluation comes first in the loop, so that a run that was saved between a step
    and its evaluation begins with that evaluation.
    Raises: NonFinite at the step where loss or gradient stop being numbers; nothing of that step is applied.
    """
    streams = method.streams()
    per_epoch = next(iter(streams.values())).steps_per_epoch
    learning = [p for group in optimizer.param_groups for p in group["params"]]
    phase: freezing.Phase | None = None
    started, examples_before = time.perf_counter(), state.examples
    while True:
        at_end = state.step >= budget.steps
        due = at_end or (state.step > 0 and state.step % budget.evaluate_every == 0)
        if due and state.evaluated < state.step:
            if phase is None:  # resumed between a step and its evaluation, which sees the model as that step did
                enter(freeze.at(state))
            moved = freezing.moves(model, freeze.ever)
            require_finite({name: moved[name] for name in freeze.ever}, state.step, method.ids)
            yield validate(model, freeze, evaluate, metric, higher_is_better, budget, state, state.step / per_epoch)
            phase, started, examples_before = None, time.perf_counter(), state.examples  # evaluation left eval mode
            continue
        if at_end or state.stopped:
            return
        if _phase_is_over(freeze, state, per_epoch):
            _next_phase(model, freeze, state)
            yield _phase_record(freeze, state, per_epoch)
            continue
        step_started = time.perf_counter()
        now = freeze.at(state)
        if now is not phase:
            phase = now
            freezing.apply(model, now)
            enter(now)
        batches = {name: stream.batch(state.step) for name, stream in streams.items()}
        rates = set_rates(optimizer, schedule(state.step) * now.lr_factor)
        method.prepare(model, state.step, state.step / budget.steps)
        gradient = _gradient(model, method, batches, optimizer, scaler, budget, seed, state, group)
        means = {name: mean.item() for name, mean in gradient.items()}
        loss = means.pop("loss")
        scaler.unscale_(optimizer)
        norm = whole(nn.utils.clip_grad_norm_(learning, budget.clip or math.inf)).item()
        if not math.isfinite(loss) or not (math.isfinite(norm) or _may_overflow(scaler)):
            optimizer.zero_grad(set_to_none=True)
            what = "loss" if not math.isfinite(loss) else "gradient"
            raise NonFinite.at(f"the {what} is not a finite number at step {state.step + 1}", method.ids(state.step))
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.examples += method.examples(batches)
        state.loss_sum, state.loss_steps = state.loss_sum + loss, state.loss_steps + 1
        state.train_seconds += time.perf_counter() - step_started
        if scaler.is_enabled():
            state.scale, state.scale_growth = scaler.get_scale(), scaler._get_growth_tracker()
        if state.step % budget.log_every and state.step < budget.steps:
            yield Record("step", state.step, state.step / per_epoch, {"loss": loss})
            continue
        elapsed = time.perf_counter() - started
        values = {
            "loss": state.loss_sum / state.loss_steps,
            "gradient_norm": norm,
            **{f"lr/{name}": rate for name, rate in rates.items()},
            **({f"term/{name}": mean for name, mean in means.items()} if len(means) > 1 else {}),
            **method.scalars(state.step - 1, (state.step - 1) / budget.steps),
            "examples_per_second": (state.examples - examples_before) / elapsed,
        }
        if hardware.device.type == "cuda":
            values["gpu_memory_mb"] = hardware.peak_memory_mb()
        state.loss_sum, state.loss_steps = 0.0, 0
        started, examples_before = time.perf_counter(), state.examples
        yield Record("train", state.step, state.step / per_epoch, values)


def require_finite(weights: Mapping[str, torch.Tensor], step: int, ids: Callable[[int], Sequence[str]]) -> None:
    """Looks at weights before they are scored or saved; `ids(step)` names the examples of a step, counted from 0.

    Not after every step, of which it would be some percent: what comes of a loss and a gradient that are finite seldom
    is not, and the next loss that meets it shows it. Raises: NonFinite.
    """
    for name in sorted(weights):
        if not whole(weights[name]).isfinite().all():
            raise NonFinite.at(f"{name} is not finite after step {step}", ids(step - 1) if step else [])


def validate(
    model: nn.Module,
    freeze: freezing.Freeze,
    evaluate: Callable[[], Evaluation],
    metric: str,
    higher_is_better: bool,
    budget: Budget,
    state: State,
    epoch: float,
) -> Record:
    """Score the validation split, and keep the weights if they are the best so far, in `state`."""
    began = time.perf_counter()
    found = evaluate()
    state.evaluate_seconds += time.perf_counter() - began
    state.evaluated = state.step
    value, sign = found.scores[metric], 1 if higher_is_better else -1
    if state.best_value is None or sign * value > sign * state.best_value:
        state.best_value, state.best_step, state.best_scores = value, state.step, found.scores
        weights = freezing.moves(model, freeze.ever)
        state.best_weights = {name: whole(t).detach().to("cpu", copy=True) for name, t in weights.items()}
    if state.counted_best is None or sign * value > sign * state.counted_best + budget.min_delta:
        state.counted_best, state.without_gain = value, 0
    else:
        state.without_gain += 1
    if state.phase_best is None or sign * value > sign * state.phase_best + budget.min_delta:
        state.phase_best, state.phase_without_gain = value, 0
    else:
        state.phase_without_gain += 1
    state.stopped = budget.patience is not None and state.without_gain >= budget.patience
    if freeze.at(state) is freeze.phases[-1]:
        state.stopped |= _out_of_patience(freeze, state)
    return Record("validation", state.step, epoch, {**found.scores, f"best/{metric}": state.best_value}, found.tables)


def _phase_is_over(freeze: freezing.Freeze, state: State, per_epoch: int) -> bool:
    """Whether a phase that is not the last has had its time or its patience."""
    phase = freeze.at(state)
    if phase is freeze.phases[-1]:
        return False
    return _out_of_patience(freeze, state) or (phase.end is not None and state.step >= phase.end.step(per_epoch))


def _out_of_patience(freeze: freezing.Freeze, state: State) -> bool:
    patience = freeze.at(state).patience
    return patience is not None and state.phase_without_gain >= patience


def _next_phase(model: nn.Module, freeze: freezing.Freeze, state: State) -> None:
    """Audit the phase that is over, and begin the next."""
    if state.phase_began < state.step:
        learns = freeze.at(state).learns
        state.prints, state.first_moved = audit.end_of_phase(
            model, learns, state.prints, state.phase_began, state.first_moved
        )
    state.phase, state.phase_began = state.phase + 1, state.step
    state.phase_best, state.phase_without_gain = None, 0


def _phase_record(freeze: freezing.Freeze, state: State, per_epoch: int) -> Record:
    now = freeze.at(state)
    return Record("phase", state.step, state.step / per_epoch, {"phase": state.phase + 1}, {"learns": now.words})


def _gradient(
    model: nn.Module,
    method: Method,
    batches: dict[str, Any],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    budget: Budget,
    seed: int,
    state: State,
    group: Group,
) -> dict[str, torch.Tensor]:
    """The gradient of one step; when memory runs out, on any rank, again from its beginning in halves."""
    learning = [p for each in optimizer.param_groups for p in each["params"]]
    while True:
        seed_by(seed, state.step, *group.place)  # dropout is a function of seed and step: a resumed run draws the same
        means, lacking = {}, None
        try:
            means = method.gradient(
                model,
                batches,
                step=state.step,
                progress=state.step / budget.steps,
                micro_batch_size=state.micro_batch_size,
                backward=lambda loss: scaler.scale(group.scaled(loss)).backward(),
                group=group,
            )
        except torch.OutOfMemoryError as problem:
            lacking = problem
        halve = budget.halve_on_oom and method.divisible and state.micro_batch_size > 1 and not group.lockstep
        if lacking and not halve:
            smaller = "one" if method.divisible else "training.batch_size"
            raise MachineFault(
                f"out of memory at step {state.step + 1} with training.micro_batch_size={state.micro_batch_size}: "
                f"type a smaller {smaller}, or a smaller task.max_length"
            ) from lacking
        if group.any(lacking is not None) == [False]:
            return group.add(learning, means)
        optimizer.zero_grad(set_to_none=True)
        state.micro_batch_size = -(-state.micro_batch_size // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _may_overflow(scaler: torch.amp.GradScaler) -> bool:
    """In fp16 a gradient may overflow while the scale is still being found; below 1 that is no longer the reason."""
    return scaler.is_enabled() and scaler.get_scale() >= 1
