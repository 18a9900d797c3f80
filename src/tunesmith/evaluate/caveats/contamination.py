"""Test rows that were trained on, word for word or nearly: they measure memory, so the verdict is reached without them.

A test row is met

    exactly   when a training row asks the same, case, blanks and outer punctuation aside;
    nearly    when at least 70% of its runs of eight words stand in one training row, which is how PaLM's evaluation
              counted (Chowdhery et al., JMLR 24, 2023, section 8).

What is asked is compared: the text, or the user's turns. That an answer is the same proves nothing. Runs that stand in
more than `COMMON` test rows are phrases of the trade and prove nothing either. Training rows are read once, a chunk at
a time; what is held grows with the test rows only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tunesmith.data.digest import digest
from tunesmith.data.methods.quality.said import asked
from tunesmith.data.methods.similar.words import I64, U64, folded, runs_of, words_of
from tunesmith.records import Plain, Prediction, Record
from tunesmith.runs import read_json

FILE = "contamination.json"

RUN = 8
"""Words of a run."""
SHARE = 0.7
"""Of a test row's runs, so many stand in one training row that nearly is the same."""
COMMON = 20
"""Test rows that a run may stand in."""
CHUNK = 1000
"""Training rows looked at at once."""


@dataclass(frozen=True)
class Leak:
    """A test row that was trained on."""

    id: str
    source: str
    """Where the test row was read."""
    pool: str
    """Among which rows it was met: `train`, `replay`, or the run that made the base."""
    trained_id: str
    trained_source: str
    how: Literal["exact", "near"]
    share: float
    """Of its runs of words that stand in the training row; 1 where it is met exactly."""


@dataclass(frozen=True)
class Contamination(Plain):
    """What the search for test rows in the training rows came to."""

    num_rows: int
    """Test rows looked for."""
    num_trained: int
    """Training rows looked through."""
    leaks: list[Leak] = field(default_factory=list)
    unsought: list[str] = field(default_factory=list)
    """Where test rows were not looked for, though something was learned there: runs whose rows are gone, folds."""

    @property
    def ids(self) -> frozenset[str]:
        """The test rows that the verdict is reached without."""
        return frozenset(leak.id for leak in self.leaks)

    @property
    def num_clean(self) -> int:
        """Test rows that are left."""
        return self.num_rows - len(self.ids)


def contamination(records: Sequence[Record], trained: Mapping[str, Iterable[Record]]) -> Contamination:
    """Looks for test rows among all that was trained on.

    Args:
        records: the test rows.
        trained: name of a pool -> its rows; each is read once and need not fit into memory.
    """
    if not len(records):
        return Contamination(0, 0)
    known = _index(records)
    best: dict[int, Leak] = {}
    count = 0
    for pool, rows in trained.items():
        for chunk in _chunks(rows):
            count += len(chunk)
            for row, place, share in _met(known, chunk):
                if row not in best or share > best[row].share:
                    here, there = known.named[row], chunk[place]
                    how: Literal["exact", "near"] = "exact" if share > 1 else "near"
                    best[row] = Leak(*here, pool, there.id, there.source, how, share)
    leaks = [best[row] for row in sorted(best)]
    return Contamination(len(records), count, [leak if leak.share <= 1 else _whole(leak) for leak in leaks])


def clean(rows: Iterable[Prediction], met: Contamination | None) -> list[Prediction]:
    """The predictions of rows that were not trained on; all where nobody looked."""
    leaked = frozenset[str]() if met is None else met.ids
    return [row for row in rows if row.record.id not in leaked]


def together(parts: Sequence[Contamination]) -> Contamination:
    """What was met in the parts of a cross-validation, each looked for among the rows that its model learned from."""
    return Contamination(
        sum(part.num_rows for part in parts),
        max((part.num_trained for part in parts), default=0),
        [leak for part in parts for leak in part.leaks],
        list(dict.fromkeys(name for part in parts for name in part.unsought)),
    )


