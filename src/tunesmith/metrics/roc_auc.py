"""Area under the ROC curve: how often a row that has a label is ranked above one that has not; ties count half.

With several labels the mean of each against the rest, as scikit-learn's `multi_class="ovr", average="macro"`.
"""

from __future__ import annotations

import numpy as np

from tunesmith.metrics import Floats, ratio
from tunesmith.metrics._ranking import Ranking, parts_of
from tunesmith.metrics._roc import auc_interval


class RocAuc(Ranking):
    """How often a row that has the label is ranked above one that has not."""

    def of_steps(self, have: Floats, rest: Floats) -> Floats:
        above = np.cumsum(have, axis=1) - have / 2
        return ratio((above * rest).sum(1), have.sum(1) * rest.sum(1))

    def interval(self, statistics: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        """Of one ranking by formula, which holds for few rows of a label too; of several the bootstrap's."""
        with_it, without = _of_one_ranking(statistics)
        if with_it is None:
            return super().interval(statistics, drawn, confidence)
        return auc_interval(self.whole(statistics), with_it, without, confidence)

    def caution(self, statistics: Floats) -> str:
        return super().caution(statistics) if _of_one_ranking(statistics)[0] is None else ""


def _of_one_ranking(statistics: Floats) -> tuple[int | None, int]:
    """Rows that have the label and rows that have not, where there is one ranking; None where there are several."""
    scored, _, have = parts_of(statistics)
    have = have[scored > 0]
    # Where every row has one of two labels, each is ranked as the other is, the wrong way round.
    if have.shape[1] == 1 or (have.shape[1] == 2 and (have.sum(axis=1) == 1).all()):
        return int(have[:, 0].sum()), int((1 - have[:, 0]).sum())
    return None, 0
