"""Matthews' correlation of right and given labels, for any number of labels (Gorodkin 2004), as scikit-learn has it.

1 is perfect, 0 what chance gives, also where all rows have one label or were given one.
"""

from __future__ import annotations

import numpy as np

from tunesmith.metrics import Floats, ratio
from tunesmith.metrics._confused import Confused


class Mcc(Confused):
    """Correlation of right and given labels."""

    def of_totals(self, agreed: Floats, right: Floats, given: Floats) -> Floats:
        rows = right.sum(-1)
        together = agreed * rows - (right * given).sum(-1)
        apart = np.sqrt((rows**2 - (right**2).sum(-1)) * (rows**2 - (given**2).sum(-1)))
        return np.where(rows > 0, ratio(together, apart, empty=0.0), np.nan)
