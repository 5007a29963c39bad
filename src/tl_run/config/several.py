"""Several tasks in one run: each is composed as if it were typed alone, and then stands under `task.tasks`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import NoneType
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from tl_run.errors import BadInput, BadOption

JOINT = "+"
"""What stands between the names of tasks in the name of a run."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}")
TYPED = ("transfer.options.", "transfer.weights.")
"""Options whose names are the user's tasks: no YAML file can list them."""


def named(task: str, tasks: Any) -> str:
    """What the run is called that learns this task, or several: a list of them, or a map from names to choices."""
    return JOINT.join(map(str, tasks)) if tasks else str(task)


def composed(config: DictConfig) -> DictConfig:
    """With transfer=multitask `task` holds the options of all its tasks, and `transfer.tasks` their names.

    Raises: BadOption where they are no two tasks, or options are given to one that is none of them.
    """
    transfer = config.get("transfer")
    if not isinstance(transfer, DictConfig) or transfer.get("name") != "multitask":
        return config
    typed: Any = OmegaConf.to_container(transfer)
    chosen, given = _chosen(typed["tasks"]), typed["options"] or {}
    if not isinstance(given, dict) or not all(isinstance(own, dict | NoneType) for own in given.values()):
        raise BadOption("transfer.options: a map is needed of each task: type transfer.options.<task>.<option>=...")
    if strange := [name for name in given if name not in chosen]:
        raise BadOption(f"transfer.options.{strange[0]}: the tasks are {', '.join(chosen)}: type one of them")
    tasks = {name: _node(name, choice, given.get(name)) for name, choice in chosen.items()}
    made = config.copy()
    with open_dict(made):
        made.transfer.update({"tasks": [*tasks], "options": None})
        made.task = {
            "name": named("", tasks),
            "kind": "several",
            "epochs": max(int(task["epochs"]) for task in tasks.values()),
            "tasks": tasks,
        }
    return made


def _chosen(tasks: Any) -> dict[str, str]:
    """The choice of the group `task` for each name."""
    names = [*tasks] if isinstance(tasks, list | dict) else [tasks] if tasks else []
    chosen = tasks if isinstance(tasks, dict) else {name: name for name in names}
    if wrong := [name for name in names if not isinstance(name, str) or not NAME.fullmatch(name)]:
        raise BadOption(f"transfer.tasks: '{wrong[0]}' names no folder: type letters, digits, - and _")
    if wrong := [choice for choice in chosen.values() if not isinstance(choice, str)]:
        raise BadOption(f"transfer.tasks: {wrong[0]!r} is no choice of the group task: type its name")
    if len(chosen) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadOption(
            f"transfer.tasks: '{twice}' stands there twice: type transfer.tasks='{{one:{twice},other:{twice}}}', and "
            "transfer.options.other.train=... for other data"
        )
    if len(chosen) < 2:
        only = f", not {names[0]} alone (transfer=finetune task={chosen[names[0]]})" if names else ""
        raise BadOption(f"transfer=multitask needs two tasks or more{only}: type transfer.tasks='[ner,relation]'")
    return chosen


def _node(name: str, choice: str, given: Any) -> dict[str, Any]:
    """The options of one task: those of its YAML, with what is given in their place; Hydra knows the choices."""
    from hydra import compose

    whole = compose("run", [f"task={choice}"])
    OmegaConf.set_struct(whole, False)
    whole.task = OmegaConf.merge(whole.task, given or {})
    node: Any = OmegaConf.to_container(whole.task, resolve=True, throw_on_missing=False)
    return node | {"name": name}


def refuse_typed(config: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Raises: BadOption for an option of `task`, which is not the one task of the run."""
    if config["task"].get("kind") != "several":
        return
    for override in overrides:
        option, _, value = override.lstrip("+~").partition("=")
        first = config["transfer"]["tasks"][0]
        if option == "task":
            raise BadOption(f"{override}: with transfer=multitask tasks are named by transfer.tasks: leave it out")
        if option.startswith("task."):
            raise BadOption(
                f"{override}: with transfer=multitask an option is that of one task: type "
                f"transfer.options.{first}.{option.removeprefix('task.')}={value}"
            )


@contextmanager
def told(name: str) -> Iterator[None]:
    """Inside, what is wrong with `task.<option>` is said of `transfer.options.<name>.<option>`, as it is typed."""
    try:
        yield
    except (BadOption, BadInput) as problem:
        words = re.sub(r"(?<![\w.])task\.(?=\w)", f"transfer.options.{name}.", str(problem))
        known = f"options.{name}." in words or f"task={name}" in words
        raise type(problem)(words if known else f"{name}: {words}") from problem
