"""Rows worth reading, and how long answers are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tunesmith.evaluate.comparison import Case, Cases, Lengths, finite
from tunesmith.metrics import Floats, Metric
from tunesmith.records import Prediction

MOST_CASES = 10
LONGEST_TEXT = 2000
"""Characters of one text that are kept for reading."""


def regressions(arms: Mapping[str, Sequence[Prediction]], metric: Metric, measured: Mapping[str, Floats]) -> list[Case]:
    """Every row that the last arm does worse than the first, the worst first; aligned, as in `notable`."""
    sign = 1.0 if metric.better == "higher" else -1.0
    scores = {arm: metric.per_row(values) for arm, values in measured.items()}
    first, *_, last = scores
    gain = sign * (scores[last] - scores[first])
    lost = np.flatnonzero(gain < 0)
    return [_case(arms, scores, row) for row in lost[np.argsort(gain[lost], kind="stable")].tolist()]


def notable(
    arms: Mapping[str, Sequence[Prediction]], metrics: Sequence[Metric], measured: Sequence[Mapping[str, Floats]]
) -> Cases | None:
    """The best and worst rows of the last arm, and those it does better and worse than the first.

    Rows are ranked by the first metric; equal ones by how sure the model was of the right answer.

    Args:
        arms: arm -> its predictions, aligned.
        metrics: what was measured.
        measured: for each metric, arm -> statistics [N, K].
    """
    if not metrics or not next(iter(arms.values())):
        return None
    first, last = next(iter(arms)), list(arms)[-1]
    if last not in measured[0]:
        return None
    sign = 1.0 if metrics[0].better == "higher" else -1.0
    nothing = np.full(len(arms[last]), math.nan)
    scores = {arm: metrics[0].per_row(measured[0][arm]) if arm in measured[0] else nothing for arm in arms}
    good = sign * scores[last]
    sure = -np.array([_surprise(row) for row in arms[last]])
    gain = good - sign * scores[first]

    def cases(chosen: Sequence[int]) -> list[Case]:
        return [_case(arms, scores, row) for row in chosen]

    scored = [row for row in range(len(good)) if math.isfinite(good[row])]
    ranked = sorted(scored, key=lambda row: (good[row], sure[row]))
    moved = sorted((row for row in scored if math.isfinite(gain[row])), key=lambda row: (gain[row], sure[row]))
    return Cases(
        metric=metrics[0].name,
        best=cases(ranked[::-1][:MOST_CASES]),
        worst=cases(ranked[:MOST_CASES]),
        improved=cases([row for row in moved[::-1] if gain[row] > 0][:MOST_CASES]),
        regressed=cases([row for row in moved if gain[row] < 0][:MOST_CASES]),
    )


def answer_lengths(arms: Mapping[str, Sequence[Prediction]]) -> dict[str, Lengths]:
    """The lengths of the right answers and of every arm's; empty where nobody wrote anything."""
    rows = next(iter(arms.values()))
    texts = {"expected": [row.expected for row in rows]}
    texts |= {arm: [row.output for row in predictions] for arm, predictions in arms.items()}
    if not any(text for arm in arms for text in texts[arm]):
        return {}
    return {name: _lengths(written) for name, written in texts.items()}


def _lengths(texts: Sequence[str]) -> Lengths:
    lengths = np.array([len(text) for text in texts], dtype=np.float64)
    p5, p50, p95 = (float(value) for value in np.quantile(lengths, [0.05, 0.5, 0.95], method="inverted_cdf"))
    return Lengths(float(lengths.mean()), p5, p50, p95, float(lengths.max()))


def _surprise(row: Prediction) -> float:
    """How unlikely the right answer was to the model, in nats."""
    if row.expected in row.scores:
        return -math.log(max(row.scores[row.expected], 1e-300))
    return 0.0 if row.nll is None else row.nll / max(row.num_tokens, 1)


def _case(arms: Mapping[str, Sequence[Prediction]], scores: Mapping[str, Floats], at: int) -> Case:
    row = next(iter(arms.values()))[at]
    record = row.record
    return Case(
        id=record.id,
        source=record.source,
        prompt=_clipped(record.question),
        expected=_clipped(row.expected),
        outputs={arm: _clipped(predictions[at].output) for arm, predictions in arms.items()},
        scores={arm: finite(values[at]) for arm, values in scores.items()},
        slices=dict(record.slices),
    )


def _clipped(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
