"""A run that starts from another run: where its model lies, and what came before, back to the first."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tl_run.errors import BadOption
from tl_run.folder import ENVIRONMENT, RESULT
from tl_run.stored_files import Damaged, read_json


def followed(config: dict[str, Any], overrides: Sequence[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The config with `model.path` from `model.from_run`, and the runs that it follows on, the first one first.

    Raises: BadOption when no finished run lies there, or other options say that the model is another.
    """
    model = config["model"]
    if not (typed := model.get("from_run")):
        return config, []
    option, run = f"model.from_run={typed}", Path(str(typed))
    for other in overrides:
        if other.startswith(("model.path=", "model.revision=")):
            raise BadOption(f"{option} and {other} contradict each other: leave one of the two out")
    if not model["pretrained"]:
        raise BadOption(f"{option} and model.pretrained=false contradict each other: leave one of the two out")
    result = _result(run, option)
    if model["name"] not in (result["model"], "custom"):
        own = "" if result["model"] == "custom" else f"model={result['model']}, or "
        raise BadOption(f"{option}: its model is {result['model']}, not {model['name']}: type {own}model=custom")
    path = _model(run, config["task"]["name"], option)
    return config | {"model": model | {"path": str(path), "revision": None}}, [*_before(result), link(result)]


def link(result: dict[str, Any]) -> dict[str, Any]:
    """What a later run keeps of one that it starts from."""
    return {key: result[key] for key in ("task", "model", "transfer", "identity")}


def words(links: Sequence[dict[str, Any]]) -> str:
    """`snli, stsb`: the tasks that were learned before, and how where that was not fine-tuning."""
    how = ("" if link["transfer"] == "finetune" else f" ({link['transfer']})" for link in links)
    return ", ".join(f"{link['task']}{own}" for link, own in zip(links, how, strict=True))


def _before(result: dict[str, Any]) -> list[dict[str, Any]]:
    return result.get("start", {}).get("chain", [])


def _result(run: Path, option: str) -> dict[str, Any]:
    if not (run / ENVIRONMENT).is_file():
        raise BadOption(f"{option}: no run lies there (a run folder holds {ENVIRONMENT} and {RESULT})")
    try:
        found = read_json(run / RESULT)
        link(found)
    except FileNotFoundError:
        raise BadOption(f"{option}: the run is not finished: tl-run {shlex.quote(f'resume={run}')}") from None
    except (OSError, Damaged, KeyError) as problem:
        raise BadOption(f"{option}: its {RESULT} cannot be read: {problem}") from problem
    return found


def _model(run: Path, task: str, option: str) -> Path:
    """The model of a run; of several tasks that of this one, or of the first: their trunk is the same."""
    if (run / "model" / "config.json").is_file():
        return run / "model"
    tasks = sorted(path.parent for path in (run / "model").glob("*/config.json"))
    if not tasks:
        raise BadOption(f"{option}: its model/ is not there any more")
    return next((path for path in tasks if path.name == task), tasks[0])
