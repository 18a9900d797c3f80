"""Which examples an epoch holds, how often each, and by what they are sorted.

Examples are drawn by source. Where an epoch holds as many as a source has, each is seen once. Where it
holds more, all are seen as many whole times as there is room for; for the rest, or where it holds
fewer, they take turns. So within an epoch no example of a source is seen two times more often than
another, and over the epochs none is left behind: counts are exact, nothing is drawn by chance.

Mixing by (rows)^(1/temperature) is that of mT5 (arXiv 2010.11934); learning in order of difficulty that of
Kocmi and Bojar (arXiv 1707.09533).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.encode.example import Example
from tunesmith.errors import DataError
from tunesmith.records import Record
from tunesmith.spec.sections import Curriculum, Data, Replay

Rows = NDArray[np.int64]
Difficulty = NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
    """The examples of one source."""

    origin: int
    """The source's number, as in `Record.origin`."""
    rows: Rows
    """Their indices, at least one."""
    count: int
    """How many an epoch holds."""

    def of_epoch(self, number: int, seed: int) -> Rows:
        """The indices that epoch `number` holds, some of them several times."""
        whole, rest = divmod(self.count, len(self.rows))
        turns = np.random.default_rng((seed, self.origin)).permutation(self.rows)
        rested = turns[(number * rest + np.arange(rest)) % len(turns)]
        return np.concatenate([np.tile(self.rows, whole), rested])

    @property
    def unseen(self) -> int:
        """How many are not seen in an epoch, and wait for a later one."""
        return max(0, len(self.rows) - self.count)


@dataclass(frozen=True)
class Order:
    """What each epoch holds, and by what it is sorted."""

    sources: tuple[Drawn, ...]
    graded: Difficulty | None = None
    """The difficulty of each example, learned from low to high in the first epochs."""
    graded_epochs: int = 0

    @classmethod
    def plain(cls, num_examples: int) -> Order:
        """Each example once, at random."""
        return cls((Drawn(0, np.arange(num_examples), num_examples),))

    def rows(self, number: int, seed: int) -> Rows:
        """The indices of the examples that epoch `number` holds, source by source."""
        return np.concatenate([source.of_epoch(number, seed) for source in self.sources])

    def difficulty(self, number: int) -> Difficulty | None:
        """What epoch `number` is sorted by; None where it goes at random."""
        return self.graded if number < self.graded_epochs else None

    @property
    def digest(self) -> str:
        """16 hex digits that name it."""
        found = hashlib.sha256(f"{self.graded_epochs}".encode())
        for source in self.sources:
            found.update(f";{source.origin} {source.count} {len(source.rows)};".encode() + source.rows.tobytes())
        found.update(b"" if self.graded is None else self.graded.tobytes())
        return found.hexdigest()[:16]


def order_of(examples: Sequence[Example], records: Sequence[Record], data: Data, replay: Replay | None) -> Order:
    """The order a spec asks for.

    Args:
        examples: at least one; what a stage learns from, what it replays included.
        records: the record that each example comes from.
        data: the spec's section; records whose origin lies behind its sources are replayed ones.
        replay: the stage's.

    Raises:
        DataError: a row has no number in the column of the curriculum.
    """
    origins = np.array([record.origin for record in records])
    found = {int(origin): np.flatnonzero(origins == origin) for origin in np.unique(origins)}
    own = {origin: rows for origin, rows in found.items() if origin < len(data.sources)}
    counts = _mixed({origin: len(rows) for origin, rows in own.items()}, data)
    if replay is not None:
        counts |= _replayed(found.keys() - own.keys(), sum(counts.values()), replay)
    sources = tuple(Drawn(origin, rows, counts[origin]) for origin, rows in found.items())
    if data.curriculum is None:
        return Order(sources)
    return Order(sources, _graded(examples, records, data.curriculum), data.curriculum.first_epochs)


def _replayed(older: Set[int], count: int, replay: Replay) -> dict[int, int]:
    """How many older examples come beside `count` others."""
    if not older:
        raise DataError(
            f"none of the rows of {replay.source} can be learned by this stage",
            where="train.replay",
            fix="name older rows of the shape that the stage's objective needs",
        )
    share = replay.share.value
    return dict.fromkeys(older, max(1, round(count * share / (1 - share))))


def _mixed(sizes: dict[int, int], data: Data) -> dict[int, int]:
    """How many examples of each source an epoch holds: together as many as there are, of each at least one."""
    if data.mixture is None:
        return dict(sizes)
    weighs = data.mixture.weight == "sampling"
    tempered = {
        origin: (data.sources[origin].weight if weighs else 1.0) * size ** (1 / data.mixture.temperature)
        for origin, size in sizes.items()
    }
    total, whole = sum(sizes.values()), sum(tempered.values())
    wanted = {origin: total * value / whole for origin, value in tempered.items()}
    counts = {origin: math.floor(value) for origin, value in wanted.items()}
    # What rounding down has left goes to the largest remainders.
    by_remainder = sorted(wanted, key=lambda origin: (counts[origin] - wanted[origin], origin))
    for origin in by_remainder[: total - sum(counts.values())]:
        counts[origin] += 1
    return {origin: max(1, count) for origin, count in counts.items()}


def _graded(examples: Sequence[Example], records: Sequence[Record], rule: Curriculum) -> Difficulty:
    if rule.by == "length":
        found = np.array([example.num_tokens for example in examples], dtype=np.float64)
    else:
        numbers = [_number(record.slices.get(rule.by)) for record in records]
        wrong = [record for record, number in zip(records, numbers, strict=True) if not math.isfinite(number)]
        if wrong:
            named = ", ".join(f"{record.source} ({record.slices.get(rule.by, 'nothing')!r})" for record in wrong[:5])
            raise DataError(
                f"{len(wrong)} of {len(records)} rows have no number in the column {rule.by!r}: {named}",
                where="data.curriculum.by",
                fix="mend those rows or take them out, name a column of numbers, or write `curriculum: length`",
            )
        found = np.array(numbers)
    return found if rule.order == "ascending" else -found


def _number(said: str | None) -> float:
    try:
        return math.nan if said is None else float(said)
    except ValueError:
        return math.nan
