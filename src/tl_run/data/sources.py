"""Where the rows of each split come from: the user's files, the embedded sets, or a dataset folder of the hub."""

from collections.abc import Callable
from pathlib import Path

from tl_run import embedded
from tl_run.config.options import AnyTask
from tl_run.data import hub_layout
from tl_run.data.table import Table
from tl_run.errors import BadInput


def read(options: AnyTask, folder: Path | None, open: Callable[[Path], Table]) -> dict[str, Table]:
    """Rows of train, and of validation and test where the task has them.

    `folder` holds the dataset when `task.dataset` names one; `open` is the kind's. What is to be scored of another
    domain takes the place of the test split. Raises: BadInput.
    """
    tables = _of_the_task(options, folder, open)
    return tables | ({"test": open(embedded.locate(options.domain.test))} if options.domain.test else {})


def _of_the_task(options: AnyTask, folder: Path | None, open: Callable[[Path], Table]) -> dict[str, Table]:
    if folder is not None:
        from tl_run.data import hub_data

        test = None if options.domain.test else options.splits.test
        names = {"train": options.splits.train, "validation": options.splits.validation, "test": test}
        there = hub_data.splits(folder, options.subset)
        for split in ("validation", "test"):
            if names[split] and names[split] not in there:
                instead = {"validation": "a part of train is held out", "test": "nothing is scored at the end"}[split]
                raise BadInput(
                    f"task.splits.{split}: {hub_layout.title(folder)} has no split '{names[split]}', it has "
                    f"{hub_layout.some(there)}: type one of them, or task.splits.{split}=null ({instead})"
                )
        return {split: hub_data.read_split(folder, options.subset, name) for split, name in names.items() if name}
    test = None if options.domain.test else options.test
    paths = {"train": options.train, "validation": options.validation, "test": test}
    return {split: open(embedded.locate(path)) for split, path in paths.items() if path}
