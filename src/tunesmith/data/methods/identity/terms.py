"""Finds terms of identity in a text.

A term with a star, `old*`, counts only in front of people (`an old man`), a term with a capital only where it has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from tunesmith.data.methods.augmenting.words import Word, word_set, words_of

_PEOPLE = word_set(
    """man men woman women person persons people guy guys girl girls boy boys lady ladies gentleman gentlemen child
    children kid kids adult adults student students teacher worker workers employee employees voter voters family
    families community communities folks folk couple couples friend friends neighbor neighbour male males female
    females american americans citizen citizens patient patients customer customers user users driver employees"""
)

Key = tuple[str, ...]
"""The words of a term, case folded."""


class Terms:
    """Terms of one or several words.

    Args:
        terms: as they are written; of two alike, the first says how it is matched.
    """

    def __init__(self, terms: Iterable[str]) -> None:
        self._keys: set[Key] = set()
        self._guarded: set[Key] = set()
        self._names: set[Key] = set()
        for term in terms:
            key = key_of(term)
            if key in self._keys:
                continue
            self._keys.add(key)
            if term.endswith("*"):
                self._guarded.add(key)
            if term[:1].isupper():
                self._names.add(key)
        self._longest = max(map(len, self._keys), default=0)

    def length_at(self, text: str, words: Sequence[Word], place: int) -> int:
        """How many words the longest term that begins at a place has; 0 where none does.

        Args:
            words: of the text, from `heads`.
        """
        for count in range(min(self._longest, len(words) - place), 0, -1):
            run = words[place : place + count]
            key = tuple(word.text.casefold() for word in run)
            near = all(text[one.end : two.start] in (" ", "-") for one, two in pairwise(run))
            follower = words[place + count].text.casefold() if place + count < len(words) else ""
            if key not in self._keys or not near:
                continue
            if (key in self._guarded and follower not in _PEOPLE) or (
                key in self._names and not run[0].text[:1].isupper()
            ):
                continue
            return count
        return 0

    def found(self, text: str) -> list[Key]:
        """The terms in a text, in order; where two overlap, the longer one."""
        words, keys, place = heads(text), list[Key](), 0
        while place < len(words):
            count = self.length_at(text, words, place)
            if count:
                keys.append(tuple(word.text.casefold() for word in words[place : place + count]))
            place += count or 1
        return keys


def key_of(term: str) -> Key:
    """The words of a term as they are compared."""
    return tuple(word.text.casefold() for word in words_of(term))


def heads(text: str) -> list[Word]:
    """The words of a text without what follows their apostrophes: `she` of `she's`."""
    return [_head(word) for word in words_of(text)]


def _head(word: Word) -> Word:
    length = min((at for sign in "'’" if (at := word.text.find(sign)) > 0), default=len(word.text))
    return Word(word.start, word.start + length, word.text[:length])
