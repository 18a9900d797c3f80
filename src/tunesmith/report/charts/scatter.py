"""Points on two axes, with a staircase through those that count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tunesmith.report.charts.axes import Axis, Scale, svg

WIDTH, HEIGHT = 440, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 26, 40


@dataclass(frozen=True)
class Dot:
    """One point.

    Args:
        x, y: where it lies on the axes.
        says: what it is, for who points at it.
        css: a colour of the page, or `ghost` for a hollow one.
        size: its radius.
    """

    x: float
    y: float
    says: str
    css: str = "a"
    size: float = 3.5


def scatter(
    dots: Sequence[Dot], *, across: Axis, up: Axis, title: str, stairs: Sequence[tuple[float, float]] = ()
) -> Markup:
    """Points, later ones above earlier ones.

    Args:
        dots: the points.
        across, up: the axes.
        title: the same in words.
        stairs: corners of a line that keeps its height until the next one.
    """
    right, upward = across.scale(LEFT, WIDTH - RIGHT), up.scale(HEIGHT - BOTTOM, TOP)
    parts = [_frame(across, up, right, upward)]
    if stairs:
        x, y = stairs[0]
        steps = "".join(f" H{right(x):g} V{upward(y):g}" for x, y in stairs[1:])
        parts.append(Markup('<path class="line c" d="M{:g} {:g}{}"/>').format(right(x), upward(y), steps))
    drawn = Markup('<circle class="{}" cx="{:g}" cy="{:g}" r="{:g}"><title>{}</title></circle>')
    parts += [
        drawn.format(
            dot.css if dot.css == "ghost" else f"dot {dot.css}", right(dot.x), upward(dot.y), dot.size, dot.says
        )
        for dot in dots
    ]
    return svg(WIDTH, HEIGHT, Markup("").join(parts), title=title)


def _frame(across: Axis, up: Axis, right: Scale, upward: Scale) -> Markup:
    rail = Markup(
        '<line class="grid" x1="{}" x2="{}" y1="{y:g}" y2="{y:g}"/><text class="tick end" x="{}" y="{:g}">{}</text>'
    )
    parts = [
        rail.format(LEFT, WIDTH - RIGHT, LEFT - 6, upward(value) + 4, text, y=upward(value))
        for value, text in up.ticks(4)
    ]
    ticks = across.ticks(5)
    room = max(4, int((WIDTH - LEFT) / max(len(ticks), 1) / 7))
    below = Markup('<text class="tick mid" x="{:g}" y="{}">{}</text>')
    parts += [below.format(right(value), HEIGHT - BOTTOM + 16, short_name(text, room)) for value, text in ticks]
    parts.append(Markup('<text class="tick" x="0" y="12">{}</text>').format(up.name))
    parts.append(
        Markup('<text class="tick end" x="{}" y="{}">{}</text>').format(WIDTH - RIGHT, HEIGHT - 6, across.name)
    )
    return Markup("").join(parts)


def short_name(text: str, most: int) -> str:
    """A name that has room under its mark."""
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"
