"""Rows ranked by the probability of a label. What the area under the ROC curve and average precision share.

Each label is ranked by itself, and the figure is the plain mean over labels that some rows have and some have not.
Ties are one step of the ranking. Only rows of which the model gave probabilities count. A resample is ranked by its
rows' weights, so its value is exact, as that of a resample of any other metric.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from tunesmith.metrics import Floats, Metric, Need, ratio
from tunesmith.metrics._intervals import accelerated, percentiles, untouched
from tunesmith.metrics._labels import few_rows
from tunesmith.metrics._probabilities import believed
from tunesmith.records import Prediction

ACCELERATED = 1000
"""Rows up to which each is left out in turn, at a cost that grows with their square."""


class Ranking(Metric):
    """A metric of the order in which probabilities put rows."""

    needs: ClassVar[frozenset[Need]] = frozenset({"label", "scores"})
    label: str | None = None
    """Only this label's ranking; left out, the plain mean over all labels."""

    @abstractmethod
    def of_steps(self, have: Floats, rest: Floats) -> Floats:
        """[R] from the weight of rows that have the label, and of the rest, [R, S], at each step from the top."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 1 + 2 L]: whether it has probabilities; of each label its probability, and whether the row has it.
        held = believed(predictions)
        labels = sorted({label for each in held if each for label in (*each.scores, *each.right)})
        labels = labels if self.label is None else [self.label]
        found = np.zeros((len(held), 1 + 2 * len(labels)))
        for row, each in enumerate(held):
            if each is not None:
                scores = [each.scores.get(label, 0.0) for label in labels]
                found[row] = [1.0, *scores, *[float(label in each.right) for label in labels]]
        return found

    def value(self, totals: Floats) -> Floats:
        return np.full(totals.shape[:-1], np.nan)  # no sum says how rows are ranked

    def per_row(self, statistics: Floats) -> Floats:
        """How likely the model held what is right, in the mean of the labels."""
        scored, scores, have = parts_of(statistics)
        held = ratio((1 - np.abs(scores - have)).sum(axis=1), np.full(len(scores), float(scores.shape[1])))
        return np.where(scored > 0, held, np.nan)

    def resampled(self, statistics: Floats, weights: Floats) -> Floats:
        scored, scores, have = parts_of(statistics)
        counted = weights * scored
        found = np.stack(
            [self._of_label(scores[:, place], have[:, place], counted) for place in range(scores.shape[1])]
            or [np.full(len(weights), np.nan)]
        )
        known = np.isfinite(found)
        return ratio(np.where(known, found, 0.0).sum(0), known.sum(0).astype(float))

    def _of_label(self, scores: Floats, have: Floats, weights: Floats) -> Floats:
        order = np.argsort(-scores, kind="stable")
        starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
        if not len(starts):
            return np.full(len(weights), np.nan)
        ranked = weights[:, order]
        with_it = np.add.reduceat(ranked * have[order], starts, axis=1)
        without = np.add.reduceat(ranked * (1 - have[order]), starts, axis=1)
        both = (with_it.sum(1) > 0) & (without.sum(1) > 0)
        return np.where(both, self.of_steps(with_it, without), np.nan)

    def left_out(self, statistics: Floats) -> Floats:
        return self.resampled(statistics, 1 - np.eye(len(statistics)))

    def interval(self, statistics: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        """The bootstrap's percentiles, and where rows are so few that it matters as far as accelerated ones reach; a
        ranking without a flaw has the open side that so many rows allow."""
        value = self.whole(statistics)
        if np.isclose(value, (self.lowest, self.highest), atol=1e-9).any():
            scored = int(statistics[:, 0].sum())
            return untouched(round(value), scored, self.lowest, self.highest, confidence)
        plain = percentiles(drawn, confidence)
        if plain is None or len(statistics) > ACCELERATED:
            return plain
        moved = accelerated(value, drawn, self.left_out(statistics), confidence) or plain
        return min(plain[0], moved[0]), max(plain[1], moved[1])

    def difference(self, after: Floats, before: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        if np.array_equal(after, before):
            return super().difference(after, before, drawn, confidence)
        return percentiles(drawn, confidence)

    def caution(self, statistics: Floats) -> str:
        return few_rows(parts_of(statistics)[2].sum(axis=0))


def parts_of(statistics: Floats) -> tuple[Floats, Floats, Floats]:
    """[N], [N, L], [N, L]: whether scored, probabilities, whether the row has the label."""
    labels = (statistics.shape[1] - 1) // 2
    return statistics[:, 0], statistics[:, 1 : 1 + labels], statistics[:, 1 + labels :]
