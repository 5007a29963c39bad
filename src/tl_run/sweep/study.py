"""hydra/sweeper=study: a search that goes on where it was stopped.

Each trial is an ordinary job with a folder and an identity of its own; over several seeds its score is their mean.
What a trial tries is a function of the study's seed, its number and the trials before it: a study that was stopped and
went on ends as one that was not, as long as one trial runs at a time.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hydra.core.utils import JobReturn, JobStatus

from tl_run import durable
from tl_run.config import schema
from tl_run.config.options.ranges import Count, Whole
from tl_run.lock import Lock
from tl_run.sweep import ledger
from tl_run.sweep.board import Board
from tl_run.sweep.ledger import DONE, FAILED, PRUNED, RUNNING
from tl_run.sweep.plan import Planned
from tl_run.sweep.space import Space, space
from tl_run.sweep.summary import SEED
from tl_run.sweep.sweeping import Sweeping
from tl_run.sweep.trials import Trial, Trials, name


@dataclass(frozen=True)
class Options:
    """hydra.sweeper.* of a study."""

    n_trials: Count
    """In all, those of earlier starts included."""
    sampler: Literal["tpe", "random", "grid", "qmc"]
    pruner: Literal["median", "none", "halving"]
    startup_trials: Whole
    """Trials before the sampler learns from the others, and before any is pruned."""
    seed: Whole
    n_jobs: Count | None
    """Trials at once; null: as many as the launcher runs."""


def checked(options: dict[str, Any]) -> Options:
    """Raises: BadOption naming the option."""
    return schema.build(Options, options, "hydra.sweeper")


def sweep(sweeping: Sweeping, arguments: list[str], options: Options) -> list[JobReturn]:
    """Run trials until there are `n_trials`, tell. Raises: JobsFailed at the end, naming every trial that failed."""
    over, terminal, folder = space(sweeping.parse(arguments)), sweeping.terminal, sweeping.folder
    first = _first(sweeping, over)
    durable.make_folder(folder)
    with Lock(folder):  # two starts would both go on with the same trials
        study = name(f"{first.identity} {over.words} {over.seeds}")
        trials = Trials(folder, study, over.searched, options, maximize=first.higher_is_better)
        terminal.plan([("study", f"{trials.words()}, in {folder}"), ("searched", over.words)], [])
        if first.only_planned:
            return []
        if trials.missing:
            ledger.note(folder, ledger.BEGUN, arguments)
        returns: list[JobReturn] = []
        keys = [*over.searched, SEED]
        with Board(terminal.console, folder, keys, total=trials.missing * len(over.seeds)) as board:
            while batch := trials.next(options.n_jobs or _at_once(sweeping)):
                returns += _run(sweeping, over, batch, study, board)
                for trial in batch:
                    trials.tell(trial)
        done = [over.job(values, seed) for values in trials.done() for seed in over.seeds]
        sweeping.tell(sweeping.plan(done).jobs)
        terminal.note(trials.words())
    sweeping.end(trials.total)
    return returns


def _first(sweeping: Sweeping, over: Space) -> Planned:
    """A job to learn from what all have in common. Raises: what is wrong with it, or with any choice."""
    _, refused = sweeping.compose([over.job(values) for values in over.star()])
    corner = sweeping.plan([over.job(over.corner)])
    if problems := [*refused, *corner.refused]:
        raise problems[0][1]
    return corner.jobs[0]


def _at_once(sweeping: Sweeping) -> int:
    """Jobs that Hydra's launcher runs at a time."""
    jobs = sweeping.config.hydra.launcher.get("n_jobs", 1)
    return jobs if jobs > 0 else os.cpu_count() or 1


def _run(sweeping: Sweeping, over: Space, batch: Sequence[Trial], study: str, board: Board) -> list[JobReturn]:
    """These trials at once, one seed after the other; who is pruned at the first seed has no second."""
    returns = []
    for seed in over.seeds:
        jobs: dict[str, Planned] = {}
        owners: dict[str, list[Trial]] = {}  # two trials may try the same
        for trial in batch:
            if trial.state != RUNNING:
                continue
            watched = [f"sweep.study={study}", f"sweep.trial={trial.number}"] if seed == over.seeds[0] else []
            plan = sweeping.plan([over.job(trial.values, seed) + watched])
            trial.state = FAILED if plan.refused else RUNNING
            for job in plan.jobs:
                jobs.setdefault(job.identity, job)
                owners.setdefault(job.identity, []).append(trial)
        waiting = [job for job in jobs.values() if job.state != DONE]
        board.add(waiting)
        ended = sweeping.launch(waiting, first=batch[0].number)
        returns += ended
        failed = {job.identity for job, back in zip(waiting, ended, strict=True) if back.status != JobStatus.COMPLETED}
        for job in jobs.values():
            for trial in owners[job.identity]:
                if job.state == DONE:
                    trial.scores.append(job.result["validation"][job.metric])
                else:
                    trial.state = FAILED if job.identity in failed else PRUNED
    for trial in batch:
        trial.state = DONE if trial.state == RUNNING else trial.state
    return returns
