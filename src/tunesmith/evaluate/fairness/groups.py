"""Figures by group, and which groups are apart.

Each group is held against the rows of all other groups of its kind: rates by Fisher's exact test, other numbers by
Welch's. All p-values of a run, over kinds, crossings, figures and labels, are corrected together (Holm 1979): the
chance that anything at all is called apart where nothing is stays below one minus the confidence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tunesmith.evaluate.comparison import closed, finite
from tunesmith.evaluate.fairness.columns import Column
from tunesmith.evaluate.fairness.found import Gap, GroupFigure, GroupValue, Spread
from tunesmith.evaluate.statistics.independent import binary, mean_interval, means, proportions
from tunesmith.evaluate.statistics.significance import holm
from tunesmith.metrics import Floats
from tunesmith.metrics._parity import group_of
from tunesmith.records import Prediction

CROSSED = " x "
_NOBODY = -1


class Grouping:
    """The groups of one kind, or of two kinds crossed, and who belongs to which.

    Args:
        by: what it is called.
        members: the group of each row; None where it has none.
    """

    def __init__(self, by: str, members: Sequence[str | None]) -> None:
        self.by = by
        counts = Counter(member for member in members if member is not None)
        self.names = [name for name, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]
        place = {name: number for number, name in enumerate(self.names)}
        self.members: NDArray[np.int64] = np.array(
            [_NOBODY if member is None else place[member] for member in members], np.int64
        )


def groupings(predictions: Sequence[Prediction], kinds: Sequence[str], *, intersections: bool) -> list[Grouping]:
    """The groups of each kind, then those of every two kinds crossed.

    Args:
        kinds: columns.
        intersections: whether kinds are crossed.
    """
    alone = {kind: [group_of(row, kind) for row in predictions] for kind in kinds}
    found = [Grouping(kind, members) for kind, members in alone.items()]
    sizes = {grouping.by: len(grouping.names) for grouping in found}
    for one, other in combinations(alone, 2) if intersections else ():
        both = [
            None if first is None or second is None else f"{first}{CROSSED}{second}"
            for first, second in zip(alone[one], alone[other], strict=True)
        ]
        crossed = Grouping(f"{one}{CROSSED}{other}", both)
        # Where a kind follows from the other, as one read from the text may, crossing them tells nothing new.
        if len(crossed.names) > max(sizes[one], sizes[other]):
            found.append(crossed)
    return found


def group_figures(
    arms: Mapping[str, Sequence[Column]], found: Sequence[Grouping], *, confidence: float, min_rows: int
) -> list[GroupFigure]:
    """Every figure of every kind of groups; gaps are those of the last arm.

    Args:
        arms: arm -> what is compared of its answers, on the same rows; the last arm is looked at closely.
        found: the groups of the rows.
        confidence: of the intervals; one minus it is the chance of a false alarm.
        min_rows: groups with fewer rows are not tested.
    """
    tuned = list(arms)[-1]
    figures, made_of = [], []
    for grouping in found:
        for column in arms[tuned]:
            groups = [_value(column, grouping, place, confidence, min_rows) for place in range(len(grouping.names))]
            spreads = {
                arm: _spread(other, grouping, min_rows)
                for arm, others in arms.items()
                for other in others
                if (other.shown, other.label) == (column.shown, column.label)
            }
            gaps = list(_gaps(column, grouping, confidence, min_rows))
            figures.append(GroupFigure(grouping.by, column.shown, column.label, groups, gaps, spreads))
            made_of.append((column, grouping))
    return [
        _by_themselves(figure, column, grouping, confidence, min_rows)
        for figure, (column, grouping) in zip(corrected(figures, confidence), made_of, strict=True)
    ]


def corrected(figures: Sequence[GroupFigure], confidence: float) -> list[GroupFigure]:
    """The figures with every gap judged among all of them."""
    gaps = [gap for figure in figures for gap in figure.gaps]
    known = iter(holm([gap.p_value for gap in gaps if gap.p_value is not None]))

    def judged(gap: Gap) -> Gap:
        if gap.p_value is None:
            return gap
        stands = next(known)
        return replace(gap, corrected=stands, outcome="apart" if stands <= 1 - confidence else "not shown")

    return [replace(figure, gaps=[judged(gap) for gap in figure.gaps]) for figure in figures]


def _by_themselves(
    figure: GroupFigure, column: Column, grouping: Grouping, confidence: float, min_rows: int
) -> GroupFigure:
    """The figure without those that are apart only because a surer one is among the others.

    Where one group is treated badly, each other one looks well treated beside it. A gap that is not the surest must
    be seen without the groups of the surer ones too, so that nothing more is called apart than without this.
    """
    surer: list[str] = []
    left = list(figure.gaps)
    ranked = sorted(
        (gap for gap in figure.gaps if gap.outcome == "apart"),
        key=lambda gap: (gap.corrected or 0.0, gap.p_value or 0.0),
    )
    for gap in ranked:
        again = _gap(column, grouping, grouping.names.index(gap.group), surer, confidence, min_rows)
        if again.p_value is not None and again.p_value <= 1 - confidence:
            surer.append(gap.group)
        else:
            left[left.index(gap)] = replace(gap, outcome="not shown")
    return replace(figure, gaps=left)


def num_tests(figures: Sequence[GroupFigure]) -> int:
    """How many differences were tested together."""
    return sum(gap.p_value is not None for figure in figures for gap in figure.gaps)


def _in_group(column: Column, chosen: NDArray[np.bool_]) -> tuple[Floats, float]:
    """The values of some rows that have one, and the variance they have at the least."""
    there = chosen & np.isfinite(column.values)
    least = 0.0 if column.least is None or not there.any() else float(column.least[there].mean())
    return column.values[there], least


def _value(column: Column, grouping: Grouping, place: int, confidence: float, min_rows: int) -> GroupValue:
    values, least = _in_group(column, grouping.members == place)
    mean = finite(float(values.mean())) if len(values) else None
    limits = mean_interval(values, confidence, least) if len(values) else None
    return GroupValue(grouping.names[place], mean, closed(limits), len(values), len(values) < min_rows)


def _spread(column: Column, grouping: Grouping, min_rows: int) -> Spread:
    groups = [_in_group(column, grouping.members == place)[0] for place in range(len(grouping.names))]
    known = [float(values.mean()) for values in groups if len(values) >= min_rows]
    if len(known) < 2:
        return Spread(None, None)
    low, high = min(known), max(known)
    shares = column.shown not in ("calibration", "words")
    return Spread(high - low, None if not shares or high <= 0 else low / high)


def _gaps(column: Column, grouping: Grouping, confidence: float, min_rows: int) -> Iterator[Gap]:
    # Of two groups each is all the others of the other: one test says it.
    for place in range(1 if len(grouping.names) == 2 else len(grouping.names)):
        yield _gap(column, grouping, place, [], confidence, min_rows)


def _gap(
    column: Column, grouping: Grouping, place: int, without: Sequence[str], confidence: float, min_rows: int
) -> Gap:
    """A group against the rows of all others but some, not judged yet."""
    name = grouping.names[place]
    out = [_NOBODY, place, *(grouping.names.index(other) for other in without)]
    mine, my_least = _in_group(column, grouping.members == place)
    others, their_least = _in_group(column, ~np.isin(grouping.members, out))
    if not len(mine) or not len(others):
        return Gap(name, None, None, None, "too few")
    limits: tuple[float, float] | None = None
    p_value: float | None = None
    enough = min(len(mine), len(others)) >= min_rows
    if binary(mine) and binary(others):
        limits, p_value = proportions(mine, others, confidence)
    elif enough:
        limits, p_value = means(mine, others, confidence, (my_least, their_least))
    apart = float(mine.mean() - others.mean())
    return Gap(name, apart, closed(limits), p_value if enough else None, "not shown" if enough else "too few")
