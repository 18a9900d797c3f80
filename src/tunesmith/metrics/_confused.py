"""Labels given against labels that are right, all at once. What Matthews' correlation and Cohen's kappa share.

Both need no table of labels against labels: the rows that are right, and how often each label is right and given, say
enough. That is for rows of one label; where a row has several, its set of labels counts as one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from tunesmith.metrics import Floats, Metric, Need
from tunesmith.metrics._labels import label_sets
from tunesmith.records import Prediction


class Confused(Metric):
    """A metric of all labels together that chance is taken out of: 0 is what chance gives."""

    needs: ClassVar[frozenset[Need]] = frozenset({"label"})
    lowest: ClassVar[float] = -1.0

    @abstractmethod
    def of_totals(self, agreed: Floats, right: Floats, given: Floats) -> Floats:
        """The value.

        Args:
            agreed: [...] rows that are right.
            right: [..., L] rows of each label.
            given: [..., L] rows that were given each label.
        """

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 1 + 2 L]: whether the row is right, its label, the label it was given.
        pairs = label_sets(predictions)
        place = {labels: index for index, labels in enumerate(dict.fromkeys(each for pair in pairs for each in pair))}
        found = np.zeros((len(pairs), 1 + 2 * len(place)))
        for row, (right, given) in enumerate(pairs):
            found[row, 0] = right == given
            found[row, 1 + place[right]] = found[row, 1 + len(place) + place[given]] = 1
        return found

    def value(self, totals: Floats) -> Floats:
        labels = (totals.shape[-1] - 1) // 2
        return self.of_totals(totals[..., 0], totals[..., 1 : 1 + labels], totals[..., 1 + labels :])

    def per_row(self, statistics: Floats) -> Floats:
        return statistics[:, 0]
