"""Line charts as SVG text: light, sharp at every size, and readable in a diff."""

import math
from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf", "#e377c2", "#7f7f7f")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 420, 64, 170, 48, 48

Points = Sequence[tuple[float, float]]  # x, y


def chart(
    title: str,
    lines: Mapping[str, Points],
    x: str,
    y: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    names: Mapping[float, str] | None = None,
) -> str:
    """An SVG picture of these lines; `names` are written under the axis instead of the numbers of x."""
    across = _scale([p for line in lines.values() for p, _ in line], LEFT, WIDTH - RIGHT, log_x)
    up = _scale([p for line in lines.values() for _, p in line], HEIGHT - BOTTOM, TOP, log_y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT - 40, 16, title, size=15),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x, anchor="middle"),
        _text(LEFT - 40, TOP - 14, y),
    ]
    for value in up.ticks:
        parts.append(f'<path d="M{LEFT} {up(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 6, up(value) + 4, f"{value:g}", anchor="end"))
    for value in sorted({p for line in lines.values() for p, _ in line}):
        shown = (names or {}).get(value, f"{value:g}")
        parts.append(_text(across(value), HEIGHT - BOTTOM + 18, shown, anchor="middle"))
    ends = _apart([(up(line[-1][1]), name) for name, line in lines.items()])
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = "L".join(f"{across(a):.1f} {up(b):.1f}" for a, b in line)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{across(a):.1f}" cy="{up(b):.1f}" r="3" fill="{colour}"/>' for a, b in line]
        parts.append(_text(WIDTH - RIGHT + 10, ends[name] + 4, name, fill=colour))
    return "\n".join([*parts, "</svg>"]) + "\n"


class _scale:
    """Values to pixels; ticks at round values, or at powers of ten and their halves."""

    def __init__(self, values: Sequence[float], start: float, end: float, log: bool) -> None:
        self.start, self.end, self.log = start, end, log
        low, high = min(values), max(values)
        if log:
            every = [m * 10.0**e for e in range(-4, 8) for m in (1, 2, 5)]
            self.ticks = [tick for tick in every if low * 0.999 <= tick <= high * 1.001]
            self.low, self.high = math.log(low), math.log(high)
        else:
            step = 10 ** math.floor(math.log10((high - low) or 1))
            step = next(s for s in (step / 5, step / 2, step, 2 * step) if (high - low) / s <= 8)
            first = math.floor(low / step)
            self.ticks = [round(step * i, 10) for i in range(first, math.ceil(high / step) + 1)]
            self.low, self.high = self.ticks[0], self.ticks[-1]

    def __call__(self, value: float) -> float:
        place = math.log(value) if self.log else value
        return self.start + (place - self.low) / ((self.high - self.low) or 1) * (self.end - self.start)


def _apart(ends: list[tuple[float, str]], least: float = 14) -> dict[str, float]:
    """Where names are written so that none lies on another."""
    placed: dict[str, float] = {}
    above = -math.inf
    for at, name in sorted(ends):
        above = placed[name] = max(at, above + least)
    return placed


def _text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 12, fill: str = "#222") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{fill}">{escape(words)}</text>'
    )
