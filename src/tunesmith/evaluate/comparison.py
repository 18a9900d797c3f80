"""What a comparison says, as `evaluation/comparison.json` holds it.

None stands for a value where there was nothing to measure, for an interval that the rows are too few
for, and for an end of an interval that is open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from tunesmith.records import Plain

Interval = tuple[float | None, float | None]


def finite(value: float | None) -> float | None:
    """`value`, or None where JSON has no word for it."""
    return None if value is None or not math.isfinite(value) else float(value)


def closed(interval: tuple[float, float] | None) -> Interval | None:
    """An interval with None at open ends."""
    return None if interval is None else (finite(interval[0]), finite(interval[1]))


@dataclass(frozen=True)
class Estimate:
    """A metric's value on some rows."""

    value: float | None
    interval: Interval | None
    num_rows: int
    """Rows that had something to measure."""


@dataclass(frozen=True)
class Difference:
    """The last arm's value minus that of another arm, on the same rows."""

    value: float | None
    interval: Interval | None
    p_value: float | None
    """Two-sided, of no difference."""
    num_rows: int
    corrected: float | None = None
    """The p-value as it stands among all that were looked at (Holm 1979)."""


@dataclass(frozen=True)
class SliceMeasure:
    """A metric on the rows that share a value."""

    column: str
    value: str
    num_rows: int
    small: bool
    """Too few rows to lean on."""
    arms: dict[str, Estimate]
    differences: dict[str, Difference]
    """By the arm that the last one is held against."""


@dataclass(frozen=True)
class FoundSlice(SliceMeasure):
    """A slice that no column names; `column` is the kind it is of."""

    apart: Difference
    """The last arm's value on these rows minus that on all others."""


@dataclass(frozen=True)
class Found:
    """The first metric on slices that were found, those that are surely worse than elsewhere first."""

    metric: str
    slices: list[FoundSlice]
    left_out: int
    """Slices with too few rows, inside or outside, and those beyond the largest of their kind."""


@dataclass(frozen=True)
class FoldMeasure:
    """A metric in each of several models: the folds of a cross-validation, or seeds."""

    values: list[float | None]
    mean: float | None
    interval: Interval | None
    """Of the mean, models and rows taken as drawn by chance."""


@dataclass(frozen=True)
class Measure:
    """One metric over all rows and by slice."""

    name: str
    unit: str
    better: Literal["higher", "lower"]
    lowest: float | None
    highest: float | None
    arms: dict[str, Estimate]
    differences: dict[str, Difference]
    """By the arm that the last one is held against."""
    slices: list[SliceMeasure] = field(default_factory=list)
    folds: dict[str, FoldMeasure] = field(default_factory=dict)
    """By arm; empty without folds."""
    seeds: FoldMeasure | None = None
    """Of the last arm's model, which comes first, and of others that differ in their seed; None where none were."""
    caution: str = ""
    """Why the last arm's interval may be narrower than it should be; empty where it is not."""

    def can_be(self, value: float) -> bool:
        """Whether the metric can come to a value at all."""
        return (self.lowest is None or value >= self.lowest) and (self.highest is None or value <= self.highest)


@dataclass(frozen=True)
class ClassRow:
    """How one label fares."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    """How often it is right."""
    predicted: int
    """How often it was given."""


@dataclass(frozen=True)
class Labels:
    """Labels against labels."""

    names: list[str]
    confusion: dict[str, list[list[int]]]
    """By arm; rows are right labels, columns given ones. Empty where a row may have several."""
    classes: dict[str, list[ClassRow]]


@dataclass(frozen=True)
class Case:
    """One row as people read it."""

    id: str
    source: str
    prompt: str
    expected: str
    outputs: dict[str, str]
    scores: dict[str, float | None]
    slices: dict[str, str]


@dataclass(frozen=True)
class Cases:
    """Rows worth reading, by the first metric that scores rows: of the last arm, and where arms differ."""

    metric: str
    best: list[Case]
    worst: list[Case]
    improved: list[Case]
    regressed: list[Case]


@dataclass(frozen=True)
class Lengths:
    """How long answers are, in characters."""

    mean: float
    p5: float
    p50: float
    p95: float
    max: float


@dataclass(frozen=True)
class Comparison(Plain):
    """Arms side by side on the same rows."""

    arms: list[str]
    num_rows: int
    confidence: float
    resamples: int
    seed: int
    measures: list[Measure]
    labels: Labels | None
    cases: Cases | None
    lengths: dict[str, Lengths]
    found: Found | None = None
    """None where none were looked for."""
