"""How a figure is spread over rows, as plain JSON values; the same as steps tell with their thresholds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from tunesmith.data.room import Room


def spread(what: str, values: npt.ArrayLike) -> dict[str, Any] | None:
    """A distribution in bars and quantiles, with its mean; None of no values."""
    found = np.asarray(values, np.float64)
    room = Room()
    room.measured(what, found)
    if not room.findings.distributions:
        return None
    return {**asdict(room.findings.distributions[0]), "mean": float(found[np.isfinite(found)].mean())}
