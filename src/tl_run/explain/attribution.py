"""Integrated gradients (arXiv:1703.01365): what each token of a text adds to a logit, as against a text that says
nothing."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tl_run.errors import BadOption

TOLERANCE = 0.01
"""Of the change of the logit: so far the attributions may be from adding up to it."""
FEWEST, MOST = 8, 512
"""Points on the way from the baseline to the text: doubled until the tolerance holds, and not further."""
AT_ONCE = 4096
"""Tokens in a forward pass."""


@dataclass(frozen=True)
class Attribution:
    """`scores` (tokens,) should add up to the change of the logit, from `start`, the baseline's, to `end`."""

    scores: np.ndarray
    start: float
    end: float
    steps: int

    @property
    def error(self) -> float:
        """How far they are from it, as a share of the change; 0 where neither is anything."""
        change, left = self.end - self.start, float(self.scores.sum()) - (self.end - self.start)
        return abs(left) / abs(change) if change else (float("inf") if left else 0.0)

    @property
    def complete(self) -> bool:
        """Whether completeness (section 3, proposition 1) holds within the tolerance."""
        return self.error <= TOLERANCE


def attribute(
    model: Any,
    inputs: Mapping[str, torch.Tensor],
    target: int,
    *,
    baseline: int | None,
    kept: torch.Tensor,
    most: int = MOST,
) -> Attribution:
    """Attribute the logit `target` to the tokens of one text, without padding: inputs are (1, tokens).

    The baseline has in place of each token the embedding of token `baseline` (None: zeros), but where `kept` (tokens,)
    is True the text's own: so the special tokens stay, and get 0. The path is straight, in the output of the table of
    word embeddings; positions and types are added behind it and stay. The integral is by Gauss and Legendre's rule,
    where the paper has Riemann's. The model is in eval mode, and computes in its own precision.
    Raises: BadOption for a model that does not look up its words once, in one table.
    """
    table = model.base_model.get_input_embeddings()
    with torch.no_grad():
        ids = inputs["input_ids"]
        text = table(ids)[0]
        nothing = torch.zeros_like(text[0]) if baseline is None else table(ids.new_tensor([baseline]))[0]
        difference = (text - nothing).masked_fill(kept[:, None], 0)
        ends = torch.stack([text - difference, text])
        start, end = _logits(model, table, inputs, ends)[:, target].tolist()
    steps = FEWEST
    while True:
        gradient = _mean_gradient(model, table, inputs, target, text, difference, steps)
        scores = (difference * gradient).sum(-1).double().cpu().numpy()
        found = Attribution(scores, start, end, steps)
        if found.complete or 2 * steps > most:
            return found
        steps *= 2


def _mean_gradient(
    model: Any,
    table: Any,
    inputs: Mapping[str, torch.Tensor],
    target: int,
    text: torch.Tensor,
    difference: torch.Tensor,
    steps: int,
) -> torch.Tensor:
    """The integral over the path of the logit's gradient by the embeddings: (tokens, hidden)."""
    places, weights = (torch.from_numpy(array).to(text) for array in np.polynomial.legendre.leggauss(steps))
    total = torch.zeros_like(text)
    size = max(1, AT_ONCE // len(text))
    for place, weight in zip(places.split(size), weights.split(size), strict=True):
        # Places go from -1 at the baseline to 1 at the text, and weights sum to 2.
        points = (text - (0.5 - place[:, None, None] / 2) * difference).requires_grad_()
        logits = _logits(model, table, inputs, points)[:, target]
        (gradient,) = torch.autograd.grad(logits.sum(), points)
        total += torch.einsum("p,pth->th", weight / 2, gradient)
    return total


def _logits(model: Any, table: Any, inputs: Mapping[str, torch.Tensor], points: torch.Tensor) -> torch.Tensor:
    """Logits (points, labels) with embeddings (points, tokens, hidden) in place of the text's own."""
    many = {name: tensor.expand(len(points), *tensor.shape[1:]) for name, tensor in inputs.items()}
    # cuDNN's recurrent cells have no backward pass in eval mode.
    with _in_place_of(table, points) as calls, torch.backends.cudnn.flags(enabled=False):
        logits = model(**many).logits
    if len(calls) != 1:
        times = f"{len(calls)} times in one table, once is needed"
        raise BadOption(f"a {type(model).__name__} looks up its words {times}: it cannot be explained by its words")
    return logits


@contextmanager
def _in_place_of(table: Any, points: torch.Tensor) -> Iterator[list[None]]:
    """Let the table of embeddings give these; one entry for each time that it was asked."""
    calls: list[None] = []

    def give(*_: Any) -> torch.Tensor:
        calls.append(None)
        return points

    handle = table.register_forward_hook(give)
    try:
        yield calls
    finally:
        handle.remove()
