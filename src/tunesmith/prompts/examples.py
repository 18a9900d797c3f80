"""Which training rows are shown as examples before a question."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from heapq import nsmallest
from typing import Any, Literal

from tunesmith.records import Record

Choice = Literal["random", "similar", "diverse"]
MOST_COMPARED = 50_000
"""Training rows among which the most similar ones are looked for."""
MOST_SPREAD = 5_000
"""Training rows among which those that differ most are looked for."""


def selection(how: Choice, records: Sequence[Record], count: int, seed: int) -> Callable[[Record], Sequence[Record]]:
    """The rows to show before a row, the one that matters most last.

    Args:
        how: `random`, drawn by their ids, one of every label in turn, the same for all rows; `similar`, those whose
            words (TF-IDF) are most like the row's, the nearest last (Liu et al., arXiv 2101.06804); `diverse`, rows
            of usual length that each differ most from those before, the same for all rows (Gonzalez 1985).
        records: training rows.
        count: how many.
        seed: draws them, or the rows among which they are looked for where there are very many.
    """
    if how == "random":
        drawn = choose(records, count, seed)
        return lambda record: drawn
    if how == "diverse":
        spread = _diverse(choose(records, MOST_SPREAD, seed), count)
        return lambda record: spread
    return _Similar(choose(records, MOST_COMPARED, seed) if len(records) > MOST_COMPARED else list(records), count)


class _Similar:
    """Finds the rows whose words are most like a row's."""

    def __init__(self, records: Sequence[Record], count: int) -> None:
        self.records, self.count = records, count
        self.counts, self.seen = _counted(records)

    def __call__(self, record: Record) -> Sequence[Record]:
        likeness = (self.seen @ self.counts.transform([record.question]).T).toarray()[:, 0]
        nearest = likeness.argsort(kind="stable")[::-1]
        found = [place for place in nearest[: self.count + 1].tolist() if self.records[place].id != record.id]
        return [self.records[place] for place in found[: self.count][::-1]]


def _diverse(records: Sequence[Record], count: int) -> list[Record]:
    """Rows that each lie farthest from all those taken before, beginning in the middle."""
    import numpy as np

    usual = sorted(len(record.content()) for record in records)[len(records) // 2] if records else 0
    short = [record for record in records if len(record.content()) <= usual]
    if not short:
        return []
    seen = _counted(short)[1]
    likest = np.asarray(seen @ np.asarray(seen.mean(axis=0)).T)[:, 0]
    taken = [int(likest.argmax())]
    nearest = np.full(len(short), -np.inf)
    while len(taken) < min(count, len(short)):
        nearest = np.maximum(nearest, (seen @ seen[taken[-1]].T).toarray()[:, 0])
        nearest[taken] = np.inf
        taken.append(int(nearest.argmin()))
    return [short[place] for place in taken]


def _counted(records: Sequence[Record]) -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    counts = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[^\w\s]")
    return counts, counts.fit_transform([record.question for record in records])


def choose(records: Iterable[Record], count: int, seed: int) -> list[Record]:
    """Rows to show, drawn by their ids: one of every label in turn, and none longer than most.

    Args:
        records: training rows; gone through once.
        count: how many.
        seed: another seed draws others.
    """
    if count == 0:
        return []
    lengths: list[int] = []
    drawn: dict[tuple[str, ...], list[tuple[bytes, int, Record]]] = {}
    for number, record in enumerate(records):
        size = len(record.content())
        lengths.append(size)
        order = blake2b(f"{seed}\0{record.id}".encode(), digest_size=8).digest()
        best = drawn.setdefault(record.labels, [])
        best.append((order, number, record))
        if len(best) > 64 * count:
            drawn[record.labels] = nsmallest(16 * count, best, key=lambda each: each[:2])
    usual = sorted(lengths)[len(lengths) // 2] if lengths else 0
    piles = []
    for found in drawn.values():
        short = [each for each in found if len(each[2].content()) <= usual] or found
        piles.append(sorted(short, key=lambda each: each[:2], reverse=True))
    piles.sort(key=lambda pile: pile[-1][:2])
    chosen: list[Record] = []
    while len(chosen) < count and any(piles):
        for pile in piles:
            if pile and len(chosen) < count:
                chosen.append(pile.pop()[2])
    return chosen
