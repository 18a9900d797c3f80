"""Numbers as readers see them: the same number of digits, a real minus sign, units people use."""

from __future__ import annotations

import math
from datetime import UTC, datetime

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
"""Stands where a number does not exist."""

_TIMES = ((86_400.0, "d", 3600.0, "h"), (3600.0, "h", 60.0, "min"), (60.0, "min", 1.0, "s"))
_MULTIPLES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def figure(value: float | None, unit: str = "", *, signed: bool = False) -> str:
    """A metric's value: three decimals below ten, fewer above, with its unit.

    Args:
        value: the number; None or NaN prints as a dash.
        unit: `ms`, `MB`, ...; empty for plain numbers.
        signed: write a plus before positive numbers, for differences.
    """
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        text = "\N{INFINITY}"
    else:
        size = abs(value)
        decimals = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3
        text = f"{size:,.{decimals}f}"
    sign = MINUS if value < 0 and text.strip("0.,") else "+" if signed and value > 0 and text.strip("0.,") else ""
    return f"{sign}{text} {unit}".rstrip()


def interval(bounds: tuple[float | None, float | None] | None, *, signed: bool = False) -> str:
    """`0.911 to 0.953`; an open end is said so; nothing where there is no interval."""
    if bounds is None or bounds == (None, None):
        return ""
    low, high = bounds
    if low is None:
        return f"at most {figure(high, signed=signed)}"
    if high is None:
        return f"at least {figure(low, signed=signed)}"
    return f"{figure(low, signed=signed)} to {figure(high, signed=signed)}"


def count(value: float | None) -> str:
    """A whole number with thousands marked."""
    return NONE if value is None else f"{value:,.0f}"


def counted(value: int, singular: str, plural: str | None = None) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{count(value)} {singular if value == 1 else plural or singular + 's'}"


def times_seen(rows: int, drawn: int) -> str:
    """How often each of some rows is seen when so many are drawn, all equally often or in turns."""
    whole, rest = divmod(drawn, rows)
    if whole == 0:
        return f"{percent(drawn / rows)} of them, in turns"
    if rest:
        return f"{whole:,} or {whole + 1:,} times"
    return "once" if whole == 1 else f"{whole:,} times"


def short(value: float | None) -> str:
    """Three digits and a multiple: `8.41M`, `12.3k`."""
    if value is None:
        return NONE
    for size, letter in _MULTIPLES:
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def percent(share: float | None, decimals: int = 1) -> str:
    """A share of the whole; a share that is not zero or one never prints as if it were."""
    if share is None or math.isnan(share):
        return NONE
    least = 10.0**-decimals
    if 0 < share * 100 < least / 2:
        return f"<{least:.{decimals}f}%"
    if 100 - least / 2 < share * 100 < 100:
        return f">{100 - least:.{decimals}f}%"
    return f"{share * 100:.{decimals}f}%" if 0 < share < 1 else f"{share * 100:.0f}%"


def duration(seconds: float | None) -> str:
    """A stretch of time in its two largest units."""
    if seconds is None:
        return NONE
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    seconds = round(seconds)
    for size, name, part, smaller in _TIMES:
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            return f"{whole:.0f} {name} {rest // part:.0f} {smaller}"
    return f"{seconds:.0f} s"


def moment(at: float | None) -> str:
    """A point in time (seconds since the epoch) in UTC, to the minute."""
    return NONE if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def memory(megabytes: float | None) -> str:
    """Megabytes, or gigabytes from one on."""
    if megabytes is None:
        return NONE
    return f"{megabytes / 1000:.2f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


def excerpt(text: str, most: int = 600) -> str:
    """The start of a long text, saying how much was left out."""
    if len(text) <= most:
        return text
    return f"{text[:most].rstrip()} \N{HORIZONTAL ELLIPSIS} ({len(text) - most:,} more characters)"
