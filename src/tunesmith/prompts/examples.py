"""Which training rows are shown as examples before a question."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from heapq import nsmallest

from tunesmith.records import Record


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
