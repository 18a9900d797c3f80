"""JSON as data files hold it: every way a text can fail is one short reason."""

from __future__ import annotations

import json
from typing import Any


class Refused(ValueError):
    """A text that is not usable JSON.

    Args:
        reason: a short constant phrase.
        line: the 1-based line in the text, where known.
        detail: the parser's own words.
    """

    def __init__(self, reason: str, line: int = 1, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.detail = detail


def parse(text: str) -> Any:
    """Reads one JSON value. NaN and Infinity are read as floats, as writers in the wild put them.

    Raises:
        Refused: broken syntax, a key that stands twice, nesting too deep, or a number too long.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Refused("broken JSON", error.lineno, f"{error.msg} (column {error.colno})") from error
    except RecursionError as error:
        raise Refused("JSON nested too deeply") from error
    except Refused:
        raise
    except ValueError as error:  # int() of more digits than Python converts
        raise Refused("a number too long to read") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Refused("a key stands twice in one object")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
"""Made once: `json.loads` makes one for every text, which takes longer than reading a short row."""
