"""Where rows are missing: values and pairs of values with too few rows to say how well a model does there. N rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.data.audit.table import Column
from tunesmith.data.split import SPLITS

HALF_WIDTH = 0.05
_Z = 1.959964
MOST_VALUES, OTHER = 12, "(other)"
EXPECTED, MOST_EMPTY = 20, 0.2
"""An empty cell is a gap where so many rows would be expected, in a table with at most this share of them."""

TEST = SPLITS.index("test")


def half_width(rows: int) -> float | None:
    """Half of the 95% interval of an accuracy measured on so many rows, at its widest (half of them right; Wilson)."""
    return _Z / (2 * math.sqrt(rows + _Z**2)) if rows else None


def rows_needed(width: float = HALF_WIDTH) -> int:
    """The rows an interval of plus and minus `width` takes, whatever the accuracy."""
    return math.ceil((_Z / (2 * width)) ** 2 - _Z**2)


def banded(name: str, values: npt.NDArray[np.float64], names: Sequence[str]) -> Column | None:
    """A column of bands with about equally many rows, the unknown in the lowest; None where too many are equal."""
    known = np.isfinite(values)
    if known.sum() < 3 * len(names):
        return None
    cuts = np.quantile(values[known], np.arange(1, len(names)) / len(names))
    if len(np.unique(cuts)) < len(cuts):
        return None
    bands = np.searchsorted(cuts, np.where(known, values, -np.inf), side="left")
    return Column(name, list(names), bands)


def coverage(columns: Sequence[Column], own: Sequence[str], splits_N: npt.NDArray[np.int8]) -> dict[str, Any]:
    """Counts rows by value and by pairs of values.

    Args:
        columns: with their values; of many the commonest are told apart.
        own: names of the columns that the spec reports by; gaps are looked for in their tables.
        splits_N: where each row is.

    Returns:
        needed: test rows an interval of +-5 points takes; values: [{column, value, rows, test, half_width}] of own
        columns; tables: [{rows, columns, row_values, column_values, counts, test, own}]; gaps: [{where, expected}].
    """
    tested = splits_N == TEST
    small = [_few(column) for column in columns]
    values = []
    for column in small:
        if column.name not in own:
            continue
        all_rows = np.bincount(column.of_N, minlength=len(column.values)).tolist()
        test_rows = np.bincount(column.of_N[tested], minlength=len(column.values)).tolist()
        for value, rows, test in zip(column.values, all_rows, test_rows, strict=True):
            values.append(
                {"column": column.name, "value": value, "rows": rows, "test": test, "half_width": half_width(test)}
            )
    tables, gaps = [], []
    for one, other in combinations(small, 2):
        table = _table(one, other, tested)
        table["own"] = one.name in own or other.name in own
        tables.append(table)
        if one.name in (*own, "label") and other.name in (*own, "label"):
            gaps += _gaps(one, other, np.array(table["counts"]))
    return {"needed": rows_needed(), "values": values, "tables": tables, "gaps": gaps}


def _few(column: Column) -> Column:
    """The commonest values apart, the others together."""
    if len(column.values) <= MOST_VALUES:
        return column
    sizes = np.bincount(column.of_N, minlength=len(column.values))
    kept = sorted(np.argsort(-sizes, kind="stable")[: MOST_VALUES - 1].tolist())
    place = np.full(len(column.values), len(kept))
    place[kept] = np.arange(len(kept))
    return Column(column.name, [*(column.values[at] for at in kept), OTHER], place[column.of_N])


def _table(one: Column, other: Column, tested: npt.NDArray[np.bool_]) -> dict[str, Any]:
    shape = len(one.values), len(other.values)
    cells = one.of_N * shape[1] + other.of_N
    counts = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)
    test = np.bincount(cells[tested], minlength=shape[0] * shape[1]).reshape(shape)
    return {
        "rows": one.name,
        "columns": other.name,
        "row_values": one.values,
        "column_values": other.values,
        "counts": counts.tolist(),
        "test": test.tolist(),
    }


def _gaps(one: Column, other: Column, counts: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
    """Empty cells where rows would be expected if the columns had nothing to do with each other."""
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / max(int(counts.sum()), 1)
    empty = (counts == 0) & (expected >= EXPECTED)
    if (counts == 0).mean() > MOST_EMPTY:  # what stands together by nature leaves most cells empty
        return []
    return [
        {
            "where": {one.name: one.values[row], other.name: other.values[column]},
            "expected": float(expected[row, column]),
        }
        for row, column in np.argwhere(empty).tolist()
    ]
