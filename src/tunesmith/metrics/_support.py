"""What an answer claims, piece by piece, and whether a source holds it: words, numbers and names, by their spelling."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from tunesmith.metrics._words import sentences

_WORD = re.compile(r"\w+(?:['’]\w+)?")
_NUMBER = re.compile(r"(?<![\w.,])\d+(?:[,  ]\d{3})*(?:\.\d+)?(?!\w)|\d+(?:\.\d+)?")
_STOP = frozenset(
    """a about above after again against all also although am among an and any are aren as at be because been before
    being below between both but by can cannot could did didn do does doesn doing don down during each either else ever
    every few for from further had hadn has hasn have haven having he her here hers herself him himself his how however
    i if in into is isn it its itself just let like many may me might mightn more most much must mustn my myself neither
    no nor not now of off often on once one only onto or other others our ours ourselves out over own per rather s same
    shall she should shouldn since so some such t than that the their theirs them themselves then there these they this
    those though through thus to too toward towards under until up upon us very was wasn we were weren what when where
    whether which while who whom whose why will with within without won would wouldn yet you your yours
    yourself""".split()
)
_COUNTS = dict(
    zip(
        """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
        seventeen eighteen nineteen twenty""".split(),
        range(21),
        strict=True,
    )
) | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}


@dataclass(frozen=True)
class Source:
    """What may be said."""

    text: str

    @cached_property
    def stems(self) -> frozenset[str]:
        return frozenset(stem(word) for word in _WORD.findall(self.text.lower()))

    @cached_property
    def numbers(self) -> frozenset[float]:
        return frozenset(numbers(self.text)) | {
            float(_COUNTS[word]) for word in _WORD.findall(self.text.lower()) if word in _COUNTS
        }

    def holds(self, kind: str, piece: str) -> bool:
        """Whether it has a word by its stem, a number by its value, or every word of a name.

        Args:
            kind: `words`, `numbers` or `names`.
        """
        if kind == "numbers":
            return float(piece) in self.numbers
        return all(stem(word) in self.stems for word in _WORD.findall(piece.lower()))


def pieces(text: str, kind: str) -> list[str]:
    """The content words, numbers or names that a text holds."""
    if kind == "numbers":
        return [repr(value) for value in numbers(text)]
    if kind == "names":
        return [name for sentence in sentences(text) for name in _names(sentence)]
    return [word for word in _WORD.findall(text.lower()) if word not in _STOP and not word[0].isdigit()]


def numbers(text: str) -> Iterator[float]:
    """Numbers in digits, by their values: 1,200 is 1200."""
    return (float(re.sub(r"[,  ]", "", found)) for found in _NUMBER.findall(text))


def _names(sentence: str) -> Iterator[str]:
    """Runs of words with a capital; the first word of a sentence only where the next has one too."""
    run: list[str] = []
    for place, word in enumerate([*_WORD.findall(sentence), "."]):
        if word[:1].isupper() and word != "I" and (run or word.lower() not in _STOP):
            run.append(word)
            alone_at_first = place == 0
            continue
        if run and not (len(run) == 1 and alone_at_first):
            yield " ".join(run)
        run = []


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """Porter's stem."""
    return str(_stemmer().stem(word))


@lru_cache
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()
