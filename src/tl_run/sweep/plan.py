"""A sweep before it begins: which jobs there are, what of them is done already, and what they share."""

import copy
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from tl_run.config import check
from tl_run.errors import BadOption
from tl_run.folder import ENVIRONMENT, RESULT, job_folder, of_the_run
from tl_run.prepare import prepare

DONE, BEGUN, NEW = "done", "begun", "new"


@dataclass(frozen=True)
class Planned:
    """A job that can run."""

    launched: list[str]
    """Its overrides as the launcher takes them."""
    overrides: list[str]
    """Those of them that were typed for the run."""
    folder: Path
    identity: str
    weights: tuple[str, ...]
    """Checksums of what it starts from."""
    frozen: bool
    metric: str
    higher_is_better: bool
    only_planned: bool
    """Whether plan=true was typed."""

    @property
    def state(self) -> str:
        """What lies in its folder now."""
        return DONE if (self.folder / RESULT).is_file() else BEGUN if (self.folder / ENVIRONMENT).is_file() else NEW

    @property
    def result(self) -> dict[str, Any]:
        """What the run has left, once it is done."""
        return json.loads((self.folder / RESULT).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Plan:
    """The jobs of a sweep: those that can run, each once, and those that cannot, with the reason."""

    jobs: list[Planned] = field(default_factory=list)
    repeats: int = 0
    refused: list[tuple[list[str], Exception]] = field(default_factory=list)

    @property
    def waiting(self) -> list[Planned]:
        """Jobs that are not done."""
        return [job for job in self.jobs if job.state != DONE]

    def rows(self, folder: str) -> list[tuple[str, str]]:
        """Name and words for each row that is shown."""
        states = Counter(job.state for job in self.jobs)
        parts = [f"{states[NEW]} to run"] if states[NEW] else []
        parts += [f"{states[BEGUN]} to go on with"] if states[BEGUN] else []
        parts += [f"{states[DONE]} done already"] if states[DONE] else []
        parts += [f"{len(self.refused)} that cannot run"] if self.refused else []
        parts += [f"{self.repeats} the same as another and left out"] if self.repeats else []
        total = len(self.jobs) + len(self.refused) + self.repeats
        rows = [("sweep", f"{total} job{'s' if total != 1 else ''} in {folder}: {', '.join(parts)}")]
        values = varied(job.overrides for job in self.jobs)
        if values:
            rows.append(("varied", "  ".join(f"{key}={','.join(own)}" for key, own in values.items())))
        alike = [n for n in Counter(job.weights for job in self.jobs if job.frozen).values() if n > 1]
        if alike:
            whom = ", ".join(f"{n} jobs" for n in alike)
            rows.append(
                ("shared", f"{whom} keep part of the same weights: what that gives for a text is computed once")
            )
        return rows


def plan(
    jobs: Iterable[tuple[list[str], DictConfig]], refused: Iterable[tuple[list[str], Exception]], repeats: int
) -> Plan:
    """What is to be done for these overrides and composed configs, beside those that could not be composed.

    Bad input of one job is its own.
    """
    made = Plan(refused=[*refused])
    known = set()
    for launched, config in jobs:
        try:
            job = _look(launched, config)
        except Exception as problem:  # its own reason is told when all are known
            made.refused.append((launched, problem))
            continue
        if job.identity in known:
            repeats += 1
            continue
        known.add(job.identity)
        made.jobs.append(job)
    return Plan(made.jobs, repeats, made.refused)


def _look(launched: list[str], config: DictConfig) -> Planned:
    hydra: Any = config.hydra
    own = copy.deepcopy(config)
    with open_dict(own):
        del own["hydra"]
    plain = check.resolve(own)
    if plain["resume"]:
        raise BadOption("resume=<folder> is for one run: the same sweep command finds its jobs by itself")
    overrides: Any = OmegaConf.to_container(hydra.overrides.task, resolve=False)
    overrides = of_the_run(overrides)
    ready = prepare(plain, overrides, doubting=False)
    return Planned(
        launched=launched,
        overrides=overrides,
        folder=job_folder(Path(hydra.sweep.dir), overrides, ready.identity),
        identity=ready.identity,
        weights=tuple(ready.weights.values()),
        frozen=ready.options.freeze.name != "none",
        metric=ready.task.metric,
        higher_is_better=ready.task.higher_is_better,
        only_planned=ready.options.plan,
    )


def varied(overrides: Iterable[Sequence[str]]) -> dict[str, list[str]]:
    """Options that are not the same in all jobs, with their values in the order in which they come."""
    jobs = [dict(parts(override) for override in each) for each in overrides]
    keys = dict.fromkeys(key for job in jobs for key in job)
    values = {key: [*dict.fromkeys(job[key] for job in jobs if key in job)] for key in keys}
    return {key: own for key, own in values.items() if len(own) > 1 or any(key not in job for job in jobs)}


def parts(override: str) -> tuple[str, str]:
    """Option and value."""
    key, _, value = override.lstrip("+~").partition("=")
    return key, value
