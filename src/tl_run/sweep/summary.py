"""What came of a sweep: a row for each setting, seeds folded, the best by validation; of that alone the test."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from tl_run.sweep.plan import DONE, Planned, parts, varied

SEED = "seed"


@dataclass(frozen=True)
class Setting:
    """Runs that differ in their seed alone."""

    words: str
    results: list[dict[str, Any]]
    higher_is_better: bool

    @property
    def task(self) -> str:
        """What the task is called, and the metric."""
        return f"{self.results[0]['task']}: {self.metric}"

    @property
    def metric(self) -> str:
        """What chooses the best."""
        return self.results[0]["metric"]["name"]

    @property
    def validation(self) -> list[float]:
        """The score of each run."""
        return [result["validation"][self.metric] for result in self.results]

    @property
    def test(self) -> list[float]:
        """The same on test, where there is one."""
        return [result["test"][self.metric] for result in self.results if result["test"]]

    @property
    def merit(self) -> float:
        """Higher is better."""
        return mean(self.validation) * (1 if self.higher_is_better else -1)


def settings(jobs: Sequence[Planned]) -> list[Setting]:
    """The jobs that are done, by setting; the best by validation first."""
    done = [job for job in jobs if job.state == DONE]
    keys = [key for key in varied(job.overrides for job in jobs) if key != SEED]
    found: dict[str, list[Planned]] = {}
    for job in done:
        own = dict(parts(override) for override in job.overrides)
        found.setdefault(" ".join(f"{key}={own[key]}" for key in keys if key in own), []).append(job)
    made = [
        Setting(words or "as typed", [job.result for job in own], own[0].higher_is_better)
        for words, own in found.items()
    ]
    return sorted(made, key=lambda setting: (setting.task, -setting.merit))
