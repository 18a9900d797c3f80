"""Steps that measure figures of every row and leave out rows for which one lies outside of its bounds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tunesmith.data.methods.quality.said import judged
from tunesmith.data.room import Room
from tunesmith.data.steps import KEEP, Outcome, Step, drop
from tunesmith.records import Record

NEAREST = 5
"""Rows shown on either side of a bound."""
EXCERPT = 200
"""Characters of a row that is shown."""


class Bound(NamedTuple):
    """A figure and where it is cut; rows for which it is nan are kept."""

    what: str
    low: float | None = None
    high: float | None = None
    below: str = ""
    """Why a row is left out whose figure is lower than `low`."""
    above: str = ""
    """Why one is left out whose figure is higher than `high`."""

    def reason(self, value: float) -> str:
        """Why a row is left out whose figure lies outside."""
        return self.below if self.low is not None and value < self.low else self.above

    def cuts(self, values_N: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Which rows lie outside."""
        cut_N = np.zeros(len(values_N), dtype=bool)
        if self.low is not None:
            cut_N |= values_N < self.low
        if self.high is not None:
            cut_N |= values_N > self.high
        return cut_N


class BoundedStep(Step):
    """A step that is figures and bounds. The distribution of each figure is kept with its bounds, and the rows nearest
    to a bound are shown, dropped and kept ones."""

    @abstractmethod
    def measure(self, records: Sequence[Record], room: Room) -> npt.NDArray[np.float64]:
        """[N, K]: the figures of every row."""

    @abstractmethod
    def bounds(self, values_NK: npt.NDArray[np.float64]) -> tuple[Bound, ...]:
        """The bounds of the figures, K of them. A row is dropped for the first one it is outside of."""

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        values_NK = self.measure(records, room)
        bounds = self.bounds(values_NK)
        cut_NK = np.zeros(values_NK.shape, dtype=bool)
        for number, bound in enumerate(bounds):
            values_N = values_NK[:, number]
            cut_NK[:, number] = bound.cuts(values_N)
            room.measured(bound.what, values_N, low=bound.low, high=bound.high)
            room.show(f"{bound.what}: the rows nearest to its bounds", _nearest(bound, values_N, records))
        for values_K, cut_K in zip(values_NK, cut_NK, strict=True):
            if cut_K.any():
                number = int(cut_K.argmax())
                bound, value = bounds[number], float(values_K[number])
                yield drop(bound.reason(value), f"{bound.what}: {value:.4g}")
            else:
                yield KEEP


def gathered(rows: Iterator[Sequence[float]], count: int, figures: int) -> npt.NDArray[np.float64]:
    """[N, K] of N rows of K figures."""
    return np.fromiter((tuple(row) for row in rows), dtype=np.dtype((np.float64, figures)), count=count)


def excerpt(record: Record) -> str:
    """The beginning of what a record says."""
    return "\n".join(judged(record))[:EXCERPT]


def _nearest(bound: Bound, values_N: npt.NDArray[np.float64], records: Sequence[Record]) -> Iterator[dict[str, Any]]:
    cut_N = bound.cuts(values_N)
    if not cut_N.any():
        return
    edges = [edge for edge in (bound.low, bound.high) if edge is not None]
    far_N = np.min([np.abs(values_N - edge) for edge in edges], axis=0)
    for dropped in (True, False):
        places = np.flatnonzero((cut_N == dropped) & np.isfinite(values_N))
        for place in places[np.argsort(far_N[places], kind="stable")[:NEAREST]].tolist():
            record = records[place]
            yield {
                "id": record.id,
                "source": record.source,
                bound.what: round(float(values_N[place]), 4),
                "dropped": dropped,
                "text": excerpt(record),
            }
