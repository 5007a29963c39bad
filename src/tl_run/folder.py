"""One rule for the same run again: done is told, unfinished goes on, another run is refused and nothing is touched."""

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tl_run import durable
from tl_run.errors import BadCheckpoint, BadOption
from tl_run.identity import essence
from tl_run.lock import Lock
from tl_run.secrets import mask, scrub
from tl_run.stored_files import Damaged, read_json, read_yaml

ENVIRONMENT, RESULT, CONFIG, OVERRIDES = "environment.json", "result.json", "config.yaml", "overrides.yaml"
TERMINAL, LOG = "terminal.log", "tl-run.log"
"""What a job of a sweep would have printed; where the traceback of a fault goes."""


PROCESSES = "hardware.processes"


@dataclass(frozen=True)
class RunFolder:
    """A locked folder, and what an earlier start has left in it."""

    path: Path
    result: dict[str, Any] | None
    """The stored result, when the run is done."""
    begun: bool
    """An earlier start of the same run was here and did not finish."""


@contextlib.contextmanager
def enter(path: Path, *, fresh: bool, config: dict[str, Any], identity: str) -> Iterator[RunFolder]:
    """Hold the run's folder. `fresh`: its name was made from the time, and a second start takes another name.

    Raises: BadCheckpoint when another run lies there, InUse when another process works there.
    """
    mine = claim_fresh(path) if fresh else path
    if not fresh:
        durable.make_folder(path)
        if links := sorted(each.name for each in path.iterdir() if each.is_symlink()):
            raise BadCheckpoint(
                f"{path / links[0]} is a link, and nothing is written through one: put there what it leads to"
            )
    with Lock(mine):
        durable.settle(mine)
        durable.clean(mine, locked=True)
        durable.clean(mine / "checkpoints", locked=True)
        try:
            yield _look(mine, config, identity)
        finally:  # still locked: an empty folder may be that of a start which is loading its model
            let_go(mine)


def _look(path: Path, config: dict[str, Any], identity: str) -> RunFolder:
    if not (path / ENVIRONMENT).is_file():
        there = {p.name for p in path.iterdir() if not p.name.startswith(".")} - {TERMINAL, LOG}
        # A start that died before environment.json leaves the files before it: overrides.yaml, then config.yaml.
        if strange := there - ({OVERRIDES, CONFIG} if OVERRIDES in there else set()):
            raise BadCheckpoint(
                f"{path} holds other files ({', '.join(sorted(strange)[:3])}) and no run; nothing was touched. "
                "Type another hydra.run.dir"
            )
        return RunFolder(path, None, False)
    try:
        found = read_json(path / ENVIRONMENT)["identity"]
    except (Damaged, KeyError) as problem:
        raise BadCheckpoint(f"{path / ENVIRONMENT} is damaged; nothing was touched") from problem
    if found != identity:
        words = _differences(path, config)
        remedy = "Type another hydra.run.dir, or resume=<folder> alone to go on with the run that is there"
        if words.startswith(f"{PROCESSES} was") and ";" not in words:
            remedy = "To go on with it all the same, in the same data order but not to the same bits: "
            remedy += "type hardware.elastic=true too"
        raise BadCheckpoint(f"{path} holds another run; nothing was touched.\n  Different: {words}\n  {remedy}")
    result = None
    if (path / RESULT).is_file():
        try:
            result = read_json(path / RESULT)
        except Damaged as problem:
            raise BadCheckpoint(f"{path / RESULT} is damaged: remove it, and the run goes on from its end") from problem
    return RunFolder(path, result, True)


def stored_config(folder: Path) -> dict[str, Any]:
    """A run's own config."""
    try:
        stored = read_yaml(folder / CONFIG)
    except (OSError, Damaged) as problem:
        raise BadCheckpoint(f"{folder / CONFIG} cannot be read: {problem}") from problem
    if not all(isinstance(stored.get(group), dict) for group in ("task", "model", "hardware")):
        raise BadCheckpoint(f"{folder / CONFIG} is no config of a run: task, model and hardware are needed")
    return {key: value for key, value in stored.items() if key not in ("resume", "plan")}


def _differences(path: Path, config: dict[str, Any]) -> str:
    try:
        before = flat(essence(read_yaml(path / CONFIG)))
    except (OSError, Damaged):
        return "its config.yaml cannot be read"
    now = flat(essence(config))
    keys = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
    none = {PROCESSES: 1}  # what is left out of the essence
    words = [f"{key} was {before.get(key, none.get(key))}, now {now.get(key, none.get(key))}" for key in keys[:3]]
    return "; ".join(words) or "the content of the data or of the starting weights"


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    found = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def check_name(path: Path) -> Path:
    """The path of a run or sweep. Raises: BadOption where its name would show a secret."""
    if scrub(str(path)) != str(path):
        raise BadOption(
            f"{path}: a folder would show this secret in its name: type another hydra.run.dir, hydra.sweep.dir, "
            "sweep.name or task.name"
        )
    return path


def claim_fresh(path: Path) -> Path:
    """Hydra has made the folder already, perhaps for two starts at once: whoever creates `.lock` first has it."""
    durable.make_folder(path)
    try:
        (path / ".lock").touch(exist_ok=False)
    except FileExistsError:
        mine = durable.claim(path)
        (mine / ".lock").touch()
        return mine
    return path


def let_go(path: Path) -> None:
    """Of a folder that was claimed, and in which nothing was written, nothing stays."""
    if path.is_dir() and {p.name for p in path.iterdir()} == {".lock"}:
        (path / ".lock").unlink()
        drop_if_empty(path)


def drop_if_empty(path: Path) -> None:
    """A start that wrote nothing (bad input, --plan) leaves nothing, nor empty folders between it and where we are."""
    here = Path.cwd()
    with contextlib.suppress(OSError):  # the first folder that holds something refuses to go
        for folder in (path.absolute(), *path.absolute().parents):
            if folder == here or (folder != path.absolute() and here not in folder.parents):
                return
            folder.rmdir()


def job_folder(sweep: Path, overrides: Sequence[str], identity: str) -> Path:
    """Where a job of a sweep has its folder: the one that holds this very run, also if it was typed otherwise."""
    for path in sorted(sweep.glob(f"*{identity[:8]}")):
        if _identity(path) == identity:
            return path
    return sweep / job_name(overrides, identity)


def _identity(path: Path) -> str | None:
    try:
        return read_json(path / ENVIRONMENT)["identity"]
    except (OSError, Damaged, KeyError):
        return None


def of_the_run(overrides: Iterable[str]) -> list[str]:
    """Those that say what a run is, and not where it lies, in which sweep, or whether it is only planned."""
    others = ("sweep", "hydra", "plan", "resume")
    return [o for o in overrides if o.lstrip("+~").partition("=")[0].split(".")[0] not in others]


def job_name(overrides: Sequence[str], identity: str) -> str:
    """`freeze-trunk_lr-1e-4_seed-0_3f9a1c2e`: can be typed back without quotes, and is the same for the same job."""
    parts = []
    for override in mask(sorted(of_the_run(overrides))):
        key, _, value = override.lstrip("+~").partition("=")
        parts.append(f"{key.rsplit('.', 1)[-1]}-{value.rsplit('/', 1)[-1]}")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", "_".join(parts))[:100].strip("-._")
    return f"{name}_{identity[:8]}" if name else identity[:8]