def read_contamination(folder: Path) -> Contamination | None:
    """What `contamination.json` of a folder says; None where there is none."""
    path = folder / FILE
    return Contamination.from_json(read_json(path)) if path.exists() else None


class _Index(NamedTuple):
    """The test rows, as training rows are held against them."""

    named: list[tuple[str, str]]
    """Id and source."""
    exact: dict[int, list[int]]
    """What is asked, as a number -> the rows that ask it."""
    hashes: U64
    """Ascending: runs of the test rows."""
    rows: I64
    """The row each stands in."""
    totals: I64
    """Different runs of each row."""


def _index(records: Iterable[Record]) -> _Index:
    named: list[tuple[str, str]] = []
    exact: dict[int, list[int]] = {}
    hashes, rows = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for chunk in _chunks(records):
        said = ["\n".join(asked(record)) for record in chunk]
        found, places = _runs(said)
        hashes.append(found)
        rows.append(places + len(named))
        for row, text in enumerate(said, len(named)):
            if key := _key(text):
                exact.setdefault(digest(key), []).append(row)
        named += [(record.id, record.source) for record in chunk]
    all_hashes, of_rows = _distinct(np.concatenate(hashes), np.concatenate(rows))
    totals = np.bincount(of_rows, minlength=len(named)).astype(np.int64)
    _, number, often = np.unique(all_hashes, return_inverse=True, return_counts=True)
    rare = often[number] <= COMMON
    return _Index(named, exact, all_hashes[rare], of_rows[rare], totals)


def _met(known: _Index, chunk: Sequence[Record]) -> Iterator[tuple[int, int, float]]:
    """(test row, place in the chunk, share of its runs), 2 for what is met exactly."""
    said = ["\n".join(asked(record)) for record in chunk]
    for place, text in enumerate(said):
        for row in known.exact.get(digest(key), ()) if (key := _key(text)) else ():
            yield row, place, _EXACTLY
    hashes, places = _runs(said)
    first, end = (np.searchsorted(known.hashes, hashes, side) for side in ("left", "right"))
    counts = end - first
    those = np.repeat(first - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))
    pairs = known.rows[those] * len(chunk) + np.repeat(places, counts)
    met, often = np.unique(pairs, return_counts=True)
    share = often / np.maximum(known.totals[met // len(chunk)], 1)
    for pair, part in zip(met[share >= SHARE].tolist(), share[share >= SHARE].tolist(), strict=True):
        yield pair // len(chunk), pair % len(chunk), part


_EXACTLY = 2.0
"""Above every share, so that it wins over what is only nearly the same."""


def _whole(leak: Leak) -> Leak:
    return Leak(leak.id, leak.source, leak.pool, leak.trained_id, leak.trained_source, leak.how, 1.0)


def _runs(texts: Sequence[str]) -> tuple[U64, I64]:
    """The different runs of each text, and the number of the text each stands in."""
    words = words_of(texts)
    hashes, first = runs_of(words, RUN)
    places: npt.NDArray[np.int64] = np.repeat(np.arange(len(texts)), words.counts)[first]
    return _distinct(hashes, places)


def _distinct(hashes: U64, rows: I64) -> tuple[U64, I64]:
    """Each pair once, by hash and then by row."""
    order = np.lexsort((rows, hashes))
    hashes, rows = hashes[order], rows[order]
    first = np.ones(len(hashes), bool)
    first[1:] = (hashes[1:] != hashes[:-1]) | (rows[1:] != rows[:-1])
    return hashes[first], rows[first]


def _key(text: str) -> str:
    """A text as it is compared whole."""
    words = folded(text).split()
    said = " ".join(words)
    bare = said.strip(" .,;:!?\"'()[]<>*_-\N{HORIZONTAL ELLIPSIS}\N{EN DASH}\N{EM DASH}")
    return bare or said


def _chunks(rows: Iterable[Record]) -> Iterator[list[Record]]:
    left = iter(rows)
    while chunk := list(islice(left, CHUNK)):
        yield chunk
