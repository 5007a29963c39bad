"""hydra/sweeper=grid and hydra/sweeper=study, as Hydra finds them; what they do is in tl_run/sweep/.

Hydra imports this file at every start, without putting it into sys.modules: no heavy imports, no postponed annotations.
"""

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn


class GridSweeper(BasicSweeper):
    """Every combination once, a failing job fails alone, and each failure is named at the end.

    Hydra's own basic sweeper reports only the first failure, writes the config with secrets in clear, and runs equal
    jobs twice.
    """

    def sweep(self, arguments: list[str]) -> list[JobReturn]:
        """Run all jobs. Raises: JobsFailed after the last one, naming every job that failed."""
        from tl_run.sweep import grid
        from tl_run.sweep.sweeping import Sweeping

        return grid.sweep(Sweeping.of(self), [*self._parse_config(), *arguments], self.max_batch_size)


class StudySweeper(BasicSweeper):
    """A search by Optuna; public plugins for Hydra 1.3 need Optuna 2."""

    def __init__(self, params: dict[str, str] | None, **options: Any) -> None:
        """Options as configs/hydra/sweeper/study.yaml names them."""
        super().__init__(None, params)
        self.options = options

    def sweep(self, arguments: list[str]) -> list[JobReturn]:
        """Run all trials. Raises: JobsFailed after the last one, naming every trial that failed."""
        from tl_run.sweep import study
        from tl_run.sweep.sweeping import Sweeping

        options = study.checked(self.options)
        return study.sweep(Sweeping.of(self), [*self._parse_config(), *arguments], options)
