"""The story of a run. Read this first: load, freeze, train, choose, test, audit, save."""

import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import yaml

from tl_run import adapter, audit, checkpoint, durable, features, freeze, hardware, optimizer, outcome, transfer
from tl_run.config.options import SOLVED, Run
from tl_run.console import Terminal
from tl_run.environment import compare, describe
from tl_run.errors import Interrupted
from tl_run.evaluation import Evaluation, evaluate
from tl_run.folder import CONFIG, ENVIRONMENT, OVERRIDES, RESULT, RunFolder
from tl_run.model import compact, pretrained
from tl_run.model.anatomy import anatomy
from tl_run.model.design import Design
from tl_run.plan import hyperparameters, rows
from tl_run.prepare import Job, stored
from tl_run.secrets import mask
from tl_run.signals import Signals
from tl_run.solve import GRID, require_every_label, solve
from tl_run.tensorboard import Board
from tl_run.training import Budget, Record, train
from tl_run.writers import MetricsLog, to_board


def run(job: Job, folder: RunFolder, terminal: Terminal, signals: Signals) -> dict[str, Any] | None:
    """Run the job in its folder, from the start or from its newest good checkpoint; returns what result.json holds."""
    options, task, path = job.options, job.task, folder.path
    torch.manual_seed(options.seed)
    began = time.perf_counter()
    found = pretrained.load(
        job.model_folder,
        task.auto_class,
        task.head(),
        pretrained=options.model.pretrained,
        max_length=options.task.max_length,
        seed=options.seed,
        name=options.model.name,
        design=Design(options.model.head, options.model.head_layer, options.model.pooling, options.model.dropout),
    )
    model, tokenizer = found.model, found.tokenizer
    new = found.new if options.model.pretrained else ()
    parts = anatomy(model, new)
    machine = hardware.prepare(options.hardware, sum(p.numel() for p in model.parameters()))
    learning = freeze.Freeze(parts, options.freeze)  # refuses what the model has not, before anything is encoded
    adapted = adapter.put_in(model, parts, learning.ever, options.adapter, options.seed)
    if adapted:  # parameters have other names now, and the trunk's own stay
        parts = anatomy(model, new)
        learning = freeze.Freeze(parts, options.freeze, adapted.base)
    load_seconds = time.perf_counter() - began

    began = time.perf_counter()
    splits = {"train": job.splits.train, "validation": job.splits.validation, "test": job.splits.test}
    encoded = {name: task.encode(examples, tokenizer) for name, examples in splits.items() if examples is not None}
    encode_seconds = time.perf_counter() - began

    prints = audit.fingerprints(dict(model.named_parameters()))
    reuse = features.make(
        options.features,
        model,
        parts,
        learning,
        encoded,
        prints,
        pad=found.pad,
        max_length=options.task.max_length,
        hardware=machine,
        required_by=f"model.head={options.model.head}"
        if options.model.head in SOLVED
        else "features.mode=require" * (options.features.mode == "require"),
        compiled=options.hardware.compile,
    )
    method = transfer.load(
        options.transfer,
        task=task,
        train=encoded["train"],
        batch_size=options.training.batch_size,
        seed=options.seed,
        pad=found.pad,
        hardware=machine,
        forward=reuse,
    )
    stream, solved = next(iter(method.streams().values())), options.model.head in SOLVED
    per_epoch = 1 if solved else stream.steps_per_epoch
    budget = _budget(options, per_epoch)
    if solved:
        require_every_label(options.model.head, encoded["train"], task.labels)
    freeze.apply(model, learning.phases[0])
    used = [split.columns["input_ids"] for split in encoded.values()]
    learns = learning.phases[0].learns
    vocabulary, why = compact.occurring(model, used, found.pad["input_ids"], learns, options.optimizer)
    notes = [*job.splits.notes, *task.notes, *found.notes, *(adapted.notes if adapted else []), *why]
    terminal.plan(rows(job, model, parts, learning, adapted, reuse.words(), machine, budget, per_epoch, path), notes)
    if options.plan:
        return None

    before = {name: prints[name] for name in prints if name not in learning.ever}
    frozen = audit.digest(before)
    compact.shrink(model, vocabulary)
    initial = audit.of_parameters(model, learning.ever)
    model.to(machine.device)
    steps = optimizer.make(model, parts, learning.ever, options.optimizer)
    scaler = machine.scaler()
    environment = describe(job, machine)
    if folder.begun:
        for warning in compare(path / ENVIRONMENT, environment):
            terminal.warn(warning)
    else:
        durable.write_file(path / OVERRIDES, _yaml(mask(job.overrides)))
        durable.write_file(path / CONFIG, _yaml(mask(stored(job.config))))
        durable.write_file(path / ENVIRONMENT, _json(mask(environment)))  # from here on the folder holds this run
    state, metrics_bytes, warnings = checkpoint.restore(
        path / "checkpoints", model=model, ever=learning.ever, optimizer=steps, identity=job.identity, frozen=frozen
    )
    for warning in warnings:
        terminal.warn(warning)
    if state.step:
        terminal.note(f"going on from step {state.step}")
    state.micro_batch_size = state.micro_batch_size or _micro_batch(options)
    state.prints = state.prints or initial
    if scaler.is_enabled() and state.scale:
        scaler.load_state_dict(scaler.state_dict() | {"scale": state.scale, "_growth_tracker": state.scale_growth})
    if options.hardware.compile:
        model.compile()

    log = MetricsLog(path, metrics_bytes)
    board = Board(path)
    board.hyperparameters(hyperparameters(options), at=time.time())
    board.text("config", f"```yaml\n{_yaml(mask(job.config)).decode()}\n```")
    for line in log.lines():
        to_board(board, line, task.labels)

    def score(split: str) -> Evaluation:
        size = options.training.eval_batch_size
        return evaluate(
            model,
            task,
            encoded[split],
            batch_size=size,
            pad=found.pad,
            hardware=machine,
            between=stop_if_asked,
            forward=reuse,
        )

    def enter(phase: freeze.Phase) -> None:
        left = per_epoch if solved else budget.steps - state.step
        seen = [stream.batch(state.step + i) for i in range(left)] if left < per_epoch else None
        warning = reuse.enter(
            phase,
            train_rows=None if seen is None else np.concatenate([np.arange(0), *seen]),
            between=stop_if_asked,
            tell=terminal.storing,
        )
        if warning:
            terminal.warn(warning)

    def stop_if_asked() -> None:
        if signals.asked and signals.training:
            raise Interrupted(f"{signals.asked} at step {state.step}")

    saved = (-1, -1)  # step and evaluation of the last checkpoint

    def save() -> None:
        nonlocal saved
        if saved == (state.step, state.evaluated):
            return
        checkpoint.save(
            path / "checkpoints",
            model=model,
            ever=learning.ever,
            optimizer=steps,
            state=state,
            identity=job.identity,
            frozen=frozen,
            metrics_bytes=log.sync(),
            keep=options.training.keep_checkpoints,
        )
        saved = (state.step, state.evaluated)

    def fit() -> Iterator[Record]:
        if solved:
            enter(learning.phases[0])
            return solve(
                model=model,
                kind=options.model.head,
                read=reuse.read,
                train=encoded["train"],
                freeze=learning,
                evaluate=lambda: score("validation"),
                metric=task.metric,
                higher_is_better=task.higher_is_better,
                budget=budget,
                state=state,
            )
        return train(
            model=model,
            method=method,
            freeze=learning,
            enter=enter,
            optimizer=steps,
            schedule=optimizer.schedule(options.optimizer, budget.steps),
            hardware=machine,
            scaler=scaler,
            evaluate=lambda: score("validation"),
            metric=task.metric,
            higher_is_better=task.higher_is_better,
            budget=budget,
            seed=options.seed,
            state=state,
        )

    every = options.training.checkpoint_every
    success = False
    terminal.start(budget.steps, state.step, state.best_value)
    signals.training = True
    try:
        for record in fit():
            terminal.show(record, task.metric)
            if record.kind != "step":
                to_board(board, log.write(record), task.labels)
            stop_if_asked()
            if (record.kind == "validation") if every is None else (state.step % every == 0):
                save()
        save()
        signals.training = False
        if signals.asked:  # also when it came during the last save
            raise Interrupted(f"{signals.asked} at step {state.step}")
        success = True
    except Interrupted:  # between two steps, or in an evaluation: a resumed run begins with it
        save()
        raise
    finally:
        terminal.stop()
        board.ended(success, at=time.time())
        board.close()

    _, first_moved = audit.end_of_phase(
        model, learning.at(state).learns, state.prints, state.phase_began, state.first_moved
    )
    checkpoint.load_weights(model, learning.ever, state.best_weights)
    began = time.perf_counter()
    split = "validation" if job.splits.test is None else "test"
    enter(learning.at(state))
    final = score(split)  # the test split is looked at here, once, with the model that validation has chosen
    evaluate_seconds = state.evaluate_seconds + time.perf_counter() - began
    compact.expand(model)
    proof = audit.report(before, model, len(learning.ever), first_moved, parts.blocks)
    result = outcome.describe(job, model, learning, state, split, final, proof)
    result |= {
        "epochs": round(state.step / per_epoch, 4),
        "seconds": {
            "total": time.time() - job.started,
            "load": load_seconds,
            "encode": encode_seconds,
            "train": state.train_seconds,
            "evaluate": evaluate_seconds,
        },
        "examples_per_second": state.examples / max(state.train_seconds, 1e-9),
        "peak_memory_mb": machine.peak_memory_mb(),
        "stored_mb": reuse.stored_mb,
        **({"C": GRID[state.best_step - 1]} if solved else {}),
    }
    outcome.write(job, path, model.to("cpu"), tokenizer, adapted, split, final, result)
    durable.write_file(path / RESULT, _json(result))  # last: its presence means done
    terminal.result(result, str(path))
    return result


def _budget(options: Run, per_epoch: int) -> Budget:
    training = options.training
    return Budget(
        steps=len(GRID) if options.model.head in SOLVED else training.max_steps or training.epochs * per_epoch,
        evaluate_every=per_epoch if training.eval_every == "epoch" else training.eval_every,
        log_every=training.log_every,
        clip=training.clip,
        patience=training.early_stopping.patience,
        min_delta=training.early_stopping.min_delta,
        halve_on_oom=training.micro_batch_size == "auto",
    )


def _micro_batch(options: Run) -> int:
    size = options.training.micro_batch_size
    return options.training.batch_size if size == "auto" else size


def _yaml(data: Any) -> bytes:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True).encode()


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()
