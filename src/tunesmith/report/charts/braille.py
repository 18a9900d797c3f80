"""Curves in letters: two by four dots in each, for terminals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from tunesmith.report.charts.axes import Scale, labels, padded

if TYPE_CHECKING:
    from rich.text import Text

Points = Sequence[tuple[float, float]]
"""(step, value), in order of steps; values that are not finite leave a gap."""

BLANK = 0x2800
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""The bit of each dot of a letter, by column and row from the top left."""
MARK = "●"
TOP = 1000
"""The layer of marks."""
LOG_FROM = 20
"""Where the largest value is more than this many times the smallest, the axis is logarithmic."""
CLOUD_FROM = 60
"""With at least so many points a curve is drawn smooth, over a cloud of its points."""

CLOUD_MOST = 800
"""Points of a cloud that are drawn; all count in the line."""


@dataclass(frozen=True)
class Curve:
    """One curve of a plot."""

    points: Points
    style: str
    marks: bool = False
    """Mark each point, for values measured now and then."""


def plot(
    curves: Sequence[Curve], width: int, height: int, *, steps: tuple[float, float] | None = None, log: bool = False
) -> list[Text]:
    """Curves with their axes, as exactly `height` lines of at most `width` letters.

    Args:
        curves: later ones lie above earlier ones; all on one scale.
        width: letters, 16 at least.
        height: lines, 3 at least; the last names the steps.
        steps: the first and last step of the axis, so that plots beside each other line up; their own when left out.
        log: logarithmic values, where all are positive and far enough apart for it.
    """
    from rich.text import Text

    finite = [[(x, y) for x, y in curve.points if math.isfinite(y)] for curve in curves]
    ys = [y for points in finite for _, y in points]
    first, last = steps or (
        min((x for points in finite for x, _ in points), default=0.0),
        max((x for points in finite for x, _ in points), default=0.0),
    )
    if not ys:
        empty = Text("nothing measured yet", style="dim", justify="center")
        return [Text("")] * (height // 2) + [empty] + [Text("")] * (height - height // 2 - 1)
    log = log and min(ys) > 0 and max(ys) / min(ys) > LOG_FROM
    low, high = (min(ys) * 0.9, max(ys) * 1.1) if log else padded(ys)
    rows = height - 1
    up = Scale(low, high, rows * 4 - 1, 0, log=log)
    ticks = _ticks(up, rows)
    gutter = max(map(len, ticks.values()))
    canvas = Canvas(width - gutter - 2, rows)
    across = Scale(first, last, 0, canvas.columns * 2 - 1)
    for layer, (curve, points) in enumerate(zip(curves, finite, strict=True)):
        _draw(canvas, curve, [(across(x), up(y)) for x, y in points], 2 * layer)
    lines = [
        Text.assemble((f"{ticks.get(row, ''):>{gutter}} ", "dim"), ("┤" if row in ticks else "│", "dim"), line)
        for row, line in enumerate(canvas.lines())
    ]
    return [*lines, Text(" " * (gutter + 2) + _steps(first, last, canvas.columns), style="dim")]


def _ticks(up: Scale, rows: int) -> dict[int, str]:
    """The row of each tick and its label, no two on one row."""
    values = _halves(up, rows // 2) if up.log else up.ticks(max(2, rows // 3))
    named = [f"{value:g}" for value in values] if up.log and min(values, default=0.0) >= 1e-4 else labels(values)
    return {int(up(value)) // 4: label for value, label in zip(values, named, strict=True)}


def _halves(up: Scale, most: int) -> list[float]:
    """1, 2 and 5 times the powers of ten on a logarithmic scale; the powers alone where those are many."""
    powers = range(math.floor(math.log10(up.low)), math.floor(math.log10(up.high)) + 1)
    factors = (1, 2, 5) if len(powers) * 3 <= most + 2 else (1,)
    return [value for power in powers for factor in factors if up.low <= (value := factor * 10.0**power) <= up.high]


def _steps(first: float, last: float, columns: int) -> str:
    """The first, middle and last step, under their places."""
    left, right = f"{first:,.0f}", f"{last:,.0f}"
    if first == last:
        return f"step {left}".center(columns).rstrip()
    middle = f"step {round((first + last) / 2):,}"
    if len(left) + len(middle) + len(right) + 4 > columns:
        return left + right.rjust(columns - len(left))
    start = (columns - len(middle)) // 2
    return (left.ljust(start) + middle).ljust(columns - len(right)) + right


def _draw(canvas: Canvas, curve: Curve, placed: Points, layer: int) -> None:
    if curve.marks or len(placed) < CLOUD_FROM:
        _line(canvas, placed, curve.style, layer)
    else:
        for x, y in placed[:: math.ceil(len(placed) / CLOUD_MOST)]:
            canvas.dot(x, y, f"dim {curve.style}", layer)
        _line(canvas, _smooth(placed, canvas.columns * 2), f"bold {curve.style}", layer + 1)
    if curve.marks or len(placed) == 1:
        for x, y in placed:
            canvas.mark(x, y, f"bold {curve.style}")


def _smooth(placed: Points, columns: int) -> list[tuple[float, float]]:
    """The mean of the points around each of the places across."""
    reach = max(2.0, columns / 24)
    means, start, end, total = [], 0, 0, 0.0
    for column in range(columns):
        while end < len(placed) and placed[end][0] <= column + reach:
            total += placed[end][1]
            end += 1
        while start < end and placed[start][0] < column - reach:
            total -= placed[start][1]
            start += 1
        if end > start:
            means.append((float(column), total / (end - start)))
    return means


def _line(canvas: Canvas, placed: Points, style: str, layer: int) -> None:
    for (x, y), (next_x, next_y) in pairwise(placed):
        count = max(1, math.ceil(max(abs(next_x - x), abs(next_y - y))))
        for part in range(count + 1):
            canvas.dot(x + (next_x - x) * part / count, y + (next_y - y) * part / count, style, layer)


@dataclass
class Letter:
    """One place of a canvas."""

    layer: int
    style: str
    bits: int = 0
    marked: bool = False

    def __str__(self) -> str:
        return MARK if self.marked else chr(BLANK + self.bits) if self.bits else " "


EMPTY = Letter(-1, "")


class Canvas:
    """Letters of dots. A letter shows the highest layer that was drawn into it, so that lines stand out."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = max(1, columns), max(1, rows)
        self._letters: dict[tuple[int, int], Letter] = {}

    def dot(self, x: float, y: float, style: str, layer: int) -> None:
        """Sets the dot nearest to a place, counted in dots from the top left."""
        column, row = self._nearest(x, y)
        letter = self._letters.get((row // 4, column // 2))
        if letter is None or letter.layer < layer:
            letter = self._letters[row // 4, column // 2] = Letter(layer, style)
        if letter.layer == layer:
            letter.bits |= DOTS[column % 2][row % 4]

    def mark(self, x: float, y: float, style: str) -> None:
        """Puts a mark on the letter nearest to a place, above all lines."""
        column, row = self._nearest(x, y)
        self._letters[row // 4, column // 2] = Letter(TOP, style, marked=True)

    def _nearest(self, x: float, y: float) -> tuple[int, int]:
        return min(max(round(x), 0), self.columns * 2 - 1), min(max(round(y), 0), self.rows * 4 - 1)

    def lines(self) -> list[Text]:
        """What was drawn, one text a row."""
        from rich.text import Text

        lines = []
        for row in range(self.rows):
            letters = [self._letters.get((row, column), EMPTY) for column in range(self.columns)]
            runs = groupby(letters, lambda letter: letter.style)
            lines.append(Text.assemble(*(("".join(map(str, same)), style) for style, same in runs)))
        return lines
