"""Field F1: the harmonic mean of how many given JSON fields are right and how many right ones are given.

Micro: counted over the fields of all rows together. A field with a wrong value is both, one too many and one missing.
Rows whose right answer is no JSON have none. With several right answers the nearest counts.
"""

from __future__ import annotations

from tunesmith.metrics import Floats, ratio
from tunesmith.metrics._json import OfFields


class FieldF1(OfFields):
    """F1 over the fields of JSON answers."""

    def value(self, totals: Floats) -> Floats:
        return ratio(2 * totals[..., 0], totals[..., 1] + totals[..., 2])
