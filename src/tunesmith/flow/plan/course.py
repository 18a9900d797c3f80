"""Where a short training would have come to: a saturating power law through its validation figures.

    figure(t) = end + drop x t^-power        after t optimizer steps

as learning curves are found to run (Hestness et al., arXiv 1712.00409; for few points Domhan et al., IJCAI 2015).
The power is chosen on a grid, and for each the other two by least squares, neither below zero. The interval holds two
things: how well the law goes through the points (their residuals are drawn again, and it is fitted anew), and that
only so many validation rows were asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

POWERS = np.linspace(0.1, 2.0, 39)
"""From a course that hardly bends to one that is soon over."""
RESAMPLES = 300
FEWEST = 4
"""Points below which no law is fitted."""
REACH = 1.959964
"""Standard errors to each side of a 95% interval."""


@dataclass(frozen=True)
class Projection:
    """A figure after the whole training."""

    value: float
    low: float
    high: float
    """Of the 95% interval."""
    basis: str


def project(
    steps: Sequence[int], values: Sequence[float], total: int, row_error: float, *, better: str, seed: int = 0
) -> Projection:
    """Extends a course to `total` steps.

    Args:
        steps: after which it was measured, ascending.
        values: the figure there, 0 to 1 where higher is better.
        total: steps of the whole training.
        row_error: standard error of a value, since only so many rows were asked.
        better: `higher` or `lower`.
    """
    last = values[-1]
    if steps[-1] >= total:
        return Projection(
            last, last - REACH * row_error, last + REACH * row_error,
            f"the whole training of {steps[-1]:,} steps; the interval is of the validation rows",
        )  # fmt: skip
    if len(steps) < FEWEST:
        return Projection(last, -np.inf, np.inf, f"{len(steps)} points are too few for a course, so nothing is told")
    left = np.array([1 - value for value in values] if better == "higher" else values, dtype=np.float64)
    when = np.array(steps, dtype=np.float64)
    end, fitted = _fit(when, left, total)
    # As many residuals as points, less what three numbers take of them.
    residual = (left - fitted) * np.sqrt(len(left) / max(1, len(left) - 3))
    draw = np.random.default_rng(seed)
    again = [_fit(when, fitted + draw.choice(residual, len(left)), total)[0] for _ in range(RESAMPLES)]
    reach = REACH * float(np.hypot(np.std(again), row_error))
    # What the law may do beyond the points grows with how far it is carried.
    reach += 0.5 * abs(end - float(fitted[-1]))
    value = 1 - end if better == "higher" else end
    basis = (
        f"carried from {steps[-1]:,} to {total:,} steps by a power law through {len(steps)} points; the interval is of "
        "its residuals, of the validation rows, and half of what it was carried"
    )
    most = 1.0 if better == "higher" else np.inf
    return Projection(value, max(value - reach, 0.0), min(value + reach, most), basis)


def _fit(when_P: Floats, left_P: Floats, total: int) -> tuple[float, Floats]:
    """What is left after `total` steps, and the law's values at the points."""
    from scipy.optimize import nnls

    best: tuple[float, float, Floats] | None = None
    for power in POWERS:
        design = np.column_stack([np.ones(len(when_P)), when_P**-power])
        (end, drop), error = nnls(design, np.maximum(left_P, 0.0))
        if best is None or error < best[0]:
            best = (error, float(end + drop * total**-power), design @ np.array([end, drop]))
    assert best is not None
    return best[1], best[2]
