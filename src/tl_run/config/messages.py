"""Hydra's complaints in the user's words: which option, what exists, what was probably meant."""

import re
import shlex
from pathlib import Path

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
    SearchPathException,
)
from omegaconf.errors import OmegaConfBaseException

from tl_run.config.check import GROUPS, uninterpolated
from tl_run.config.names import did_you_mean
from tl_run.config.typed import lookalikes


def folder() -> Path:
    """Where the YAML files are: inside the wheel, or beside src in a checkout."""
    packed = Path(__file__).resolve().parents[1] / "configs"
    return packed if packed.is_dir() else Path(__file__).resolve().parents[3] / "configs"


def explain(problem: Exception) -> str | None:
    """One to three lines for what Hydra raised while composing, or None when it is none of its composition errors."""
    if isinstance(problem, MissingConfigException):
        return _no_choice(problem)
    if isinstance(problem, OverrideParseException):
        line = str(problem).splitlines()[0]
        if plain := lookalikes(str(problem.override)):
            return (
                f"'{problem.override}' has signs that only look like '-' or a quotation mark: type {shlex.quote(plain)}"
            )
        return (
            f"'{problem.override}' cannot be read as option=value: {line}\n"
            f"  put quotes around special characters, and others around them for the shell: {_typed(problem.override)}"
        )
    if isinstance(problem, ConfigCompositionException):
        return _no_option(problem)
    if isinstance(problem, SearchPathException):
        return f"--config-dir: {problem}"
    if isinstance(problem, HydraException):
        return str(problem).splitlines()[0]
    if isinstance(problem, OmegaConfBaseException):
        return uninterpolated(problem)
    return None


def _typed(override: object) -> str:
    """The override with its value in quotes for Hydra, and all of it in quotes for the shell."""
    name, equals, value = str(override).partition("=")
    quoted = value.replace('"', '\\"')
    return shlex.quote(f'{name}="{quoted}"') if equals else "'task.train=\"my file.csv\"'"


def _no_choice(problem: MissingConfigException) -> str:
    found = re.search(r"'([^']+)'", str(problem))
    missing = problem.missing_cfg_file or (found.group(1) if found else "")
    group, _, choice = missing.rpartition("/")
    if missing.partition("/")[0] in GROUPS:  # a path or a hub id as a choice has slashes of its own
        group, _, choice = missing.partition("/")
    if not group:
        return str(problem).splitlines()[0]
    choices = sorted(problem.options or [path.stem for path in (folder() / group).glob("*.yaml")])
    inside = re.match(r"In '([^']+)'", str(problem))
    where = f"{inside[1]}.yaml: " if inside and inside[1] != "run" else ""
    near = "" if "/" in choice else did_you_mean(choice, choices)
    return (
        f"{where}there is no {group} named '{choice}'.{near}{_by_its_place(group, choice)}\n"
        f"  {group} is one of: {', '.join(choices) or '(none)'}"
    )


def _by_its_place(group: str, choice: str) -> str:
    """A folder, hub id or file as the choice: it has an option of its own."""
    if group == "model" and choice:
        return f" For a folder or hub id type model=custom model.path={choice}"
    if group == "task" and Path(choice).suffix.lower() in (".csv", ".tsv", ".json", ".jsonl", ".parquet"):
        return f" For your own file type task=classification task.train={choice}"
    return ""


def _no_option(problem: ConfigCompositionException) -> str:
    cause = problem.__cause__
    first = str(problem).splitlines()[0]
    ambiguous = re.search(r"Ambiguous value for argument '([^'=]+)=([^']+)'", str(problem))
    if ambiguous:
        name, value = ambiguous.groups()
        return (
            f"{name}={value} is a sweep of several values: type tl-run -m {shlex.quote(f'{name}={value}')}\n"
            f"  or, for one value with a comma in it: {_typed(f'{name}={value}')}"
        )
    group = re.search(r"Could not override '([^'@=]+)'", first)
    key = getattr(cause, "full_key", None) or (group.group(1) if group else "")
    if there := re.search(r"An item is already at '([^']+)'", first):
        return f"{there[1]} is an option already: type {there[1]}=..., without '+'"
    if not key or "@" in first:
        return first
    if key in GROUPS:
        return f"there is no {key} to choose: no YAML file lies in a folder named {key} (--config-dir adds yours)"
    parent = getattr(cause, "parent_node", None)
    within = key.rpartition(".")[0]
    known = [f"{within}.{name}" if within else str(name) for name in (parent.keys() if parent is not None else GROUPS)]
    if not within:
        known = [*dict.fromkeys([*known, *GROUPS])]
    near = did_you_mean(key, known, options=True)
    options = f"\n  {within} has: {', '.join(name.rpartition('.')[2] for name in known)}" if within and known else ""
    return f"there is no option '{key}'.{near}{options}"
