"""How fast what is to be answered changes: whether like questions get other answers as time goes by.

Only rows with a time can tell. Each row of the later half is set beside the row most like it of the earlier half, and
beside the one most like it of its own half. Where answers change with time, the first differ more often.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from tunesmith.data.read.find import find
from tunesmith.evaluate.statistics.independent import proportions
from tunesmith.flow.request import Request
from tunesmith.metrics._labels import right_label
from tunesmith.records import Record

_TIME_NAMES = re.compile(r"(^|_)(date|time|timestamp|created|updated|day|month|year)(_|$|d$|at$)", re.IGNORECASE)
LOOKED_AT = 50
"""Rows of each source whose columns are looked at."""
ALIKE = 0.6
"""Cosine of TF-IDF above which two questions count as alike."""
FEWEST = 30
"""Pairs of each kind below which nothing is told."""
MOST = 4_000
"""Rows compared; of more the evenly spaced."""


@dataclass(frozen=True)
class Change:
    """Whether answers change with time."""

    column: str
    """Which tells the time; empty where none does."""
    pairs: int
    """Like questions of different times that were compared."""
    differing: float | None
    """Share of them with another answer, beyond that of like questions of the same time."""
    low: float | None
    high: float | None
    """Of its 95% interval."""
    said: str
    """Why nothing can be told; empty where it can."""


def time_column(request: Request) -> str:
    """The column of the sources that holds dates, by its name and its values; empty where there is none."""
    for source in request.spec.data.sources:
        for file in find(source, request.folder):
            rows = [row.values for _, row in zip(range(LOOKED_AT), file.rows(), strict=False) if hasattr(row, "values")]
            for name in dict.fromkeys(key for row in rows for key in row):
                values = [row.get(name) for row in rows]
                if _TIME_NAMES.search(name) and values and all(_moment(str(value)) is not None for value in values):
                    return str(name)
    return ""


def change_of(records: Sequence[Record], column: str) -> Change:
    """Compares like questions of different times.

    Args:
        records: training rows that keep the column as a slice.
        column: which tells the time; empty where none does.
    """
    if not column:
        return Change("", 0, None, None, None, "no column tells when a row was true")
    step = max(1, len(records) // MOST)
    timed = [(_moment(record.slices.get(column, "")), record) for record in records[::step]]
    known = sorted(((when, row) for when, row in timed if when is not None), key=lambda pair: pair[0])
    half = len(known) // 2
    if half < FEWEST:
        return Change(column, 0, None, None, None, f"only {len(known):,} rows have a time in {column!r}")
    rows = [row for _, row in known]
    early, late = range(half), range(half, len(rows))
    across, within = _differing(rows, late, early), _differing(rows, late, late)
    if min(len(across), len(within)) < FEWEST:
        few = min(len(across), len(within))
        return Change(column, few, None, None, None, f"only {few:,} like questions were found to compare over time")
    (low, high), _ = proportions(across, within, 0.95)
    return Change(column, len(across), float(across.mean() - within.mean()), low, high, "")


def _differing(rows: Sequence[Record], these: range, those: range) -> np.ndarray:
    """[pairs] 1 where the row most like one of `these` among `those` has another answer; unlike ones are left out."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    counts = TfidfVectorizer(sublinear_tf=True).fit([row.question for row in rows])
    seen = counts.transform([rows[at].question for at in those])
    likeness = (counts.transform([rows[at].question for at in these]) @ seen.T).toarray()
    if these == those:
        np.fill_diagonal(likeness, -1.0)
    nearest = likeness.argmax(axis=1)
    alike = likeness[np.arange(len(these)), nearest] >= ALIKE
    told = [float(_answer(rows[these[at]]) != _answer(rows[those[int(nearest[at])]])) for at in np.flatnonzero(alike)]
    return np.array(told, dtype=np.float64)


def _answer(record: Record) -> str:
    return right_label(record) or record.answer


def _moment(written: str) -> float | None:
    """A date, a time or a year as a number that grows with time."""
    text = written.strip()
    if re.fullmatch(r"\d{4}|\d{9,13}(\.\d+)?", text):
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
