"""Values with their intervals, held against a bound, another arm or zero. One drawing a table row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tunesmith.report.charts.axes import Scale, labels, svg

WIDTH, HEIGHT = 260, 30
EDGE = 8
AXIS = 22

Interval = tuple[float | None, float | None]
Span = tuple[float, float]
Limits = tuple[float | None, float | None]
"""Between which values a metric can lie; None where it has no end."""


@dataclass(frozen=True)
class Mark:
    """One value.

    Args:
        value: the figure itself, a dot.
        interval: a bar behind it; an end that is None is open and reaches the drawing's edge.
        color: the page's colour of dot and bar.
    """

    value: float
    interval: Interval | None
    color: str = "a"


def row(
    marks: Sequence[Mark],
    *,
    span: Span,
    title: str,
    bound: float | None = None,
    good: str | None = None,
    zero: bool = False,
) -> Markup:
    """Marks one below the other on one scale.

    Args:
        marks: from top to bottom.
        span: what the drawing's left and right edge stand for.
        title: the same in words.
        bound: a line the values are held against.
        good: on which side of the bound they have to be, `above` or `below`; that side is shaded.
        zero: draw a line at zero, for differences.
    """
    across = Scale(*span, EDGE, WIDTH - EDGE)
    parts = []
    if bound is not None:
        at = across(bound)
        if good is not None:
            left, right = (at, float(WIDTH)) if good == "above" else (0.0, at)
            shade = Markup('<rect class="good" x="{:g}" y="0" width="{:g}" height="{}"/>')
            parts.append(shade.format(left, right - left, HEIGHT))
        parts.append(Markup('<line class="bound" x1="{x:g}" x2="{x:g}" y1="0" y2="{}"/>').format(HEIGHT, x=at))
    if zero and span[0] < 0 < span[1]:
        parts.append(Markup('<line class="zero" x1="{x:g}" x2="{x:g}" y1="0" y2="{}"/>').format(HEIGHT, x=across(0)))
    if bound is None:
        rail = Markup('<line class="grid" x1="{}" x2="{}" y1="{y:g}" y2="{y:g}"/>')
        parts += [rail.format(EDGE, WIDTH - EDGE, y=_height(place, len(marks))) for place in range(len(marks))]
    parts += [_mark(mark, across, _height(place, len(marks))) for place, mark in enumerate(marks)]
    return svg(WIDTH, HEIGHT, Markup("").join(parts), title=title, kind="interval")


def _height(place: int, of: int) -> float:
    return HEIGHT * (place + 1) / (of + 1)


def _mark(mark: Mark, across: Scale, height: float) -> Markup:
    dot = Markup('<circle class="dot {}" cx="{:g}" cy="{:g}" r="4.5"/>').format(mark.color, across(mark.value), height)
    if mark.interval is None:
        return dot
    low, high = mark.interval
    left = 0.0 if low is None else across(low)
    right = float(WIDTH) if high is None else across(high)
    whisker = Markup('<line class="whisker {}" x1="{:g}" x2="{:g}" y1="{y:g}" y2="{y:g}"/>')
    return whisker.format(mark.color, left, max(right, left + 1), y=height) + dot


def axis(span: Span) -> Markup:
    """The scale of a column of drawings that share `span`."""
    across = Scale(*span, EDGE, WIDTH - EDGE)
    ticks = across.ticks(4)
    mark = Markup(
        '<line class="zero" x1="{x:g}" x2="{x:g}" y1="16" y2="{}"/><text class="tick {}" x="{x:g}" y="12">{}</text>'
    )
    marks = []
    for tick, label in zip(ticks, labels(ticks), strict=True):
        x = across(tick)
        side = "start" if x < 24 else "end" if x > WIDTH - 24 else "mid"
        marks.append(mark.format(AXIS, side, label, x=x))
    return svg(WIDTH, AXIS, Markup("").join(marks), title="scale of the drawings below", kind="interval")


def span_of(marks: Iterable[Mark], *also: float | None, limits: Limits | None = None) -> Span:
    """A range that shows all marks and whatever else is drawn, with a margin, within a metric's own limits."""
    known = [value for mark in marks for value in (mark.value, *(mark.interval or ()))]
    numbers = [value for value in (*known, *also) if value is not None]
    if not numbers:
        return 0.0, 1.0
    low, high = min(numbers), max(numbers)
    margin = (high - low) * 0.1 or abs(high) * 0.1 or 0.1
    low, high = low - margin, high + margin
    if limits is not None:
        low = low if limits[0] is None else max(low, limits[0])
        high = high if limits[1] is None else min(high, limits[1])
    return (low, high) if high > low else (low, low + 1.0)
