"""Area under the ROC curve: how often a row that has a label is ranked above one that has not; ties count half.

With several labels the mean of each against the rest, as scikit-learn's `multi_class="ovr", average="macro"`.
"""

from __future__ import annotations

import numpy as np

from tunesmith.metrics import Floats, ratio
from tunesmith.metrics._ranking import Ranking


class RocAuc(Ranking):
    """How often a row that has the label is ranked above one that has not."""

    def of_steps(self, have: Floats, rest: Floats) -> Floats:
        above = np.cumsum(have, axis=1) - have / 2
        return ratio((above * rest).sum(1), have.sum(1) * rest.sum(1))
