"""A data set as columns of numbers, read once, and a sample of its rows. N rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tunesmith.data.audit.said import answer, prompt
from tunesmith.data.split import SPLITS
from tunesmith.records import Record

MOST_ROWS, MOST_CHARACTERS = 50_000, 40_000_000
"""What is looked at row by row; of more, a sample is drawn."""

Numbers = npt.NDArray[np.int64]


@dataclass
class Column:
    """One value a row, as numbers."""

    name: str
    values: list[str]
    of_N: Numbers


@dataclass
class Table:
    """The rows of a data set."""

    splits_N: npt.NDArray[np.int8]
    """An index into SPLITS."""
    prompts_N: Numbers
    """Words of what is read."""
    answers_N: Numbers
    """Words of what is written."""
    characters_N: Numbers
    columns: list[Column]
    """What rows can be told apart by: their label, and the columns the spec names."""
    label_counts: dict[str, list[int]]
    """Label -> rows in each split; rows of several labels count for each."""
    sample: list[Record] = field(default_factory=list)
    sample_rows: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))
    """Where the sampled rows stand."""

    def __len__(self) -> int:
        return len(self.splits_N)

    @property
    def whole(self) -> bool:
        """Whether the sample is everything."""
        return len(self.sample) == len(self)


def read(records: Sequence[Record], splits_N: npt.NDArray[np.int8], names: Sequence[str], seed: int) -> Table:
    """Reads all records once.

    Args:
        records: the rows that were kept.
        splits_N: where each is.
        names: columns among their slices.
        seed: of the sample.
    """
    count = len(records)
    lengths = np.zeros((3, count), np.int64)
    numbered: dict[str, dict[str, int]] = {name: {} for name in ("label", *names)}
    codes = {name: np.zeros(count, np.int64) for name in numbered}
    labels: dict[str, list[int]] = {}
    chosen = _chosen(count, seed)
    sample: list[Record] = []
    rows: list[int] = []
    held = 0
    for at, record in enumerate(records):
        asked, said = prompt(record), answer(record)
        lengths[:, at] = len(asked.split()), len(said.split()), len(asked) + len(said)
        for label in record.labels or {span.label for span in record.spans or ()}:
            labels.setdefault(label, [0] * len(SPLITS))[int(splits_N[at])] += 1
        for name, found in numbered.items():
            value = ", ".join(record.labels) if name == "label" else record.slices.get(name, "")
            codes[name][at] = found.setdefault(value, len(found))
        if chosen[at] and held < MOST_CHARACTERS:
            sample.append(record)
            rows.append(at)
            held += int(lengths[2, at])
    columns = [_sorted(name, found, codes[name]) for name, found in numbered.items() if _parts(found)]
    asked_N, said_N, characters_N = lengths
    return Table(splits_N, asked_N, said_N, characters_N, columns, labels, sample, np.array(rows, np.int64))


def _chosen(count: int, seed: int) -> npt.NDArray[np.bool_]:
    chosen = np.ones(count, bool)
    if count > MOST_ROWS:
        chosen[:] = False
        chosen[np.random.default_rng(seed).choice(count, MOST_ROWS, replace=False)] = True
    return chosen


def _parts(found: Mapping[str, int]) -> bool:
    return len(found) > 1


def _sorted(name: str, found: Mapping[str, int], of_N: Numbers) -> Column:
    """Values in the order of the alphabet, so that the order of the rows has no part in it."""
    values = sorted(found)
    order = np.zeros(len(found), np.int64)
    order[[found[value] for value in values]] = np.arange(len(values))
    return Column(name, values, order[of_N])
