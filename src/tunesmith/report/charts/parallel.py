"""Parallel coordinates: one upright axis a quantity, one line a thing that was tried (Inselberg 1985)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tunesmith.report.charts.axes import Axis, svg
from tunesmith.report.charts.scatter import short_name

STEP = 150
"""From one axis to the next."""
LEFT, RIGHT, TOP, BOTTOM, HEIGHT = 64, 40, 44, 14, 320
ROOM = 20
"""Letters of an axis's name."""


@dataclass(frozen=True)
class Line:
    """One line.

    Args:
        values: one an axis; None where there is none, and the line has a gap.
        says: what it is, for who points at it.
        css: classes of its colour.
    """

    values: tuple[float | None, ...]
    says: str
    css: str


def parallel(lines: Sequence[Line], axes: Sequence[Axis], *, title: str) -> Markup:
    """Lines over upright axes, later ones above earlier ones.

    Args:
        lines: what was tried.
        axes: at least one, from left to right.
        title: the same in words.
    """
    places = [LEFT + STEP * number for number in range(len(axes))]
    scales = [axis.scale(HEIGHT - BOTTOM, TOP) for axis in axes]
    parts = []
    for line in lines:
        points = [
            None if value is None else f"{x:g} {scale(value):g}"
            for x, scale, value in zip(places, scales, line.values, strict=True)
        ]
        path, lifted = "", True
        for point in points:
            path, lifted = (path, True) if point is None else (f"{path}{'M' if lifted else 'L'}{point} ", False)
        parts.append(
            Markup('<path class="{}" d="{}"><title>{}</title></path>').format(line.css, path.strip(), line.says)
        )
    for x, axis, scale in zip(places, axes, scales, strict=True):
        parts.append(
            Markup(
                '<line class="zero" x1="{x}" x2="{x}" y1="{}" y2="{}"/><text class="tick mid strong" x="{x}" y="{}">{}'
                "<title>{}</title></text>"
            ).format(TOP, HEIGHT - BOTTOM, TOP - 20, _ending(axis.name), axis.name, x=x)
        )
        parts += [
            Markup('<text class="tick end halo" x="{}" y="{:g}">{}</text>').format(
                x - 5, scale(value) + 4, short_name(text, 12)
            )
            for value, text in axis.ticks(6)
        ]
    width = LEFT + STEP * (len(axes) - 1) + RIGHT + 40
    return svg(width, HEIGHT, Markup("").join(parts), title=title, kind="parallel")


def _ending(name: str) -> str:
    """The end of a dotted path, which says more than its start."""
    return name if len(name) <= ROOM else "\N{HORIZONTAL ELLIPSIS}" + name[-ROOM + 1 :]
