"""Average precision: the precision at each step of the ranking, weighed by the recall it adds, as scikit-learn has it.

What chance gives is the share of rows that have the label, so figures of other data do not compare.
"""

from __future__ import annotations

import numpy as np

from tunesmith.metrics import Floats, ratio
from tunesmith.metrics._ranking import Ranking


class AveragePrecision(Ranking):
    """Precision over the whole ranking."""

    def of_steps(self, have: Floats, rest: Floats) -> Floats:
        found = np.cumsum(have, axis=1)
        precision = ratio(found, found + np.cumsum(rest, axis=1), empty=0.0)
        return ratio((precision * have).sum(1), have.sum(1))
