"""Which texts share runs of words with evaluation sets.

As for GPT-3 (Brown et al. 2020, appendix C) a run of N words that stands in both is an overlap, 13 unless told
otherwise. A text of the evaluation sets with fewer words, but eight, is one run as a whole. A still shorter one, but of
four words, is met only by a text that says nothing else, and answers are not compared with it: `yes, I think so` proves
nothing. Symbols are no words here, or `2 * 1 = <<2*1=2>>` would be a run of 13.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tunesmith.data.methods.similar.words import I64, U64, Words, folded, places, ranges, runs_of, words_of
from tunesmith.records import Record

SHORTEST = 8
"""Words a text of an evaluation set needs, so that it counts wherever it stands."""
SHORTEST_WHOLE = 4
"""Words it needs, so that it counts where nothing else stands."""
_CHUNK = 1000


class Runs(NamedTuple):
    """Runs of one length, by their hashes, and the evaluation rows they stand in."""

    hashes: U64
    """Ascending."""
    rows: npt.NDArray[np.int32]


class Evaluation(NamedTuple):
    """All runs of the evaluation sets."""

    inside: dict[int, Runs]
    """Length -> runs that count wherever they stand."""
    whole: dict[int, Runs]
    """Length -> texts that count where nothing else stands."""
    num_rows: int


class Met(NamedTuple):
    """What some records share with the evaluation sets."""

    share: npt.NDArray[np.float64]
    """[R] the share of a record's words that stand in common runs."""
    row: I64
    """[R] one of the evaluation rows it shares them with, -1 where there is none."""
    said: dict[int, str]
    """Place of the record -> a run they share."""
    rows: I64
    """All evaluation rows that these records share something with."""


def evaluation(rows: Iterable[Sequence[str]], length: int) -> Evaluation:
    """The runs of evaluation rows, each given by its texts."""
    inside: dict[int, list[tuple[U64, I64]]] = {}
    whole: dict[int, list[tuple[U64, I64]]] = {}
    left, count = iter(rows), 0
    while chunk := list(islice(left, _CHUNK)):
        row_of_text = np.repeat(np.arange(count, count + len(chunk)), [len(texts) for texts in chunk])
        count += len(chunk)
        words = words_of([text for texts in chunk for text in texts], symbols=False)
        row_of_word = np.repeat(row_of_text, words.counts)
        hashes, first = runs_of(words, length)
        inside.setdefault(length, []).append((hashes, row_of_word[first]))
        for short in range(SHORTEST_WHOLE, length):
            hashes, texts = _of_length(words, short)
            (inside if short >= SHORTEST else whole).setdefault(short, []).append((hashes, row_of_text[texts]))
    return Evaluation(_sorted(inside), _sorted(whole), count)


def overlaps(records: Sequence[Record], against: Evaluation) -> Met:
    """What records share with the evaluation sets."""
    parts = [parts_of(record) for record in records]
    said = [text for texts in parts for text, _ in texts]
    asked = np.array([question for texts in parts for _, question in texts], bool)
    record_of_part = np.repeat(np.arange(len(records)), [len(texts) for texts in parts])
    words = words_of(said, symbols=False)
    record_of_word = np.repeat(record_of_part, words.counts)
    first_word = np.cumsum(words.counts) - words.counts
    borders = np.zeros(len(words.hashes) + 1, np.int64)
    """How many common runs begin at a word, less those that ended before it."""
    found: list[tuple[I64, int, I64]] = []
    rows = [np.zeros(0, np.int64)]
    for length, runs, hashes, first in _candidates(words, asked, first_word, against):
        met, those = _look_up(hashes, runs)
        np.add.at(borders, first[met], 1)
        np.add.at(borders, first[met] + length, -1)
        found.append((first[met], length, runs.rows[those].astype(np.int64)))
        rows.append(_all_rows(hashes[met], runs))
    common = np.cumsum(borders[:-1]) > 0
    totals = np.maximum(np.bincount(record_of_word, minlength=len(records)), 1)
    share = np.bincount(record_of_word[common], minlength=len(records)) / totals
    row, excerpts = np.full(len(records), -1, np.int64), {}
    for first, length, with_row in found:
        for word, other in zip(first.tolist(), with_row.tolist(), strict=True):
            record = int(record_of_word[word])
            if row[record] < 0:
                part = int(np.searchsorted(first_word, word, "right")) - 1
                row[record], excerpts[record] = other, _run(said[part], word - int(first_word[part]), length)
    return Met(share, row, excerpts, np.unique(np.concatenate(rows)))


def parts_of(record: Record) -> list[tuple[str, bool]]:
    """Everything a record says but its system turns, and whether it is asked rather than answered."""
    turns = [*((turn, turn.role == "user") for turn in record.messages if turn.role != "system")]
    turns += [(turn, False) for turn in (*record.chosen, *record.rejected)]
    own = [(record.text, True)] if record.text is not None else []
    return [*own, *((turn.content, asked) for turn, asked in turns)]


def _candidates(
    words: Words, asked: npt.NDArray[np.bool_], first_word: I64, against: Evaluation
) -> Iterator[tuple[int, Runs, U64, I64]]:
    """Of every length the runs of the evaluation sets, those of the records, and the latter's first words."""
    for length, runs in against.inside.items():
        yield length, runs, *runs_of(words, length)
    for length, runs in against.whole.items():
        hashes, parts = _of_length(words, length)
        questions = asked[parts]
        yield length, runs, hashes[questions], first_word[parts[questions]]


def _of_length(words: Words, length: int) -> tuple[U64, I64]:
    """Hashes of the texts that have so many words, as a whole, and their numbers."""
    texts = np.flatnonzero(words.counts == length)
    first = np.cumsum(words.counts) - words.counts
    own = Words(words.hashes[ranges(first[texts], words.counts[texts])], words.counts[texts])
    return runs_of(own, length)[0], texts


def _sorted(found: dict[int, list[tuple[U64, I64]]]) -> dict[int, Runs]:
    made = {}
    for length, parts in found.items():
        hashes = np.concatenate([hashes for hashes, _ in parts])
        if len(hashes):
            order = np.argsort(hashes, kind="stable")
            rows = np.concatenate([rows for _, rows in parts])
            made[length] = Runs(hashes[order], rows[order].astype(np.int32))
    return made


def _look_up(hashes: U64, runs: Runs) -> tuple[I64, I64]:
    """Which of the hashes stand among the runs, and where."""
    places_there = np.minimum(np.searchsorted(runs.hashes, hashes), len(runs.hashes) - 1)
    met = np.flatnonzero(runs.hashes[places_there] == hashes)
    return met, places_there[met]


def _all_rows(hashes: U64, runs: Runs) -> I64:
    low, high = (np.searchsorted(runs.hashes, np.unique(hashes), side) for side in ("left", "right"))
    return np.unique(runs.rows[ranges(low, high - low)]).astype(np.int64)


def _run(text: str, first: int, length: int) -> str:
    said = folded(text)
    starts, ends = places(said, symbols=False)
    return " ".join(said[starts[first] : ends[first + length - 1]].split())
