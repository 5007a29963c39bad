"""hydra/sweeper=grid: every combination once, a failing job fails alone, and each failure is named at the end.

Hydra's own basic sweeper reports only the first failure, writes the config with secrets in clear, and runs equal jobs
twice.
Hydra imports this file at every start, without putting it into sys.modules: no heavy imports, no postponed annotations.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException


@dataclass
class GridConf:
    """Options of the sweeper, as Hydra's basic one has them."""

    _target_: str = "hydra_plugins.tl_run_sweeper.GridSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = field(default=None)


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridConf, provider="tl-run")


class GridSweeper(BasicSweeper):
    """Sweeps the grid of all values."""

    def sweep(self, arguments: list[str]) -> list[JobReturn]:
        """Run all jobs. Raises: JobsFailed after the last one, naming every job that failed."""
        from tl_run.console import Terminal
        from tl_run.errors import JobsFailed
        from tl_run.failures import in_words
        from tl_run.sweep import ledger
        from tl_run.sweep.board import Board
        from tl_run.sweep.plan import plan
        from tl_run.sweep.summary import settings

        assert self.config is not None
        assert self.launcher is not None
        assert self.hydra_context is not None
        loader = self.hydra_context.config_loader
        overrides = OverridesParser.create(config_loader=loader).parse_overrides([*self._parse_config(), *arguments])
        # The sweep has one folder, also where its jobs are of different tasks.
        where = str(self.config.hydra.sweep.dir)
        folder = "hydra.sweep.dir=" + _quoted(where)
        grid = [[*job, folder] for batch in self.split_arguments(overrides, None) for job in batch]
        valid, refused = self._compose(grid)
        composed = ((job, loader.load_sweep_config(self.config, job)) for job in valid)
        sweep = plan(composed, refused, repeats=len(grid) - len(valid) - len(refused))
        terminal = Terminal()
        terminal.plan(sweep.rows(where), [])
        failures = [(job, in_words(problem)[1]) for job, problem in sweep.refused]
        returns: list[JobReturn] = []
        if any(job.only_planned for job in sweep.jobs):
            terminal.jobs(sweep.jobs)
        else:
            waiting = [job.launched for job in sweep.waiting]
            if waiting:
                ledger.note(Path(where), ledger.BEGUN, arguments)
            size = self.max_batch_size or max(len(waiting), 1)
            with Board(terminal.console, Path(where), sweep.jobs):
                for start in range(0, len(waiting), size):
                    returns += self.launcher.launch(waiting[start : start + size], initial_job_idx=start)
            terminal.summary(settings(sweep.jobs))
        for done in returns:
            if done.status != JobStatus.COMPLETED:
                failures.append((list(done.overrides or []), in_words(done._return_value)[1]))
        if failures:
            raise JobsFailed.of(len(grid), failures)
        return returns

    def _compose(self, grid: list[list[str]]) -> tuple[list[list[str]], list[tuple[list[str], Exception]]]:
        """Jobs whose config composes, without repeats, and those that cannot be composed.

        An option that only another job's choice has (`-m freeze=none,bottom freeze.layers=4`) is left out where it
        means nothing.
        """
        refused: list[tuple[list[str], Exception]] = []
        stripped: list[tuple[list[str], list[str], dict[str, Exception]]] = []
        for job in grid:
            left, unknown = list(job), {}
            while (problem := self._problem(left)) and (key := getattr(problem.__cause__, "full_key", None)):
                rest = [override for override in left if not _sets(override, key)]
                if len(rest) == len(left):
                    break
                left, unknown[key] = rest, problem
            if problem:
                refused.append((job, problem))
            else:
                stripped.append((job, left, unknown))
        meant = {override for _, left, _ in stripped for override in left}
        composed: list[tuple[str, ...]] = []
        for job, left, unknown in stripped:
            nowhere = [each for key, each in unknown.items() if not any(_sets(override, key) for override in meant)]
            if nowhere:
                refused.append((job, nowhere[0]))
            else:
                composed.append(tuple(left))
        return [list(job) for job in dict.fromkeys(composed)], refused

    def _problem(self, job: list[str]) -> Exception | None:
        assert self.hydra_context is not None
        assert self.config is not None
        try:
            self.hydra_context.config_loader.load_sweep_config(self.config, job)
        except HydraException as problem:
            return problem
        return None


def _quoted(text: str) -> str:
    return "'" + re.sub(r"(['\\])", r"\\\1", text) + "'"


def _sets(override: str, key: str) -> bool:
    return re.match(rf"\+{{0,2}}{re.escape(key)}=", override) is not None
