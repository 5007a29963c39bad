"""What every sweeper does with jobs: compose their configs, launch those that are not done, tell what came of them."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from omegaconf import DictConfig

from tl_run.console import Terminal
from tl_run.errors import Interrupted, JobsFailed
from tl_run.failures import in_words
from tl_run.folder import check_name
from tl_run.signals import Signals
from tl_run.sweep.plan import Plan, Planned, plan
from tl_run.sweep.summary import settings

Composed = tuple[list[str], DictConfig]  # overrides, and the config that they make


@dataclass
class Sweeping:
    """The sweep's folder, and what Hydra gave its sweeper."""

    config: DictConfig
    loader: Any
    launcher: Any
    terminal: Terminal = field(default_factory=Terminal)
    failures: list[tuple[list[str], str]] = field(default_factory=list)
    """Overrides and reason of each job that failed."""
    meant: set[str] = field(default_factory=set)
    """Overrides that some job has a use for."""

    @classmethod
    def of(cls, sweeper: Any) -> Self:
        """From a sweeper that Hydra has set up."""
        return cls(sweeper.config, sweeper.hydra_context.config_loader, sweeper.launcher)

    @property
    def folder(self) -> Path:
        """One for the whole sweep, also where its jobs are of different tasks."""
        return check_name(Path(str(self.config.hydra.sweep.dir)))

    def parse(self, arguments: Sequence[str]) -> list[Override]:
        """What was typed. Raises: HydraException."""
        return OverridesParser.create(config_loader=self.loader).parse_overrides(list(arguments))

    def plan(self, grid: Sequence[list[str]]) -> Plan:
        """The jobs for these overrides, each once; bad options and bad input of one are its own."""
        folder = "hydra.sweep.dir='" + re.sub(r"(['\\])", r"\\\1", str(self.folder)) + "'"
        valid, refused = self.compose([[*job, folder] for job in grid])
        made = plan(valid, refused, repeats=len(grid) - len(valid) - len(refused))
        self.failures += [(job, in_words(problem)[1]) for job, problem in made.refused]
        return made

    def launch(self, jobs: Sequence[Planned], first: int) -> list[JobReturn]:
        """Run jobs through Hydra's launcher, numbered from `first`. Raises: Interrupted, also while others run them."""
        try:
            with Signals():
                overrides = [job.launched for job in jobs]
                returns = list(self.launcher.launch(overrides, initial_job_idx=first)) if jobs else []
        except Interrupted as stop:
            raise Interrupted(f"{stop}; the same command goes on with the sweep") from None
        for done in returns:
            if done.status != JobStatus.COMPLETED:
                self.failures.append((list(done.overrides or []), in_words(done._return_value)[1]))
        return returns

    def tell(self, jobs: Sequence[Planned]) -> None:
        """The table of settings, and where there is more."""
        done = settings(jobs)
        self.terminal.summary(done)
        if done:
            self.terminal.note(f"tables and pictures: tl-report {shlex.quote(str(self.folder))}")

    def end(self, total: int) -> None:
        """Raises: JobsFailed where any of `total` jobs did."""
        if self.failures:
            raise JobsFailed.of(total, self.failures)

    def compose(self, grid: list[list[str]]) -> tuple[list[Composed], list[tuple[list[str], Exception]]]:
        """Jobs with their configs, without repeats, and those that cannot be composed.

        An option that only another job's choice has (`-m freeze=none,bottom freeze.layers=4`) is left out where it
        means nothing.
        """
        refused: list[tuple[list[str], Exception]] = []
        stripped: list[tuple[list[str], list[str], DictConfig, dict[str, Exception]]] = []
        for job in grid:
            left, unknown = list(job), {}
            while isinstance(made := self._load(left), Exception) and (
                key := getattr(made.__cause__, "full_key", None)
            ):
                rest = [override for override in left if not (key and _sets(override, key))]
                if len(rest) == len(left):
                    break
                left, unknown[key] = rest, made
            if isinstance(made, Exception):
                refused.append((job, made))
            else:
                stripped.append((job, left, made, unknown))
        self.meant |= {override for _, left, _, _ in stripped for override in left}
        composed: dict[tuple[str, ...], DictConfig] = {}
        for job, left, config, unknown in stripped:
            nowhere = [each for key, each in unknown.items() if not any(_sets(o, key) for o in self.meant)]
            if nowhere:
                refused.append((job, nowhere[0]))
            else:
                composed[tuple(left)] = config
        return [(list(job), config) for job, config in composed.items()], refused

    def _load(self, job: list[str]) -> DictConfig | HydraException:
        try:
            return self.loader.load_sweep_config(self.config, job)
        except HydraException as problem:
            return problem


def _sets(override: str, key: str) -> bool:
    return re.match(rf"\+{{0,2}}{re.escape(key)}=", override) is not None
