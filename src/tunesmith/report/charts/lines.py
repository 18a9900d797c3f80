"""Curves over the steps of a training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tunesmith.report.charts.axes import Scale, labels, padded, svg
from tunesmith.report.format import figure

WIDTH, HEIGHT = 440, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 38, 30


@dataclass(frozen=True)
class Series:
    """One curve."""

    name: str
    points: Sequence[tuple[float, float]]
    """(step, value), in order of steps; values that are not finite leave a gap."""
    color: str = "a"
    """Which colour of the page: `a` the first, `b` the second, `c` the third."""
    dots: bool = False
    """Mark each point, for values measured now and then."""


def panel(
    series: Sequence[Series],
    *,
    title: str,
    steps: tuple[float, float],
    best: float | None = None,
    log: bool = False,
    zero: bool = False,
) -> Markup:
    """A small line chart; many points are drawn as a mean with the band they span.

    Args:
        series: the curves, all on one scale.
        title: what the chart says, for the heading inside it and for screen readers.
        steps: the first and last step of the axis, so that charts beside each other line up.
        best: the step to mark as the one that was kept.
        log: logarithmic values; used only where all of them are positive.
        zero: let the value axis start at zero.
    """
    ys = [y for line in series for _, y in line.points if math.isfinite(y)]
    log = log and bool(ys) and min(ys) > 0 and max(ys) / min(ys) > 20
    low, high = (min(ys) * 0.8, max(ys) * 1.25) if log else padded(ys)
    if zero and not log:
        low = min(0.0, low) if ys and min(ys) < 0 else 0.0
    across = Scale(*steps, LEFT, WIDTH - RIGHT)
    up = Scale(low, high, HEIGHT - BOTTOM, TOP, log=log)
    parts = [_axes(across, up), _legend(series)]
    parts += [_curve(line, across, up) for line in series]
    if best is not None:
        parts.append(_best(best, across))
    return svg(WIDTH, HEIGHT, Markup("").join(parts), title=_spoken(title, series))


def thin(points: Sequence[tuple[float, float]], most: int = 160) -> list[tuple[float, float, float, float]]:
    """At most `most` buckets of neighbouring finite points: (mean x, mean y, lowest y, highest y)."""
    finite = [(x, y) for x, y in points if math.isfinite(y)]
    size = max(1, math.ceil(len(finite) / most))
    buckets = [finite[start : start + size] for start in range(0, len(finite), size)]
    return [
        (
            sum(x for x, _ in bucket) / len(bucket),
            sum(y for _, y in bucket) / len(bucket),
            min(y for _, y in bucket),
            max(y for _, y in bucket),
        )
        for bucket in buckets
    ]


def _curve(line: Series, across: Scale, up: Scale) -> Markup:
    buckets = thin(line.points)
    if not buckets:
        return Markup("")
    path = "M" + " L".join(f"{across(x):g} {up(y):g}" for x, y, _, _ in buckets)
    parts = []
    if len(line.points) > len(buckets):
        upper = [f"{across(x):g} {up(high):g}" for x, _, _, high in buckets]
        lower = [f"{across(x):g} {up(low):g}" for x, _, low, _ in reversed(buckets)]
        parts.append(Markup('<path class="band {}" d="M{} Z"/>').format(line.color, " L".join(upper + lower)))
    parts.append(Markup('<path class="line {}" d="{}"/>').format(line.color, path))
    if line.dots or len(buckets) == 1:
        dot = Markup('<circle class="dot {}" cx="{:g}" cy="{:g}" r="3"><title>{} {}, step {:g}</title></circle>')
        parts += [dot.format(line.color, across(x), up(y), line.name, figure(y), x) for x, y, _, _ in buckets]
    return Markup("").join(parts)


def _axes(across: Scale, up: Scale) -> Markup:
    parts = []
    ticks = up.ticks(4)
    for tick, label in zip(ticks, labels(ticks), strict=True):
        parts.append(
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{y:g}" y2="{y:g}"/>'
                '<text class="tick end" x="{}" y="{:g}">{}</text>'
            ).format(LEFT, WIDTH - RIGHT, LEFT - 6, up(tick) + 4, label, y=up(tick))
        )
    ticks = across.ticks(5)
    for tick, label in zip(ticks, labels(ticks), strict=True):
        parts.append(
            Markup('<text class="tick mid" x="{:g}" y="{}">{}</text>').format(across(tick), HEIGHT - BOTTOM + 16, label)
        )
    parts.append(Markup('<text class="tick end" x="{}" y="{}">step</text>').format(WIDTH - RIGHT, HEIGHT - 2))
    return Markup("").join(parts)


def _legend(series: Sequence[Series]) -> Markup:
    if len(series) < 2:
        return Markup("")
    parts, x = [], float(LEFT)
    for line in series:
        stroke = Markup('<line class="line {}" x1="{:g}" x2="{:g}" y1="12" y2="12"/>')
        parts.append(stroke.format(line.color, x, x + 16))
        parts.append(Markup('<text class="tick" x="{:g}" y="16">{}</text>').format(x + 21, line.name))
        x += 34 + 7 * len(line.name)
    return Markup("").join(parts)


def _best(step: float, across: Scale) -> Markup:
    x = across(step)
    side, shift = ("end", -5) if x > (LEFT + WIDTH) / 2 else ("start", 5)
    return Markup(
        '<line class="best" x1="{x:g}" x2="{x:g}" y1="{}" y2="{}"/>'
        '<text class="tick {} strong" x="{:g}" y="{}">kept: step {:,.0f}</text>'
    ).format(TOP - 16, HEIGHT - BOTTOM, side, x + shift, TOP - 7, step, x=x)


def _spoken(title: str, series: Sequence[Series]) -> str:
    ends = [
        f"{line.name} from {figure(finite[0])} to {figure(finite[-1])}"
        for line in series
        if (finite := [y for _, y in line.points if math.isfinite(y)])
    ]
    return f"{title}: {'; '.join(ends)}" if ends else title
