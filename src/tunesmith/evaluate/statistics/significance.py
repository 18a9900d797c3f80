"""Many differences looked at together: how sure each is when that is taken into account."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from tunesmith.evaluate.comparison import Difference, Measure


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
    whole = _family([difference for measure in measures for difference in measure.differences.values()])
    parts = _family(
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


def _family(differences: Sequence[Difference]) -> Iterator[Difference]:
    known = iter(holm([each.p_value for each in differences if each.p_value is not None]))
    return iter([each if each.p_value is None else replace(each, corrected=next(known)) for each in differences])
