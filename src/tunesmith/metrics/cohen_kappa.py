"""Cohen's kappa (1960): how far given labels agree with right ones beyond what chance would give.

1 is perfect, 0 what chance gives. Where every row has, and was given, one and the same label there is nothing that
chance could be told from, and no value.
"""

from __future__ import annotations

from tunesmith.metrics import Floats, ratio
from tunesmith.metrics._confused import Confused


class CohenKappa(Confused):
    """Agreement with the right labels beyond chance."""

    def of_totals(self, agreed: Floats, right: Floats, given: Floats) -> Floats:
        rows = right.sum(-1)
        by_chance = ratio((right * given).sum(-1), rows**2)
        return ratio(ratio(agreed, rows) - by_chance, 1 - by_chance)
