"""Field accuracy: of the fields that right JSON answers hold, the share that is given, with the right value.

A missing field is wrong, and so is every field of an answer that is no JSON; a field too many costs nothing (it does in
`field_f1`). Rows whose right answer is no JSON have none. With several right answers the nearest counts.
"""

from __future__ import annotations

from tunesmith.metrics import Floats, ratio
from tunesmith.metrics._json import OfFields


class FieldAccuracy(OfFields):
    """Share of the right answers' fields that are right."""

    def value(self, totals: Floats) -> Floats:
        return ratio(totals[..., 0], totals[..., 2])
