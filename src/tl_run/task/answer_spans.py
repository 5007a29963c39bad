"""From log-probabilities of first and last tokens to the best spans of a context, over all its windows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tl_run.data.windows import Span, Windows
from tl_run.task.answers import trimmed


@dataclass(frozen=True)
class Found:
    """The best spans of a context with their log-probabilities, the best first, and that of no answer."""

    spans: list[tuple[Span, float]]
    null: float

    @property
    def difference(self) -> float:
        """How far no answer is ahead of the best span."""
        return self.null - (self.spans[0][1] if self.spans else -math.inf)

    def best(self, context: str) -> str:
        """The best span as it stands in the context; empty where there is none."""
        return context[slice(*self.spans[0][0])] if self.spans else ""


def find(
    encoded: Windows, number: int, context: str, predictions: Sequence[np.ndarray], kept: int, longest: int
) -> Found:
    """The `kept` best spans of an example; `predictions` are those of all rows, each (2, tokens).

    A span that stands in several windows counts where it is likeliest, no answer where it is least likely: all windows
    but one may well not hold the answer.
    """
    spans: dict[Span, float] = {}
    null = math.inf
    for row in encoded.rows_of(number):
        starts, ends = predictions[row][:, : encoded.offsets[row + 1] - encoded.offsets[row]]
        null = min(null, float(starts[encoded.null[row]] + ends[encoded.null[row]]))
        places = encoded.spans_of(row)
        for first, last, value in best_spans(starts, ends, places, kept, longest):
            span = trimmed(context, int(places[first, 0]), int(places[last, 1]))
            if span[0] < span[1]:
                spans[span] = max(value, spans.get(span, -math.inf))
    return Found(sorted(spans.items(), key=lambda item: -item[1])[:kept], null)


def best_spans(
    starts: np.ndarray, ends: np.ndarray, places: np.ndarray, count: int, longest: int
) -> list[tuple[int, int, float]]:
    """The `count` best spans of up to `longest` tokens of the context: first token, last token, log-probability.

    `starts` and `ends` are log-probabilities (tokens,), `places` the characters of each token (tokens, 2).
    """
    inside = np.flatnonzero(places[:, 1] > places[:, 0])
    if not len(inside):
        return []
    longest = min(longest, len(inside))
    ends = np.concatenate([ends[inside], np.full(longest - 1, -np.inf, ends.dtype)])
    values = (starts[inside][:, None] + np.lib.stride_tricks.sliding_window_view(ends, longest)).ravel()
    count = min(count, len(values))
    best = np.argpartition(-values, count - 1)[:count]
    best = best[np.lexsort((best, -values[best]))]
    return [
        (int(inside[i // longest]), int(inside[i // longest + i % longest]), float(values[i]))
        for i in best
        if values[i] > -np.inf
    ]
