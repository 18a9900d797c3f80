"""How a figure is spread over rows, and where thresholds cut it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from tunesmith.report.charts.axes import Scale, labels, svg
from tunesmith.report.format import count

WIDTH, HEIGHT = 440, 128
LEFT, RIGHT, TOP, BOTTOM = 4, 8, 18, 22
GAP = 1.0


def histogram(found: Mapping[str, Any], *, title: str) -> Markup:
    """Bars from the lowest figure to the 99.5th percentile; those that a threshold cuts are in another colour.

    Args:
        found: a distribution as `room.Distribution` has it, as plain values.
        title: what it says, in words.
    """
    edges, bars = found["edges"], found["bars"]
    across = Scale(edges[0], edges[-1], LEFT, WIDTH - RIGHT)
    tallest = max(bars, default=0)
    up = Scale(0, max(tallest, 1), HEIGHT - BOTTOM, TOP)
    low, high = found.get("low"), found.get("high")
    piece = Markup('<rect class="piece {}" x="{:g}" y="{:g}" width="{:g}" height="{:g}"><title>{}</title></rect>')
    parts = []
    for start, end, rows in zip(edges, edges[1:], bars, strict=False):
        if not rows:
            continue
        middle = (start + end) / 2
        cut = (low is not None and middle < low) or (high is not None and middle > high)
        top = min(up(rows), HEIGHT - BOTTOM - 1.5)  # rows that are there are seen, however few
        width = max(across(end) - across(start) - GAP, 1.0)
        said = f"{count(rows)} rows from {_short(start)} to {_short(end)}"
        box = (across(start), round(top, 2), round(width, 2), round(HEIGHT - BOTTOM - top, 2))
        parts.append(piece.format("lost" if cut else "a", *box, said))
    base = Markup('<line class="zero" x1="{}" x2="{}" y1="{y}" y2="{y}"/>')
    parts.append(base.format(LEFT, WIDTH - RIGHT, y=HEIGHT - BOTTOM))
    parts += [_threshold(value, across) for value in (low, high) if value is not None and edges[0] < value < edges[-1]]
    ticks = across.ticks(5)
    for tick, label in zip(ticks, labels(ticks), strict=True):
        x = across(tick)
        side = "start" if x < 14 else "end" if x > WIDTH - 20 else "mid"
        tag = Markup('<text class="tick {}" x="{:g}" y="{}">{}</text>')
        parts.append(tag.format(side, x, HEIGHT - BOTTOM + 15, label))
    return svg(WIDTH, HEIGHT, Markup("").join(parts), title=title)


def _threshold(value: float, across: Scale) -> Markup:
    x = across(value)
    side, shift = ("end", -4) if x > WIDTH / 2 else ("start", 4)
    return Markup(
        '<line class="bound" x1="{x:g}" x2="{x:g}" y1="{}" y2="{}"/>'
        '<text class="tick {} strong" x="{:g}" y="11">{}</text>'
    ).format(2, HEIGHT - BOTTOM, side, x + shift, _short(value), x=x)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"
