"""Single values of a row: what counts as missing, lists in disguise, and values as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tunesmith.data.read.strict_json import Refused, parse

_MISSING_TEXTS = frozenset({"", "nan", "NaN", "NULL", "null", "<NA>", "#N/A", "NaT"})


class BadRow(Exception):
    """A row that cannot become a record.

    Args:
        reason: a short constant phrase, so that reasons can be counted.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def is_missing(value: Any) -> bool:
    """Whether a value stands for nothing: None, or a float that is not a number."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def as_text(value: Any, role: str) -> str:
    """A scalar as text: `3.0` is `3`, `True` is `true`.

    Raises:
        BadRow: the value is missing, a list, an object or bytes.
    """
    if isinstance(value, str):
        return value
    if is_missing(value):
        raise BadRow(f"{role} is missing")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (Mapping, list, tuple, set, bytes)):
        raise BadRow(f"{role} is not a text")
    return str(value)


def as_label(value: Any) -> str:
    """A label: a scalar as text without blanks around it. The texts NaN, NULL and the like are missing labels.

    Raises:
        BadRow: the value is missing or no scalar.
    """
    label = as_text(value, "label").strip()
    if label in _MISSING_TEXTS:
        raise BadRow("label is missing")
    return label


def listed(value: Any) -> list[Any] | None:
    """The list a value is or, as a text in CSV and Parquet, says in JSON; None for anything else."""
    if isinstance(value, str):
        if value[:1] != "[" or value[-1] != "]":
            return None
        try:
            parsed = parse(value)
        except Refused:
            return None
        return parsed if isinstance(parsed, list) else None
    return list(value) if isinstance(value, (list, tuple)) else None


def inside(values: Mapping[str, Any], column: str) -> Any:
    """What stands in `outer.inner`, a column inside of the objects of another; None where nothing does."""
    found: Any = values
    for name in column.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
