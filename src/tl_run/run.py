"""The story of a run. Read this first: build, plan, train with checkpoints, choose, test, audit, save."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import yaml

from tl_run import audit, checkpoint, durable, freeze, fsdp, optimizer, outcome, projector, transfer
from tl_run.build import Built, build
from tl_run.console import Terminal
from tl_run.distributed import ALONE, Group
from tl_run.doubts import doubts
from tl_run.environment import compare, describe
from tl_run.errors import Interrupted, MachineFault
from tl_run.evaluation import Evaluation, evaluate
from tl_run.folder import CONFIG, ENVIRONMENT, OVERRIDES, RESULT, RunFolder
from tl_run.model import compact
from tl_run.plan import hyperparameters, rows
from tl_run.prepare import Job, stored
from tl_run.secrets import mask
from tl_run.signals import Signals
from tl_run.solve import GRID, solve
from tl_run.sweep.trials import watch
from tl_run.tensorboard import Board
from tl_run.training import Record, train
from tl_run.writers import MetricsLog, to_board


def run(
    job: Job, folder: RunFolder, terminal: Terminal, signals: Signals, group: Group = ALONE
) -> dict[str, Any] | None:
    """Run the job in its folder, from the start or from its newest good checkpoint; returns what result.json holds.

    None where it is only planned, or where others of its study did so much better that it was ended.
    Of several processes all run it, and the one that leads writes.
    """
    built = build(job, group)
    terminal.plan(rows(built, folder.path), built.notes)
    for words in doubts(built):
        terminal.warn(words)
    if job.options.plan:
        return None
    session = Session(built, folder, terminal, signals, group)
    if not session.train():
        return None
    result = session.finish()
    if group.leads:
        durable.write_file(folder.path / RESULT, _json(result))  # last: its presence means done
    terminal.result(result, str(folder.path))
    return result


class Session:
    """A run in its folder: what is written while it trains, and what it leaves."""

    def __init__(
        self, built: Built, folder: RunFolder, terminal: Terminal, signals: Signals, group: Group = ALONE
    ) -> None:
        """Begin, or go on where the newest good checkpoint was made."""
        self.built, self.path, self.terminal, self.signals, self.group = built, folder.path, terminal, signals, group
        self.job, self.options, self.model = built.job, built.job.options, built.model
        ever = built.learning.ever
        self.frozen = {name: value for name, value in built.prints.items() if name not in ever}
        initial = {name: value for name, value in built.prints.items() if name in ever}
        initial |= audit.of_parameters(self.model, compact.shrink(self.model, built.vocabulary))
        if self.options.hardware.shard:  # a copy: what is saved in the end is the model as it was built
            copy = deepcopy(self.model)
            self.model = fsdp.split(copy, built.anatomy.path, built.hardware.device, group.size)
        else:
            self.model.to(built.hardware.device)
        self.optimizer = optimizer.make(self.model, built.anatomy, ever, self.options.optimizer, built.method.rates)
        self.scaler = built.hardware.scaler()
        if group.leads:
            self._begin(folder)
        self.state, metrics_bytes, warnings = checkpoint.restore(
            self.path / "checkpoints",
            model=self.model,
            ever=ever,
            optimizer=self.optimizer,
            identity=self.job.identity,
            frozen=audit.digest(self.frozen),
        )
        self._agree()
        for warning in warnings:
            terminal.warn(warning)
        before = [*self.state.processes.values()][-1:] or [group.size]
        if self.state.step:
            terminal.note(f"going on from step {self.state.step}{_instead(before[0], group.size)}")
        if not self.state.processes or before[0] != group.size:
            self.state.processes[str(self.state.step)] = group.size
        size = self.options.training.micro_batch_size
        fresh_size = self.options.training.batch_size if size == "auto" else size
        self.state.micro_batch_size = self.state.micro_batch_size or fresh_size
        self.state.prints = self.state.prints or initial
        if self.scaler.is_enabled() and self.state.scale:
            growth = {"scale": self.state.scale, "_growth_tracker": self.state.scale_growth}
            self.scaler.load_state_dict(self.scaler.state_dict() | growth)
        if self.options.hardware.compile:
            self.model.compile()
        self._watch: Callable[[int, float], bool] | None = None
        self._saved = (-1, -1)  # step and evaluation of the last checkpoint
        self.log = MetricsLog(self.path, metrics_bytes) if group.leads else None
        self.board = Board(self.path) if group.leads else None

    def _begin(self, folder: RunFolder) -> None:
        environment = describe(self.job, self.built.hardware)
        if folder.begun:
            for warning in compare(self.path / ENVIRONMENT, environment):
                self.terminal.warn(warning)
            return
        durable.write_file(self.path / OVERRIDES, _yaml(mask(self.job.overrides)))
        durable.write_file(self.path / CONFIG, _yaml(mask(stored(self.job.config))))
        durable.write_file(self.path / ENVIRONMENT, _json(mask(environment)))  # from here on the folder holds this run

    def train(self) -> bool:
        """Train, writing records and checkpoints; whether it came to its end, instead of falling behind in a study.

        Raises: Interrupted, with a checkpoint written.
        """
        state, every = self.state, self.options.training.checkpoint_every
        if self.log and self.board:
            self.board.hyperparameters(hyperparameters(self.options), at=time.time())
            self.board.text("config", f"```yaml\n{_yaml(mask(self.job.config)).decode()}\n```")
            self.board.layout(self.job.task.metric)
            for line in self.log.lines():
                to_board(self.board, line, self.job.task.labels)
        success = False
        self.terminal.start(self.built.budget.steps, state.step, state.best_value)
        self.signals.training = True
        try:
            for record in self._fit():
                self.terminal.show(record, self.job.task.metric)
                if record.kind != "step" and self.log and self.board:
                    to_board(self.board, self.log.write(record), self.job.task.labels)
                self._stop_if_asked()
                if (record.kind == "validation") if every is None else (state.step % every == 0):
                    self._save()
                if record.kind == "validation" and self.group.first(partial(self._falls_behind, record)):
                    self._save()
                    self.terminal.note(f"others do better: ended by the study at step {state.step}")
                    return False
            self._save()
            self.signals.training = False
            if self.group.any(self.signals.asked is not None)[0]:  # also when it came during the last save
                raise self._interrupted()
            success = True
            return True
        except Interrupted:  # between two steps, or in an evaluation: a resumed run begins with it
            self._save()
            self.group.wait()  # no rank leaves before that
            raise
        finally:
            self.terminal.stop()
            if self.board:
                with contextlib.nullcontext() if success else contextlib.suppress(OSError):  # it hides no other failure
                    self.board.ended(success, at=time.time())
                    self.board.close()

    def finish(self) -> dict[str, Any]:
        """Score the test split with the chosen model, audit, and write all but result.json, which is returned."""
        built, state = self.built, self.state
        learns = built.learning.at(state).learns
        _, first_moved = audit.end_of_phase(self.model, learns, state.prints, state.phase_began, state.first_moved)
        if self.group.size > 1:
            best = audit.digest(audit.fingerprints(state.best_weights))
            assert {*self.group.gather([best])} == {best}, "the processes have trained other weights than each other"
        checkpoint.load_weights(self.model, built.learning.ever, state.best_weights)
        began = time.perf_counter()
        split = "validation" if self.job.splits.test is None else "test"
        self.job.task.settle(state.best_scores)
        built.reuse.leave()
        self._enter(built.learning.at(state))
        with projector.HeadInputs(self.model, built.anatomy.head, len(self.job.task.labels)) as seen:
            # The test split is looked at here, once, with the model that validation has chosen.
            final = self._score(split)
        evaluate_seconds = state.evaluate_seconds + time.perf_counter() - began
        compact.expand(self.model)
        transfer.take_out(self.model)
        proof = audit.report(self.frozen, self.model, len(built.learning.ever), first_moved, built.anatomy.blocks)
        result = outcome.describe(built, state, split, final, proof)
        result |= {
            "epochs": round(state.step / built.per_epoch, 4),
            "seconds": {
                "total": time.time() - self.job.started,
                **built.seconds,
                "train": state.train_seconds,
                "evaluate": evaluate_seconds,
            },
            "examples_per_second": state.examples / max(state.train_seconds, 1e-9),
            "peak_memory_mb": built.hardware.peak_memory_mb(),
            "stored_mb": built.reuse.stored_mb,
            **({"processes": state.processes} if {*state.processes.values()} != {1} else {}),
            **({"C": GRID[state.best_step - 1]} if built.solved else {}),
        }
        vectors = seen.vectors(built.encoded[split], self.options.training.eval_batch_size, self.group)
        if self.options.hardware.shard:
            self.model = built.model
            checkpoint.load_weights(self.model, built.learning.ever, state.best_weights)
        self.model.to("cpu")
        if self.group.leads:
            if vectors is not None:
                projector.write(self.path, split, vectors, outcome.columns(built, split, final))
            outcome.write(built, self.path, split, final, result)
        return result

    # -- what the loop calls

    def _fit(self) -> Iterator[Record]:
        built, task = self.built, self.job.task
        common: dict[str, Any] = {
            "model": self.model,
            "freeze": built.learning,
            "enter": self._enter,
            "evaluate": lambda: self._score("validation"),
            "metric": task.metric,
            "higher_is_better": task.higher_is_better,
            "budget": built.budget,
            "state": self.state,
        }
        if built.solved:
            kind, data = self.options.model.head, built.encoded["train"]
            project = getattr(built.method, "project", None)
            shown = partial(built.method.scalars, 0, 0.0)
            return solve(kind=kind, read=built.reuse.read, train=data, project=project, shown=shown, **common)
        return train(
            method=built.method,
            optimizer=self.optimizer,
            schedule=optimizer.schedule(self.options.optimizer, built.budget.steps),
            hardware=built.hardware,
            scaler=self.scaler,
            seed=self.options.seed,
            group=self.group,
            **common,
        )

    def _score(self, split: str) -> Evaluation:
        return self.built.method.evaluate(self.model, split, self._score_as_it_is, self._stop_if_asked)

    def _score_as_it_is(self, split: str) -> Evaluation:
        score = partial(
            evaluate,
            batch_size=self.options.training.eval_batch_size,
            pad=self.built.found.pad,
            hardware=self.built.hardware,
            between=self._stop_if_asked,
            forward=self.built.reuse,
            group=self.group,
        )
        return self.job.task.scored(self.model, self.built.encoded[split], score)

    def _enter(self, phase: freeze.Phase) -> None:
        """The store shall have what this phase reads: of the training examples those that it will see."""
        built, left = self.built, self.built.budget.steps - self.state.step
        seen = None
        if left < built.per_epoch:
            stream = next(iter(built.method.streams().values()))
            seen = np.concatenate([np.arange(0), *(stream.batch(self.state.step + i) for i in range(left))])
            seen = built.encoded["train"].reads(seen)
        while not self.group.leads and not self._stop_if_asked():
            pass  # one rank fills the store, and the others find there what they read
        warning = built.reuse.enter(
            phase,
            train_rows=seen,
            between=lambda: self.group.leads and self._stop_if_asked(),
            tell=self.terminal.storing,
        )
        if self.group.leads:
            self._stop_if_asked(done=True)
        if warning:
            self.terminal.warn(warning)

    def _save(self) -> None:
        if self._saved == (self.state.step, self.state.evaluated):
            return
        if not (self.log or self.options.hardware.shard):
            return
        checkpoint.save(
            self.path / "checkpoints" if self.log else None,
            model=self.model,
            ever=self.built.learning.ever,
            optimizer=self.optimizer,
            state=self.state,
            identity=self.job.identity,
            frozen=audit.digest(self.frozen),
            metrics_bytes=self.log.sync() if self.log else 0,
            keep=max(1, self.options.training.keep_checkpoints),
            ids=self.built.method.ids,
        )
        self._saved = (self.state.step, self.state.evaluated)

    def _falls_behind(self, record: Record) -> bool:
        """Whether its study ends it, for others do better; at the end of training there is nothing left to save."""
        sweep, budget = self.options.sweep, self.built.budget
        if sweep.study is None or sweep.trial is None:
            return False
        self._watch = self._watch or watch(self.path.parent, sweep.study, sweep.trial)
        evaluation = -(-record.step // budget.evaluate_every)
        return self._watch(evaluation, record.values[self.job.task.metric]) and record.step < budget.steps

    def _stop_if_asked(self, done: bool = False) -> bool:
        """Whether some rank is done with what the others wait for. Raises: Interrupted, on all of them, if one was."""
        asked, done = self.group.any(self.signals.training and self.signals.asked is not None, done)
        if asked:
            raise self._interrupted()
        return done

    def _interrupted(self) -> Interrupted:
        asked = next(name for name in self.group.gather([self.signals.asked]) if name)
        return Interrupted(f"{asked} at step {self.state.step}")

    def _agree(self) -> None:
        """Raises: MachineFault when the processes do not begin with the same."""
        mine = (audit.digest(self.built.prints), self.state.step)
        if any(other != mine for other in self.group.gather([mine])):
            raise MachineFault(
                f"the processes have loaded other weights than each other, or other checkpoints (here of step "
                f"{mine[1]}): {self.path} must lie on a disk that all nodes share"
            )


def _instead(before: int, now: int) -> str:
    if before == now:
        return ""
    return f" with {now} process{'es' if now > 1 else ''} instead of {before}: the same data order, not the same bits"


def _yaml(data: Any) -> bytes:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True).encode()


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()
