"""Shares of a whole as one flat bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tunesmith.report.charts.axes import svg

WIDTH, HEIGHT = 300, 14


@dataclass(frozen=True)
class Part:
    """One piece of a bar."""

    name: str
    amount: float
    color: str


def bar(parts: Sequence[Part], *, whole: float, title: str) -> Markup:
    """Pieces side by side; their sum may be less than the whole, and the rest stays empty.

    Args:
        parts: the pieces from left to right.
        whole: what the full width stands for.
        title: the same in words.
    """
    trough = Markup('<rect class="trough" x="0" y="0" width="{}" height="{}"/>')
    piece = Markup('<rect class="piece {}" x="{:g}" y="0" width="{:g}" height="{}"><title>{}</title></rect>')
    rects, x = [trough.format(WIDTH, HEIGHT)], 0.0
    for part in parts:
        width = WIDTH * part.amount / whole if whole else 0.0
        if part.amount > 0:
            drawn = max(width, 1.0)  # a piece that exists is seen, however small
            left = round(min(x, WIDTH - drawn), 2)
            rects.append(piece.format(part.color, left, round(drawn, 2), HEIGHT, part.name))
        x += width
    return svg(WIDTH, HEIGHT, Markup("").join(rects), title=title, kind="bar")
