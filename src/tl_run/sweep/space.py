"""What a study searches: one distribution for each option that was typed with several values or an interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from tl_run.errors import BadOption
from tl_run.sweep.summary import SEED


@dataclass(frozen=True)
class Space:
    """What is the same in all trials, what is searched, and the seeds over which the score of a trial is the mean."""

    fixed: list[str]
    searched: dict[str, Any]
    """Option to Optuna's distribution of its values; choices are texts as they are typed."""
    seeds: Sequence[str | None]
    """None: the run's own."""

    @property
    def words(self) -> str:
        """What is searched, as it can be typed."""
        return "  ".join(f"{key}={_words(over)}" for key, over in self.searched.items())

    @property
    def corner(self) -> dict[str, Any]:
        """The first value of each option."""
        return {key: over.choices[0] if hasattr(over, "choices") else over.low for key, over in self.searched.items()}

    def star(self) -> list[dict[str, Any]]:
        """The corner, and each choice with all else as in the corner."""
        choices = [(key, value) for key, over in self.searched.items() for value in getattr(over, "choices", ())]
        return [self.corner, *(self.corner | {key: value} for key, value in choices)]

    def job(self, values: Mapping[str, Any], seed: str | None = None) -> list[str]:
        """The overrides of a job that tries these values; of a number four digits, so that they can be typed again."""
        shown = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in values.items()}
        tried = [f"{key}={value}" for key, value in shown.items()]
        return [*self.fixed, *tried, *([f"{SEED}={seed}"] if seed is not None else [])]


def space(overrides: Sequence[Override]) -> Space:
    """Raises: BadOption where nothing is searched, or an interval makes no sense."""
    fixed, searched, seeds = [], {}, []
    for override in overrides:
        if not override.is_sweep_override():
            fixed.append(f"{override.get_key_element()}={override.get_value_element_as_str()}")
        elif override.is_discrete_sweep() and len(values := list(override.sweep_string_iterator())) == 1:
            fixed.append(f"{override.get_key_element()}={values[0]}")
        elif override.key_or_group == SEED and override.is_discrete_sweep():
            seeds = list(override.sweep_string_iterator())
        else:
            searched[override.get_key_element()] = _distribution(override)
    if not searched:
        raise BadOption(
            "hydra/sweeper=study: nothing is searched; type several values or an interval, for example\n"
            "  'optimizer.lr=tag(log,interval(1e-5,1e-3))' freeze=none,trunk"
        )
    return Space(fixed, searched, seeds or [None])


def _distribution(override: Override) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    name = override.input_line or override.key_or_group
    try:
        if isinstance(value, IntervalSweep):
            low, high = value.start, value.end
            assert low is not None
            assert high is not None
            log = "log" in (value.tags or ())
            if isinstance(low, int) and isinstance(high, int):
                return IntDistribution(low, high, log=log)
            return FloatDistribution(low, high, log=log)
        if isinstance(value, RangeSweep) and not value.shuffle:
            points: Any = list(value.range())
            if points and all(isinstance(point, int) for point in points) and value.step > 0:
                return IntDistribution(points[0], points[-1], step=int(value.step), log=False)
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    except ValueError as problem:
        raise BadOption(f"{name}: {problem}") from problem


def _words(over: Any) -> str:
    if hasattr(over, "choices"):
        return ",".join(over.choices)
    if over.step not in (None, 1):
        return f"range({over.low},{over.high + 1},{over.step})"
    interval = f"interval({over.low},{over.high})"
    return f"tag(log,{interval})" if over.log else interval
