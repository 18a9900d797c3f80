"""Some of the rows, where all would take too long."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tunesmith.records import Record


def drawn(records: Sequence[Record], most: int | None, seed: int) -> Sequence[Record]:
    """At most so many records, drawn by the seed, in their order; all where `most` is left out."""
    if most is None or most >= len(records):
        return records
    return [records[place] for place in sorted(Random(seed).sample(range(len(records)), most))]
