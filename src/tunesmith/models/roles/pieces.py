"""Cuts texts that are longer than a model reads into pieces that are not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_ENDS = (re.compile(r"\n+"), re.compile(r"(?<=[.!?])\s+"), re.compile(r"\s+"))
"""Where a text may be cut: better between paragraphs than between sentences than between words."""


def pieces(text: str, fits: Callable[[str], bool], start: int = 0) -> Iterator[tuple[int, str]]:
    """The pieces of a text in order, each with its place; cut near their middles until they fit."""
    if len(text) < 2 or fits(text):
        yield start, text
        return
    middle = _cut(text)
    yield from pieces(text[:middle], fits, start)
    yield from pieces(text[middle:], fits, start + middle)


def _cut(text: str) -> int:
    """The best place near the middle: in the middle half, or the middle itself."""
    low, high = len(text) // 4, len(text) - len(text) // 4
    for ends in _ENDS:
        places = [match.end() for match in ends.finditer(text, low, high) if 0 < match.end() < len(text)]
        if places:
            return min(places, key=lambda place: abs(place - len(text) // 2))
    return len(text) // 2
