"""The story of a run. Read this first: load, freeze, train, choose, test, audit, save."""

import json
import time
from typing import Any

import torch
import yaml

from tl_run import checkpoint, durable, freeze, hardware, optimizer, outcome, transfer
from tl_run.config.options import Run
from tl_run.console import Terminal
from tl_run.environment import compare, describe
from tl_run.errors import Interrupted
from tl_run.evaluation import Evaluation, evaluate
from tl_run.folder import CONFIG, ENVIRONMENT, OVERRIDES, RESULT, RunFolder
from tl_run.model import attention, compact, pretrained
from tl_run.model.anatomy import anatomy
from tl_run.plan import hyperparameters, rows
from tl_run.prepare import Job, stored
from tl_run.secrets import mask
from tl_run.signals import Signals
from tl_run.tensorboard import Board
from tl_run.training import Budget, train
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
    )
    model, tokenizer = found.model, found.tokenizer
    parts = anatomy(model, found.new if options.model.pretrained else ())
    machine = hardware.prepare(options.hardware, sum(p.numel() for p in model.parameters()))
    learning = freeze.Freeze(parts, options.freeze)  # refuses what the model has not, before anything is encoded
    load_seconds = time.perf_counter() - began

    began = time.perf_counter()
    splits = {"train": job.splits.train, "validation": job.splits.validation, "test": job.splits.test}
    encoded = {name: task.encode(examples, tokenizer) for name, examples in splits.items() if examples is not None}
    encode_seconds = time.perf_counter() - began

    method = transfer.load(
        options.transfer,
        task=task,
        train=encoded["train"],
        batch_size=options.training.batch_size,
        seed=options.seed,
        pad=found.pad,
        hardware=machine,
    )
    per_epoch = next(iter(method.streams().values())).steps_per_epoch
    budget = _budget(options, per_epoch)
    freeze.apply(model, learning.at(0))
    used = [split.columns["input_ids"] for split in encoded.values()]
    vocabulary, why = compact.occurring(model, used, found.pad["input_ids"], learning.at(0).learns, options.optimizer)
    notes = [*job.splits.notes, *task.notes, *found.notes, *why]
    terminal.plan(rows(job, model, parts, learning, machine, budget, path), notes)
    if options.plan:
        return None

    before = freeze.fingerprints(freeze.stays(model, learning.ever))
    frozen = freeze.digest(before)
    initial = freeze.fingerprints({n: p for n, p in model.named_parameters() if n in learning.ever})
    compact.shrink(model, vocabulary)
    if machine.device.type == "cpu" and not options.hardware.compile:
        attention.use(model)
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
            model, task, encoded[split], batch_size=size, pad=found.pad, hardware=machine, between=stop_if_asked
        )

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

    every = options.training.checkpoint_every
    success = False
    terminal.start(budget.steps, state.step, state.best_value)
    signals.training = True
    try:
        for record in train(
            model=model,
            method=method,
            freeze=learning,
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
        ):
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

    checkpoint.load_weights(model, learning.ever, state.best_weights)
    compact.expand(model)
    began = time.perf_counter()
    split = "validation" if job.splits.test is None else "test"
    final = score(split)  # the test split is looked at here, once, with the model that validation has chosen
    evaluate_seconds = state.evaluate_seconds + time.perf_counter() - began
    proof = freeze.audit(before, model, learning.ever, initial)
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
        "stored_mb": 0.0,
    }
    outcome.write(job, path, model.to("cpu"), tokenizer, split, final, result)
    durable.write_file(path / RESULT, _json(result))  # last: its presence means done
    terminal.result(result, str(path))
    return result


def _budget(options: Run, per_epoch: int) -> Budget:
    training = options.training
    return Budget(
        steps=training.max_steps or training.epochs * per_epoch,
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
