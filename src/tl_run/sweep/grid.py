"""hydra/sweeper=grid: every combination of the values that were typed."""

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn

from tl_run.sweep import ledger
from tl_run.sweep.board import Board
from tl_run.sweep.plan import varied
from tl_run.sweep.sweeping import Sweeping


def sweep(sweeping: Sweeping, arguments: list[str], batch_size: int | None) -> list[JobReturn]:
    """Plan, run what is not done, tell. Raises: JobsFailed after the last job, naming every one that failed."""
    chunks = BasicSweeper.split_arguments(sweeping.parse(arguments), None)
    grid = [job for chunk in chunks for job in chunk]
    plan, terminal = sweeping.plan(grid), sweeping.terminal
    terminal.plan(plan.rows(str(sweeping.folder)), [])
    returns: list[JobReturn] = []
    if any(job.only_planned for job in plan.jobs):
        terminal.jobs(plan.jobs)
    else:
        waiting = plan.waiting
        if waiting:
            ledger.note(sweeping.folder, ledger.BEGUN, arguments)
        size = batch_size or max(len(waiting), 1)
        keys = varied(job.overrides for job in plan.jobs)
        board = Board(terminal.console, sweeping.folder, keys, total=len(plan.jobs))
        board.add(plan.jobs)
        with board:
            for start in range(0, len(waiting), size):
                returns += sweeping.launch(waiting[start : start + size], start)
        sweeping.tell(plan.jobs)
    sweeping.end(len(grid))
    return returns
