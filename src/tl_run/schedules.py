"""Learning-rate schedules by name: the factor on the peak rate as a function of the step, so that none is ever saved.

They are those of `transformers.get_scheduler`, and tested against it; it is not called because importing it imports
peft, which takes a second of every start.
"""

import math
from collections.abc import Callable, Mapping

Schedule = Callable[[int, int, int], float]
"""Step (0, 1, ...), all steps, steps of warmup -> factor."""


def linear(step: int, steps: int, warmup: int) -> float:
    """Down to 0 in a straight line."""
    return _rising(step, warmup) if step < warmup else max(0.0, (steps - step) / max(1, steps - warmup))


def cosine(step: int, steps: int, warmup: int) -> float:
    """Down to 0 along half a cosine wave (arXiv:1608.03983)."""
    if step < warmup:
        return _rising(step, warmup)
    return max(0.0, 0.5 * (1 + math.cos(math.pi * _progress(step, steps, warmup))))


def cosine_with_restarts(step: int, steps: int, warmup: int) -> float:
    """Cosine with hard restarts; of one cycle, as transformers has it, which is cosine cut off at its end."""
    return 0.0 if step >= max(warmup, steps) else cosine(step, steps, warmup)


def polynomial(step: int, steps: int, warmup: int, end: float = 1e-7) -> float:
    """Down to `end` with power 1."""
    if step < warmup:
        return _rising(step, warmup)
    return end if step > steps else (1 - end) * (1 - (step - warmup) / (steps - warmup)) + end


def constant(step: int, steps: int, warmup: int) -> float:
    """The peak rate all the time."""
    return 1.0


def constant_with_warmup(step: int, steps: int, warmup: int) -> float:
    """Up to the peak rate, and there it stays."""
    return _rising(step, warmup) if step < warmup else 1.0


def inverse_sqrt(step: int, steps: int, warmup: int) -> float:
    """Down with the root of the step (arXiv:1706.03762, section 5.3); without warmup as if it had been 10,000 steps."""
    if step < warmup:
        return _rising(step, warmup)
    scale = warmup or 10_000
    return 1 / math.sqrt((step + scale - warmup) / scale)


def slanted_triangular(step: int, steps: int, warmup: int, ratio: float = 32) -> float:
    """From 1 / ratio up to 1 in `warmup` of `steps` steps, and down again (ULMFiT, arXiv:1801.06146, equation 3).

    Where we differ: the way down ends with the last step also where the way up is no whole share of the steps.
    """
    p = step / warmup if step < warmup else 1 - _progress(step, steps, warmup)
    return (1 + p * (ratio - 1)) / ratio


SCHEDULES: Mapping[str, Schedule] = {
    "linear": linear,
    "cosine": cosine,
    "cosine_with_restarts": cosine_with_restarts,
    "polynomial": polynomial,
    "constant": constant,
    "constant_with_warmup": constant_with_warmup,
    "inverse_sqrt": inverse_sqrt,
    "slanted_triangular": slanted_triangular,
}


def _rising(step: int, warmup: int) -> float:
    return step / max(1, warmup)


def _progress(step: int, steps: int, warmup: int) -> float:
    """0 at the peak, 1 at the end."""
    return (step - warmup) / max(1, steps - warmup)
