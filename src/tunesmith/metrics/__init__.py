"""Metrics: one file each, and the file is the metric's name.

A metric first boils every row down to a few numbers that can be added up (`statistics`) and then
turns a sum of them into its value (`value`). The value of any resample of the rows is therefore exact
and costs one matrix product, which is what makes paired bootstrap intervals cheap.

Variants of one idea share a file's code and keep a file of a few lines each, so that `f1_macro`,
`rouge2` and `latency_p95` are names a spec can use. Where nothing is there to be measured (no row, no
entity, a label that nobody gave) the value is nan, which says so, and not 0, which would say it is bad.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from tunesmith.errors import UserError
from tunesmith.metrics._intervals import (
    accelerated,
    agreed_difference,
    mcnemar,
    rows_to_part,
    two_sided,
    untouched,
    wilson,
)
from tunesmith.part import Part
from tunesmith.records import Models, Prediction

Floats = NDArray[np.float64]
Need = Literal["label", "scores", "text", "spans", "nll", "seconds", "measured"]
"""What a prediction must carry: a label, a probability of each label, free text, spans, the nll of the right tokens,
its own time, figures that others measured."""
Rows = Literal["test", "retention", "review", "robustness", "privacy", "counterfactual", "stereotypes", "without_words"]
"""Whose rows a metric is measured on: the test rows, those of abilities to keep, rated ones, changed ones, those that
attacks on privacy are tried on, those with terms of identity swapped, items of stereotype suites, those asked again
without single words."""


@dataclass(frozen=True)
class Score:
    """What a metric says of some predictions."""

    value: float
    """nan where there was nothing to measure."""
    per_row: Floats
    """[N] the score of each row by itself; nan where a row has none."""
    num_rows: int
    """Rows that have a score."""


@dataclass(frozen=True)
class Draws:
    """Answers drawn for each question beside the likeliest one."""

    count: int
    temperature: float
    """Above 0: what logits are divided by."""
    top_p: float = 0.95
    """Drawn among the fewest likeliest tokens whose probabilities sum to this."""


class Metric(Part):
    """A number that says how good predictions are. N rows, K statistics a row, R resamples."""

    needs: ClassVar[frozenset[Need]]
    """What the predictions must carry."""
    rows: ClassVar[Rows] = "test"
    """Whose rows it is measured on."""
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    """Which way is good."""
    unit: ClassVar[str] = ""
    """The unit of its values and bounds."""
    lowest: ClassVar[float] = 0.0
    highest: ClassVar[float] = 1.0
    """The range of its values."""

    @property
    def name(self) -> str:
        """Its kind, and its settings where they are not the defaults: `f1(label=spam)`."""
        changed = self.model_dump(mode="json", exclude_defaults=True)
        return self.kind + (f"({', '.join(f'{key}={value}' for key, value in changed.items())})" if changed else "")

    @property
    def draws(self) -> Draws | None:
        """The answers it wants in `Prediction.samples`, where it wants any."""
        return None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads; they must be among the slices of records."""
        return ()

    def for_task(self, task: str | None) -> Metric:
        """Itself as it is best measured for a task; most metrics do not mind."""
        return self

    @property
    def asks(self) -> str:
        """The model that it asks, as a spec names it; empty where it asks none."""
        return ""

    def bind(self, models: Models) -> Metric:
        """Itself with the models it asks, if it asks any."""
        return self

    @abstractmethod
    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        """[N, K]: what each row adds to the sums that `value` is made from."""

    @abstractmethod
    def value(self, totals: Floats) -> Floats:
        """[...] from totals [..., K], statistics summed over rows."""

    def per_row(self, statistics: Floats) -> Floats:
        """[N]: the score of each row by itself."""
        return self.value(statistics)

    def whole(self, statistics: Floats) -> float:
        """The value over all rows."""
        return float(self.resampled(statistics, np.ones((1, len(statistics))))[0])

    def resampled(self, statistics: Floats, weights: Floats) -> Floats:
        """[R]: the value when row n counts `weights[r, n]` times."""
        return self.value(weights @ statistics) if len(statistics) else np.full(len(weights), np.nan)

    def left_out(self, statistics: Floats) -> Floats:
        """[N]: the value without each row in turn."""
        return self.value(statistics.sum(axis=0) - statistics)

    def interval(self, statistics: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        """The two-sided confidence interval of the value; None where the rows are too few for one.

        The bootstrap's bias-corrected and accelerated interval (Efron 1987). When every row is perfect (or
        hopeless) each resample is too, and the bootstrap would claim certainty; the open side then reaches as
        far as that many rows out of as many allow a proportion to (Wilson 1927).

        Args:
            statistics: [N, K].
            drawn: [R] values of resamples.
            confidence: for example 0.95.
        """
        value = self.whole(statistics)
        for end in (self.lowest, self.highest):
            if math.isclose(value, end, abs_tol=1e-9):
                scored = int(np.isfinite(self.per_row(statistics)).sum())
                return untouched(end, scored, self.lowest, self.highest, confidence)
        return accelerated(value, drawn, self.left_out(statistics), confidence)

    def difference(self, after: Floats, before: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        """The interval of `value(after) - value(before)` on the same rows.

        Args:
            after: [N, K] statistics of one arm.
            before: [N, K] statistics of the other.
            drawn: [R] differences of resamples.
            confidence: for example 0.95.
        """
        value = self.whole(after) - self.whole(before)
        if np.array_equal(after, before) and math.isfinite(self.highest):
            # No row differs, nor does it in any resample; that says little of rows not seen.
            limits = agreed_difference(0, 0, len(after), confidence)
            return limits and (limits[0] * (self.highest - self.lowest), limits[1] * (self.highest - self.lowest))
        return accelerated(value, drawn, self.left_out(after) - self.left_out(before), confidence)

    def p_value(self, after: Floats, before: Floats, drawn: Floats) -> float | None:
        """Of no difference between two arms on the same rows, two-sided; by the bootstrap.

        It is never below what exchanging the arms on each row could show at the best: every row that differs halves
        that, so that fewer than six rows are no proof at 95%, however sure resamples of them look.

        Args:
            after, before, drawn: as in `difference`.
        """
        p_value = two_sided(drawn)
        differing = int((after != before).any(axis=1).sum()) if after.shape == before.shape else len(after)
        return None if p_value is None else max(p_value, min(1.0, 2 * 0.5**differing))

    def caution(self, statistics: Floats) -> str:
        """Why the interval of the value may hold it less often than it says; empty where it does not.

        Args:
            statistics: [N, K].
        """
        return ""

    def rows_to_settle(self, statistics: Floats, limit: float, bound: float, confidence: float) -> float:
        """About how many rows would part the value from a bound, were it to stay what it is.

        Args:
            statistics: [N, K] of the rows there are.
            limit: the one-sided confidence limit towards the bound; it closes in with the root of the rows.
            bound: what the value is held against.
            confidence: of the limit, one-sided.

        Returns:
            Rows in all, infinite where the value sits on the bound.
        """
        value = self.whole(statistics)
        rows = int(np.isfinite(self.per_row(statistics)).sum())
        return math.inf if value == bound else rows * ((value - limit) / (value - bound)) ** 2

    def score(self, predictions: Sequence[Prediction]) -> Score:
        """Value and per-row scores of some predictions."""
        statistics = self.statistics(predictions)
        per_row = self.per_row(statistics)
        return Score(self.whole(statistics), per_row, int(np.isfinite(per_row).sum()))


class Mean(Metric):
    """A metric that is the mean of one score a row."""

    @abstractmethod
    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        """One score a row; nan where a row has none."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        scores = np.array(self.scores(predictions), dtype=np.float64)
        scored = np.isfinite(scores)
        return np.stack([np.where(scored, scores, 0.0), scored.astype(np.float64)], axis=-1)

    def value(self, totals: Floats) -> Floats:
        return ratio(totals[..., 0], totals[..., 1])


class Proportion(Mean):
    """The share of rows that are right; each row scores 0 or 1, so that proper intervals are known."""

    def interval(self, statistics: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        """Wilson's score interval: honest at 0 and 1, where a bootstrap has no width."""
        return wilson(statistics[:, 0].sum(), int(statistics[:, 1].sum()), confidence)

    def difference(self, after: Floats, before: Floats, drawn: Floats, confidence: float) -> tuple[float, float] | None:
        """The adjusted interval of Bonett and Price (2012) for two proportions of the same rows."""
        return agreed_difference(*_moved(after, before), confidence)

    def p_value(self, after: Floats, before: Floats, drawn: Floats) -> float | None:
        """McNemar's test (1947), exact: of the rows that differ, half would be won."""
        won, lost, rows = _moved(after, before)
        return mcnemar(won, lost) if rows else None

    def rows_to_settle(self, statistics: Floats, limit: float, bound: float, confidence: float) -> float:
        return rows_to_part(self.whole(statistics), bound, confidence)


def _moved(after: Floats, before: Floats) -> tuple[int, int, int]:
    """Rows won, rows lost, and all rows that are scored in both."""
    both = (after[:, 1] > 0) & (before[:, 1] > 0)
    after, before = after[both, 0], before[both, 0]
    return int((after > before).sum()), int((after < before).sum()), len(after)


def draws_of(metrics: Sequence[Metric]) -> Draws | None:
    """What serves all that want answers drawn: as many as any of them wants; None where none does.

    Raises:
        UserError: two want them drawn in different ways.
    """
    wanted = [(metric.name, draws) for metric in metrics if (draws := metric.draws) is not None]
    for name, draws in wanted:
        first, other = wanted[0]
        if (draws.temperature, draws.top_p) != (other.temperature, other.top_p):
            raise UserError(
                f"{first} and {name} want answers drawn in different ways",
                where="evaluate.metrics",
                fix="give them the same temperature",
            )
    return max((draws for _, draws in wanted), key=lambda draws: draws.count, default=None)


def ratio(above: Floats, below: Floats, empty: float = np.nan) -> Floats:
    """`above / below`, and `empty` where nothing is below."""
    empties = np.full(np.broadcast(above, below).shape, empty)
    return np.asarray(np.divide(above, below, out=empties, where=below != 0), dtype=np.float64)
