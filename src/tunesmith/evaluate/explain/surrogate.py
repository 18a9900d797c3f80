"""A count of words that is taught to say what the model says: a reason people can read, worth what its fidelity is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tunesmith.evaluate.arms.linear import STRENGTHS, WordCounts
from tunesmith.evaluate.comparison import Estimate, closed
from tunesmith.evaluate.explain.found import Surrogate
from tunesmith.metrics._intervals import wilson

WORDS = 8
"""Shown of each label."""


def surrogate(
    learned: Sequence[tuple[str, str]], held_out: Sequence[tuple[str, str]], *, confidence: float, seed: int
) -> Surrogate | None:
    """A logistic regression over TF-IDF that stands in for a model; None where the model gives one answer only.

    Args:
        learned: (question, what the model answers) of rows to learn from.
        held_out: the same of rows that fidelity is measured on.
        confidence: of its interval.
        seed: of the regression.
    """
    if len({answer for _, answer in learned}) < 2 or not held_out:
        return None
    counts = WordCounts([text for text, _ in learned], [(answer,) for _, answer in learned])
    fitted = counts.fit(STRENGTHS[1], seed)
    said = fitted.given([text for text, _ in held_out])
    hits, rows = sum(a == b for a, (_, b) in zip(said, held_out, strict=True)), len(held_out)
    base = Counter(answer for _, answer in held_out).most_common(1)[0][1] / rows
    found = Surrogate(len(learned), Estimate(hits / rows, closed(wilson(hits, rows, confidence)), rows), base, {})
    if not found.means_something:
        return found
    return Surrogate(found.fitted, found.fidelity, base, fitted.strongest(WORDS))
