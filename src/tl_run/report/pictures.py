"""Pictures as SVG for a page: labelled axes, colours that colour-blind people tell apart, legible on light and dark.

What is neither a line nor a point of data is drawn in `currentColor`, the page's own text colour.
"""

import io
import itertools
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import mean
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from tl_run.report.gain import Comparison
from tl_run.report.importance import Importance
from tl_run.report.series import Curve
from tl_run.report.statistics import interval

# Okabe and Ito's colours without black and yellow, which are lost on dark or on light.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "osD^vP"
LINES = ("-", "--", "-.", ":", "-", "--")
INK = "#010203"  # stands for currentColor
STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # names come from data: a $ is a $
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    **{f"{what}.color": INK for what in ("text", "xtick", "ytick")},
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "legend.labelcolor": INK,
}
WIDTH = 4.4  # inches, about the width of a phone: text keeps its size there


def curves(found: Sequence[Curve], y: str, x: str = "optimizer steps") -> str:
    """A line for each setting over whole numbers, with its lowest and highest seed as a band."""
    with _drawing(3.3 + 0.2 * len(found)) as (figure, axes):
        for i, curve in enumerate(found):
            steps = [point.x for point in curve.points]
            means = [mean(point.scores) for point in curve.points]
            style = {"color": COLOURS[i], "linestyle": LINES[i], "marker": MARKERS[i] if len(steps) < 30 else None}
            axes.plot(steps, means, label=curve.name, **style)
            low, high = ([of(point.scores) for point in curve.points] for of in (min, max))
            axes.fill_between(steps, low, high, color=COLOURS[i], alpha=0.15, linewidth=0)
        axes.set(xlabel=x, ylabel=y)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        _legend(figure)
        return _svg(figure, f"{y} by {x}")


def by(found: Sequence[Curve], x: str, y: str, *, joined: bool) -> str:
    """Scores against a cost on a logarithmic axis, with intervals; `joined` points are of one line."""
    with _drawing(3.3 + 0.2 * len(found)) as (figure, axes):
        for i, curve in enumerate(found):
            style = {"color": COLOURS[i % 6], "marker": MARKERS[i % 6]}
            halves = [interval(point.scores) or 0.0 for point in curve.points]
            axes.errorbar(
                [point.x for point in curve.points],
                [mean(point.scores) for point in curve.points],
                yerr=halves,
                linestyle=LINES[i % 6] if joined else "none",
                label=curve.name,
                capsize=3,
                **style,
            )
            for point in curve.points:
                if point.number:
                    right = point.number % 2  # neighbours in the table are often neighbours here
                    axes.annotate(
                        f"#{point.number}",
                        (point.x, mean(point.scores)),
                        (4 if right else -4, 3),
                        textcoords="offset points",
                        ha="left" if right else "right",
                        fontsize=8,
                    )
        axes.set(xlabel=x, ylabel=y)
        _logarithmic(axes, [point.x for curve in found for point in curve.points])
        _legend(figure)
        return _svg(figure, f"{y} against {x}")


def forest(comparisons: Sequence[Comparison], metric: str) -> str:
    """The difference of each comparison with its interval; right of 0 transfer helped."""
    with _drawing(1.1 + 0.42 * len(comparisons)) as (figure, axes):
        kinds = [*dict.fromkeys((c.first, c.second) for c in comparisons)]
        names = []
        for row, c in enumerate(comparisons):
            i, d = kinds.index((c.first, c.second)) % len(COLOURS), c.difference
            if d.low is not None and d.high is not None:
                axes.plot([d.low, d.high], [row, row], color=COLOURS[i], solid_capstyle="butt")
            axes.plot([d.value], [row], color=COLOURS[i], marker=MARKERS[i], markersize=7)
            names.append(f"{c.first} − {c.second}\n{c.labels_words}")
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel(f"difference in {metric}")
        return _svg(figure, "differences with their 95 % intervals")


def shares(found: Importance) -> str:
    """A bar for each option."""
    with _drawing(0.9 + 0.3 * len(found.shares)) as (figure, axes):
        axes.barh([*found.shares], [100 * share for share in found.shares.values()], color=COLOURS[0], height=0.6)
        axes.invert_yaxis()
        axes.set(xlabel="share of the variance of validation scores (%)", xlim=(0, 100))
        return _svg(figure, "which options mattered")


def confusion(labels: Sequence[str], counts: Sequence[Sequence[float]]) -> str:
    """Gold by row, predicted by column; the stronger, the larger the share of its row."""
    n = len(labels)
    with _drawing(1.3 + 0.36 * n) as (figure, axes):
        for i, row in enumerate(counts):
            for j, count in enumerate(row):
                share = count / max(sum(row), 1)
                axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, color=COLOURS[0], alpha=0.85 * share, linewidth=0))
                axes.text(j, i, f"{count:g}", ha="center", va="center", fontsize=8.5)
        axes.grid(visible=False)
        names = [label if len(label) <= 18 else f"{label[:17]}…" for label in labels]
        long = sum(map(len, names)) > 40
        axes.set_xticks(range(n), names, rotation=40 if long else 0, ha="right" if long else "center")
        axes.set_yticks(range(n), names)
        axes.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), xlabel="predicted", ylabel="gold")
        return _svg(figure, "confusion of classes, test examples of all seeds")


@contextmanager
def _drawing(height: float) -> Iterator[tuple[Figure, Any]]:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, figure.add_subplot()


def _legend(figure: Figure) -> None:
    figure.legend(loc="outside lower left", handlelength=2.6, fontsize=8)


def _logarithmic(axes: Any, values: Sequence[float]) -> None:
    """Ticks where there are points, as long as they are few."""
    if min(values) <= 0:
        return
    axes.set_xscale("log")
    ticks = sorted({*values})
    if len(ticks) <= 6 and all(far / near > 1.25 for near, far in itertools.pairwise(ticks)):
        axes.set_xticks(ticks, [short(tick) for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def short(number: float) -> str:
    """`1,735,426` as `1.7 M`."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if number >= size:
            return f"{number / (1e3 if unit == ' k' else size):.3g}{unit}"
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _svg(figure: Figure, title: str) -> str:
    """The picture alone, as part of a page: its ids are its own, its size is the page's affair."""
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": title}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the page's fonts draw it, not ours
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = stream.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    mark = f"{zlib.crc32(text.encode()):x}"
    text = re.sub(r'\bid="', f'id="{mark}-', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{mark}-", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
