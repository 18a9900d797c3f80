"""Who stands in the rows: how often each group, and with which labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tunesmith.evaluate.fairness.found import Represented
from tunesmith.metrics._parity import MISSING
from tunesmith.records import Record


def represented(
    train: Iterable[Record], test: Iterable[Record], kinds: Sequence[str], labels: Sequence[str]
) -> list[Represented]:
    """The groups of each kind, the largest first.

    Args:
        train: rows trained on, with the weights they had.
        test: rows measured.
        kinds: columns.
        labels: whose shares are told.
    """
    counts: Counter[tuple[str, str]] = Counter()
    weights: Counter[tuple[str, str]] = Counter()
    having: Counter[tuple[str, str, str]] = Counter()
    weighted: Counter[tuple[str, str, str]] = Counter()
    tested: Counter[tuple[str, str]] = Counter()
    for row in train:
        for cell in _cells(row, kinds):
            counts[cell] += 1
            weights[cell] += row.weight  # type: ignore[assignment]  # a Counter counts in fractions too
            for label in row.labels:
                having[*cell, label] += 1
                weighted[*cell, label] += row.weight  # type: ignore[assignment]
    for row in test:
        tested.update(_cells(row, kinds))
    sizes = Counter(kind for kind, _ in counts.elements())
    found = []
    for kind in kinds:
        groups = [group for by, group in {**counts, **tested} if by == kind]
        for group in sorted(groups, key=lambda group: (-counts[kind, group], group)):
            rows, weight = counts[kind, group], weights[kind, group]
            found.append(
                Represented(
                    kind,
                    group,
                    rows,
                    tested[kind, group],
                    rows / sizes[kind] if sizes[kind] else 0.0,
                    {label: having[kind, group, label] / rows for label in labels} if rows else {},
                    {label: weighted[kind, group, label] / weight for label in labels} if weight else {},
                )
            )
    return found


def _cells(row: Record, kinds: Sequence[str]) -> list[tuple[str, str]]:
    named = [(kind, row.slices[kind]) for kind in kinds if kind in row.slices]
    return [(kind, group) for kind, group in named if group not in MISSING]
