"""Times and difficulties of rows, read from their columns. N rows."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from tunesmith.errors import DataError
from tunesmith.records import Record

MAX_MISSING = 0.05
"""The largest share of rows that may be without a value; they are left out."""
LENGTH = "length"
_NAMED = 5

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)
_DAY_FIRST = re.compile(r"(?:[A-Za-z]{3,9},? )?(\d{1,2})[- ]([A-Za-z]{3,9})[- ,]+(\d{4})(.*)", re.ASCII)
_MONTH_FIRST = re.compile(r"([A-Za-z]{3,9})\.? (\d{1,2}),? (\d{4})(.*)", re.ASCII)
_YEAR_MONTH = re.compile(r"\d{4}-\d{2}", re.ASCII)
_EPOCHS = ((18, 1e9), (15, 1e6), (12, 1e3))
"""Digits before the point from which a number counts nano-, micro- or milliseconds, and how many make a second."""


class Measures:
    """What rows are ordered by, taken down one row after the other.

    Args:
        count: how many rows there are.
        column: of times or numbers, or `length`.
        time: whether it is a time.
    """

    def __init__(self, count: int, column: str, *, time: bool) -> None:
        self.column, self.time = column, time
        self.numbers_N, self.moments_N = np.full(count, np.nan), np.full(count, np.nan)
        self.free = self.missing = 0
        self.named: list[str] = []

    def add(self, at: int, record: Record) -> None:
        """Takes down one of the rows that are to be divided."""
        self.free += 1
        if self.column == LENGTH and not self.time:
            self.numbers_N[at] = len(record.content())
            return
        written = record.slices[self.column]
        self.numbers_N[at] = number(written)
        found = self.moments_N[at] = moment(written) if self.time else self.numbers_N[at]
        if math.isnan(found):
            self.missing += 1
            if len(self.named) < _NAMED:
                self.named.append(f"{record.source} ({written[:40]!r})")

    def close(self) -> npt.NDArray[np.float64]:
        """A number for each row, nan where there is none.

        Raises:
            DataError: more rows than MAX_MISSING have none.
        """
        if self.missing > MAX_MISSING * self.free:
            what, fix = (
                ("time", "write dates as 2024-05-31 or 2024-05-31T14:00:00Z, a year, or seconds")
                if self.time
                else ("number", "write numbers, the harder the higher")
            )
            raise DataError(
                f"{self.missing} of {self.free} rows have no {what} in the column {self.column!r}:"
                f" {', '.join(self.named)}",
                where="data.split",
                fix=f"{fix}; at most {MAX_MISSING:.0%} of the rows may be without, and are left out",
            )
        # Where all are plain numbers they may count anything: years, seconds, versions.
        plain = not self.time or int((~np.isnan(self.numbers_N)).sum()) == self.free
        return self.numbers_N if plain else self.moments_N


def moment(written: str) -> float:
    """Seconds since 1970 of a date, a year, or seconds, milli-, micro- or nanoseconds; nan of anything else.

    Read are ISO 8601, `31 May 2024`, `31-May-2024`, `May 31, 2024`, each with a time behind it; without a zone it is
    UTC. Dates such as 05/06/2024, which mean two days, are not.
    """
    text = written.strip()
    if _NUMBER.fullmatch(text):
        return _numbered(text)
    if _YEAR_MONTH.fullmatch(text):
        text += "-01"
    try:
        return _seconds(datetime.fromisoformat(text))
    except ValueError:
        pass
    for pattern, day, month in ((_DAY_FIRST, 1, 2), (_MONTH_FIRST, 2, 1)):
        if (found := pattern.fullmatch(text)) and found[month][:3].lower() in _MONTHS:
            date = f"{found[3]}-{_MONTHS.index(found[month][:3].lower()) + 1:02d}-{int(found[day]):02d}"
            try:
                return _seconds(datetime.fromisoformat(date + _clock(found[4])))
            except ValueError:
                return math.nan
    return math.nan


def _clock(rest: str) -> str:
    """What stands behind a date, as ISO 8601 has it."""
    found = re.fullmatch(r"[ ,T]*(\d{1,2}):(\d{2})(:\d{2})? ?(Z|GMT|UTC|[+-]\d{4})?\s*", rest)
    if not found:
        return rest.strip() and "?"
    zone = "+0000" if found[4] in ("Z", "GMT", "UTC") else found[4] or ""
    return f"T{int(found[1]):02d}:{found[2]}{found[3] or ':00'}{zone}"


def _numbered(text: str) -> float:
    """A plain number as a time: a year, a day as 20240531, or seconds and their parts."""
    whole = text.partition(".")[0].lstrip("+-")
    if text.isdecimal() and len(text) in (4, 8):
        try:
            return _seconds(datetime.fromisoformat(f"{text}-01-01" if len(text) == 4 else text))
        except ValueError:
            pass
    value = number(text)
    for digits, parts in _EPOCHS:
        if len(whole) >= digits:
            return value / parts
    return value


def number(text: str) -> float:
    """The number a text is; nan of anything else."""
    value = float(text) if _NUMBER.fullmatch(text.strip()) else math.nan
    return value if math.isfinite(value) else math.nan


def _seconds(at: datetime) -> float:
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
