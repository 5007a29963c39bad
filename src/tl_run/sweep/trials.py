"""The trials of a study, kept by Optuna in a journal in the sweep's folder: what is tried, and what came of it.

Optuna: Akiba et al. 2019, arXiv 1907.10902; TPE: Bergstra et al. 2011; successive halving: Li et al. 2020, 1810.05934.
"""

import contextlib
import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

from tl_run.errors import BadOption
from tl_run.sweep.ledger import DONE, FAILED, PRUNED, RUNNING

JOURNAL = "study.jsonl"


@dataclass
class Trial:
    """What is tried, and what has come of it so far."""

    number: int
    values: dict[str, Any]
    """Option to value."""
    scores: list[float] = field(default_factory=list)
    """On validation, for each seed that is done."""
    state: str = RUNNING


def name(facts: str) -> str:
    """A study goes on only where it searches the same space with the same data, weights and other options."""
    return f"study-{hashlib.sha256(facts.encode()).hexdigest()[:8]}"


class Trials:
    """Asks Optuna what to try, and tells it what came of it."""

    def __init__(self, folder: Path, study: str, searched: Mapping[str, Any], options: Any, *, maximize: bool) -> None:
        """Begin the study, or go on with it. Raises: BadOption where a grid has no end."""
        import optuna

        self.searched, self.options = dict(searched), options
        self._grid = _grid(self.searched, options.seed) if options.sampler == "grid" else None
        with _quiet():
            self._study = optuna.create_study(
                storage=_storage(folder),
                study_name=study,
                load_if_exists=True,
                direction="maximize" if maximize else "minimize",
            )
            self._study.set_user_attr("pruner", options.pruner)  # for the jobs
            self._study.set_user_attr("startup_trials", options.startup_trials)
        self._left = [trial for trial in self._asked if not trial.state.is_finished()]

    @property
    def _asked(self) -> list[Any]:
        """Without what a start was killed over: a point of the grid that was put in the queue and not yet taken."""
        return [trial for trial in self._study.trials if trial.state.name != "WAITING"]

    @property
    def total(self) -> int:
        """Trials in all; a grid has no more than its points."""
        wanted = max(self.options.n_trials, len(self._asked))
        return wanted if self._grid is None else min(wanted, len(self._grid))

    @property
    def missing(self) -> int:
        """Trials that are to run, or to go on with."""
        return self.total - sum(trial.state.is_finished() for trial in self._asked)

    def next(self, size: int) -> list[Trial]:
        """Up to `size` trials: first those that an earlier start has left unfinished."""
        again, self._left = self._left[:size], self._left[size:]
        trials = [Trial(trial.number, trial.params) for trial in again]
        with _quiet():
            while len(trials) < size and len(self._asked) < self.total:
                number = len(self._asked)
                if self._grid is None:
                    self._study.sampler = self._sampler(number)
                else:
                    self._study.enqueue_trial(self._grid[number], skip_if_exists=True)
                asked = self._study.ask(self.searched)
                trials.append(Trial(asked.number, asked.params))
        return trials

    def tell(self, trial: Trial) -> None:
        """What came of it."""
        from optuna.trial import TrialState

        states = {DONE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}
        score = mean(trial.scores) if trial.state == DONE else None
        with _quiet():
            self._study.tell(trial.number, score, state=states[trial.state])

    def done(self) -> list[dict[str, Any]]:
        """The values of the trials that came to their end."""
        return [trial.params for trial in self._asked if trial.state.name == "COMPLETE"]

    def words(self) -> str:
        """How many trials are in which state."""
        counts = Counter(trial.state.name for trial in self._asked)
        names = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "to go on with"}
        found = [f"{counts[state]} {shown}" for state, shown in names.items() if counts[state]]
        new = self.total - len(self._asked)
        return f"{self.total} trials: {', '.join([*found, *([f'{new} to run'] if new else [])])}"

    def _sampler(self, number: int) -> Any:
        """What suggests the trial of this number, the same after a stop."""
        from optuna import samplers

        seed, startup = self.options.seed, self.options.startup_trials
        if self.options.sampler == "tpe":
            return samplers.TPESampler(
                seed=seed + number, n_startup_trials=startup, multivariate=True, constant_liar=True
            )
        if self.options.sampler == "qmc":
            return samplers.QMCSampler(seed=seed, scramble=True)
        return samplers.RandomSampler(seed=seed + number)


def watch(folder: Path, study: str, number: int) -> Callable[[int, float], bool]:
    """For the job of a trial: report(evaluation, score) says whether it has fallen behind the others and is to end."""
    import optuna
    from optuna import pruners

    with _quiet():
        loaded = optuna.load_study(study_name=study, storage=_storage(folder))
        chosen, startup = loaded.user_attrs["pruner"], loaded.user_attrs["startup_trials"]
        if chosen == "median":
            loaded.pruner = pruners.MedianPruner(n_startup_trials=startup)
        else:
            loaded.pruner = pruners.SuccessiveHalvingPruner() if chosen == "halving" else pruners.NopPruner()
        trial = optuna.trial.Trial(loaded, loaded.trials[number]._trial_id)

    def report(evaluation: int, score: float) -> bool:
        with _quiet():  # after a resume some evaluations come again, with the same score
            trial.report(score, evaluation)
            return bool(trial.should_prune())

    return report


def _grid(searched: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    """All points in a random order, so that the first few are all over the space."""
    points = product(*(_points(key, over) for key, over in searched.items()))
    grid = [dict(zip(searched, point, strict=True)) for point in points]
    Random(seed).shuffle(grid)
    return grid


def _points(key: str, over: Any) -> list[Any]:
    if hasattr(over, "choices"):
        return list(over.choices)
    if over.step is None or over.log:
        raise BadOption(f"hydra.sweeper.sampler=grid: {key} has no end of values: type some, as in {key}=1e-4,3e-4")
    return list(range(over.low, over.high + 1, over.step))


def _storage(folder: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Optuna says what it does, and which of its parts may still change: nothing for who searches."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
