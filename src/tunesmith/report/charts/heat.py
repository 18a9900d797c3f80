"""A confusion matrix too large to print, as a map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from tunesmith.report.charts.axes import svg
from tunesmith.report.format import excerpt

SIZE = 720
MARGIN = 26
LEVELS = 10
"""Shades from pale to full; level 0 is not drawn."""


def level(share: float) -> int:
    """A share of a row's cases as a shade 0..9; the square root keeps small shares visible."""
    return 0 if share <= 0 else max(1, min(LEVELS - 1, round(share**0.5 * (LEVELS - 1))))


def heat(counts: NDArray[np.int64], names: Sequence[str], *, title: str) -> Markup:
    """Expected classes downwards, predicted ones to the right; the diagonal has a colour of its own.

    Args:
        counts: [C, C] how often class r was called c.
        names: the classes.
        title: what the map says, in words.
    """
    side = (SIZE - MARGIN) / len(names)
    sums = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(sums, 1)
    parts = [
        Markup('<rect class="trough" x="{m}" y="{m}" width="{s}" height="{s}"/>').format(s=SIZE - MARGIN, m=MARGIN),
        Markup('<text class="tick" x="{}" y="14">predicted \u2192</text>').format(MARGIN),
        Markup('<text class="tick" transform="translate(16 {}) rotate(90)">expected \u2192</text>').format(MARGIN),
    ]
    cell = Markup(
        '<rect class="{} l{}" x="{:g}" y="{:g}" width="{s:g}" height="{s:g}">'
        "<title>{} called {}: {} of {}</title></rect>"
    )
    for row, column in zip(*np.nonzero(counts), strict=True):
        parts.append(
            cell.format(
                "right" if row == column else "wrong",
                level(float(shares[row, column])),
                round(MARGIN + column * side, 2),
                round(MARGIN + row * side, 2),
                excerpt(names[row], 60),
                excerpt(names[column], 60),
                int(counts[row, column]),
                int(sums[row, 0]),
                s=round(max(side - 0.4, 0.5), 2),
            )
        )
    return svg(SIZE, SIZE, Markup("").join(parts), title=title, kind="heat")
