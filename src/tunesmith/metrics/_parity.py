"""Rates of groups held against each other. What demographic parity, equal opportunity and equalized odds share.

A group is a value of a column. For each label (or the one named) three rates can be looked at:

    given      the share of rows that are given the label
    found      of rows that have it, the share that are given it
    mistaken   of rows that do not have it, the share that are given it

The value is the largest difference, or the smallest ratio, between the rates of any two groups. Groups with fewer rows
than `min_rows` behind a rate are left out of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tunesmith.metrics import Floats, Metric, Need, ratio
from tunesmith.metrics._gaps import Rate, largest_difference, smallest_ratio
from tunesmith.metrics._labels import label_sets
from tunesmith.records import Prediction

MISSING = ("(missing)", "(several)")
"""Values that are no group: nothing stands in the column, or a text names several."""
Kind = Literal["given", "found", "mistaken"]


class GroupGap(Metric):
    """Largest difference between groups. N rows, C rates, G groups."""

    needs: ClassVar[frozenset[Need]] = frozenset({"label"})
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    for_contract: ClassVar[Mapping[str, Any]] = {"min_rows": 1}
    rates: ClassVar[tuple[Kind, ...]]
    """Which rates are compared."""

    by: str = Field(min_length=1, examples=["channel"])
    """The column that holds the groups; `gender_in_text` where the step `identity_terms` made it."""
    label: str | None = None
    """Only what is said of this label; the label with the largest difference when left out."""
    min_rows: int = Field(default=30, ge=1)
    """Groups with fewer rows behind a rate are left out of it."""

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.by,)

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        """[N, G + 2 C G]: a -1 for every group, which says how many there are in any sum; then successes of every rate
        and group; then trials."""
        pairs = label_sets(predictions)
        every = {label for pair in pairs for labels in pair for label in labels}
        labels = sorted(every) if self.label is None else [self.label]
        groups = [group_of(row, self.by) for row in predictions]
        names = sorted({group for group in groups if group is not None})
        counts = np.zeros((len(pairs), 2, len(labels), len(self.rates), len(names)))
        for row, ((right, given), group) in enumerate(zip(pairs, groups, strict=True)):
            if group is None:
                continue
            place = names.index(group)
            for number, label in enumerate(labels):
                for which, kind in enumerate(self.rates):
                    if kind == "given" or (kind == "found") == (label in right):
                        counts[row, :, number, which, place] = (label in given, 1)
        # A group with too few rows behind a rate has none.
        counts *= counts[:, 1].sum(axis=0) >= self.min_rows
        flat = counts.reshape(len(pairs), math.prod(counts.shape[1:]))
        return np.concatenate([np.full((len(pairs), len(names)), -1.0), flat], axis=1)

    def value(self, totals: Floats) -> Floats:
        hits, rows = _counts(totals)
        rates = ratio(hits, rows)
        known = np.isfinite(rates)
        high = np.where(known, rates, -np.inf).max(axis=-1, initial=-np.inf)
        low = np.where(known, rates, np.inf).min(axis=-1, initial=np.inf)
        return self.apart(low, high, known.sum(axis=-1) > 1)

    def apart(self, low: Floats, high: Floats, there: NDArray[np.bool_]) -> Floats:
        """[...]: how far groups are apart in the rate where they are furthest.

        Args:
            low, high: [..., C], the rates of the lowest and the highest group.
            there: [..., C], whether there are two groups.
        """
        gaps = np.subtract(high, low, out=np.full(low.shape, -np.inf), where=there).max(axis=-1, initial=-np.inf)
        return np.where(np.isfinite(gaps), gaps, np.nan)

    def limits(self, rates: list[list[Rate]], confidence: float) -> tuple[float, float] | None:
        """The interval of the value, from successes and trials of every rate and group."""
        return largest_difference(rates, confidence)

    def per_row(self, statistics: Floats) -> Floats:
        """No row by itself is fair or not: 0 for those that count."""
        counted = _counts(statistics)[1].any(axis=(1, 2))
        return np.where(counted, 0.0, np.nan)

    def interval(self, statistics: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        """By the pairs of groups: a bootstrap of a largest difference is too sure that there is one."""
        if not len(statistics):
            return None
        hits, rows = _counts(statistics.sum(axis=0))
        rates = [
            [(float(hit), int(count)) for hit, count in zip(of_hits, of_rows, strict=True) if count]
            for of_hits, of_rows in zip(hits, rows, strict=True)
        ]
        return self.limits(rates, confidence)


class GroupRatio(GroupGap):
    """Smallest ratio between groups."""

    better: ClassVar[Literal["higher", "lower"]] = "higher"

    def apart(self, low: Floats, high: Floats, there: NDArray[np.bool_]) -> Floats:
        # Where no group has any, all have the same.
        ratios = np.divide(low, high, out=np.ones(low.shape), where=there & (high > 0))
        smallest = np.where(there, ratios, np.inf).min(axis=-1, initial=np.inf)
        return np.where(np.isfinite(smallest), smallest, np.nan)

    def limits(self, rates: list[list[Rate]], confidence: float) -> tuple[float, float] | None:
        return smallest_ratio(rates, confidence)


def group_of(prediction: Prediction, column: str) -> str | None:
    """The group of a row; None where it has none."""
    group = prediction.record.slices.get(column)
    return None if group is None or group in MISSING else group


def _counts(totals: Floats) -> tuple[Floats, Floats]:
    """Successes and trials, each [..., C, G], of totals [..., G + 2 C G]."""
    num_groups = int((totals.reshape(-1, totals.shape[-1])[0] < 0).sum()) if totals.size else 0
    counts = totals[..., num_groups:]
    num_rates = counts.shape[-1] // (2 * num_groups) if num_groups else 0
    counts = counts.reshape(*totals.shape[:-1], 2, num_rates, num_groups)
    return counts[..., 0, :, :], counts[..., 1, :, :]
