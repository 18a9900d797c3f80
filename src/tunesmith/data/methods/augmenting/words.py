"""Words of a text with their places, and how they are written."""

from __future__ import annotations

import re
from typing import NamedTuple

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W_{_UNSPACED}]+(?:['’][^\\W\\d_{_UNSPACED}]+)*")
_SIGNS = re.compile(r"(?:[^\w\s]|_)+")


class Word(NamedTuple):
    """A word where it stands: `text[start:end]`."""

    start: int
    end: int
    text: str


def words_of(text: str) -> list[Word]:
    """Runs of letters and digits, with what follows an apostrophe; every sign of scripts written without blanks."""
    return [Word(match.start(), match.end(), match.group()) for match in _WORD.finditer(text)]


def pieces(text: str) -> list[Word]:
    """Words as `words_of` finds them, and runs of signs between them, in their order."""
    words = words_of(text)
    inside = {place for word in words for place in range(word.start, word.end)}
    signs = [Word(match.start(), match.end(), match.group()) for match in _SIGNS.finditer(text)]
    return sorted([*words, *(sign for sign in signs if sign.start not in inside)])


def written_like(word: str, model: str) -> str:
    """`word` in the case of `model`: `Car` gives `Auto`, `CAR` gives `AUTO`."""
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word


def word_set(text: str) -> frozenset[str]:
    """The words of a text that has blanks between them."""
    return frozenset(text.split())


FUNCTION_WORDS = word_set(
    """a about above after again against all also am an and any are aren't as at be because been before being below
    between both but by can can't cannot could couldn't did didn't do does doesn't doing don't down during each either
    else ever every few for from further had hadn't has hasn't have haven't having he he'd he'll he's her here here's
    hers herself him himself his how how's however i i'd i'll i'm i've if in into is isn't it it's its itself just let's
    may me might mine more most much must mustn't my myself neither never no none nor not nothing now of off on once one
    only or other ought our ours ourselves out over own per please quite rather same shall shan't she she'd she'll she's
    should shouldn't since so some such than that that's the their theirs them themselves then there there's these they
    they'd they'll they're they've this those though through thus to too under until up upon us very via was wasn't we
    we'd we'll we're we've were weren't what what's when when's where where's whether which while who who's whom whose
    why why's will with within without won't would wouldn't yes yet you you'd you'll you're you've your yours yourself
    yourselves get gets got getting go goes going went gone make makes made making u ur im ive dont cant"""
)
"""English words that carry grammar rather than meaning, and verbs too general to have synonyms."""
