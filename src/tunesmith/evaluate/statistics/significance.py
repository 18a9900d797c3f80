"""Many differences looked at together: how sure each is when that is taken into account."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from tunesmith.evaluate.comparison import Difference, Measure

Meaning = Literal["better", "worse", "unclear"]


def meaning(difference: Difference | None, better: str, confidence: float) -> Meaning:
    """What a difference comes to: `better` or `worse` only where its interval leaves zero out and its p-value, taken
    for one of all that were looked at, stays below `1 - confidence`.

    Args:
        difference: of the last arm; None is unclear.
        better: which way is good, `higher` or `lower`.
        confidence: of the interval.
    """
    if difference is None or difference.interval is None:
        return "unclear"
    sure = difference.p_value if difference.corrected is None else difference.corrected
    if sure is None or sure >= 1 - confidence:
        return "unclear"
    low, high = difference.interval
    if better == "lower":
        low, high = (None if high is None else -high), (None if low is None else -low)
    if low is not None and low > 0:
        return "better"
    return "worse" if high is not None and high < 0 else "unclear"


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p-value as it stands among all of them (Holm, Scandinavian Journal of Statistics 6, 1979).

    Taking those below 5% for real differences, the chance that any one of them is none stays below 5%.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    found, least = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        found[place] = least
    return found


def corrected(measures: Sequence[Measure]) -> list[Measure]:
    """The measures with `Difference.corrected` filled.

    The differences on all rows are one family, over every metric and arm; those on slices are another, so that a
    spec that breaks figures down finely does not blur what all rows say.
    """
    whole = family([difference for measure in measures for difference in measure.differences.values()])
    parts = family(
        [difference for measure in measures for part in measure.slices for difference in part.differences.values()]
    )
    return [
        replace(
            measure,
            differences={arm: next(whole) for arm in measure.differences},
            slices=[
                replace(part, differences={arm: next(parts) for arm in part.differences}) for part in measure.slices
            ],
        )
        for measure in measures
    ]


def family(differences: Sequence[Difference]) -> Iterator[Difference]:
    """The differences, each with its p-value among all of these."""
    known = iter(holm([each.p_value for each in differences if each.p_value is not None]))
    return iter([each if each.p_value is None else replace(each, corrected=next(known)) for each in differences])
