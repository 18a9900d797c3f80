"""A map of shares: rows downwards, columns to the right, each cell the darker the larger."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from tunesmith.report.charts.axes import svg
from tunesmith.report.charts.heat import LEVELS
from tunesmith.report.format import excerpt, percent

WIDTH = 720
LEFT, TOP = 64, 64
TALL = 20
WIDEST = 34.0


def grid(shares: Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str], *, title: str) -> Markup:
    """Shares as a map; each row is shaded by its own largest share.

    Args:
        shares: [rows][columns], none below 0.
        rows: what stands in front of each row.
        columns: what stands on top of each column, turned upright.
        title: the same in words.
    """
    wide = min(WIDEST, (WIDTH - LEFT) / max(1, len(columns)))
    cell = Markup(
        '<rect class="right l{}" x="{:g}" y="{:g}" width="{w:g}" height="{h}"><title>{}, {}: {}</title></rect>'
    )
    above = Markup('<text class="tick" transform="translate({:g} {}) rotate(-60)">{}</text>')
    parts = [above.format(LEFT + (at + 0.5) * wide, TOP - 6, excerpt(name, 14)) for at, name in enumerate(columns)]
    for down, (name, of_row) in enumerate(zip(rows, shares, strict=True)):
        y, most = TOP + down * TALL, max(of_row, default=0.0) or 1.0
        parts.append(Markup('<text class="tick" x="0" y="{:g}">{}</text>').format(y + TALL * 0.7, name))
        for at, share in enumerate(of_row):
            level = max(1, round(share / most * (LEVELS - 1)))
            told = (name, columns[at], percent(share))
            parts.append(cell.format(level, LEFT + at * wide, y, *told, w=round(wide - 1, 2), h=TALL - 1))
    height = TOP + len(shares) * TALL + 4
    return svg(WIDTH, height, Markup("").join(parts), title=title, kind="heat")
