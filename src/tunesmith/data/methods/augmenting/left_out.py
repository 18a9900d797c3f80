"""Words and signs of a text, and the text without some of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tunesmith.data.methods.augmenting.words import Word, words_of
from tunesmith.data.rewrite import Edit

_SIGNS = re.compile(r"(?:[^\w\s]|_)+")


def pieces(text: str) -> list[Word]:
    """Words as `words_of` finds them, and runs of signs between them, in their order."""
    words = words_of(text)
    inside = {place for word in words for place in range(word.start, word.end)}
    signs = [Word(match.start(), match.end(), match.group()) for match in _SIGNS.finditer(text)]
    return sorted([*words, *(sign for sign in signs if sign.start not in inside)])


def left_out(text: str, places: Iterable[tuple[int, int]]) -> list[Edit]:
    """The edits that leave stretches of a text out, each with a blank beside it."""
    edits: list[Edit] = []
    free = 0
    for start, end in sorted(places):
        if start > free and text[start - 1] == " ":
            start -= 1
        elif text[end : end + 1] == " ":
            end += 1
        edits.append(Edit(start, end, ""))
        free = end
    return edits
