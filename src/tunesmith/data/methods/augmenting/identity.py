"""Swaps terms of identity for their counterparts, with the grammar that hangs on them: `his` and `him`, `a` and `an`.

A term with a star, `old*`, is swapped only in front of people (`an old man`), a term with a capital only where it has
one. Each term has one counterpart; the first pair that names it decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from tunesmith.data.methods.augmenting.words import Word, word_set, words_of, written_like
from tunesmith.data.methods.identity.terms import Key, Terms, heads, key_of
from tunesmith.data.rewrite import Edit
from tunesmith.errors import DataError
from tunesmith.spec.document import read_document

BUNDLED = Path(__file__).parent / "identities.yaml"
Pairs = Mapping[str, Sequence[Sequence[str]]]

_NOT_OWNED = word_set(
    """a an the this that these those and or but so because if when while as than then to for from in on at by with
    about into of off out over up down again also too very is was are were be been has have had do does did will would
    can could should may might must not i you he she it we they who what where why how there here today yesterday
    tomorrow now yet still just never always"""
)
"""What does not follow a possessive: after one of these `her` is `him`, and `his` is `hers`."""
_LIKE_YOU = ("eu", "uni", "use", "usu", "uti", "one", "once", "ubi")
_SILENT = ("hour", "honest", "honor", "honour", "heir")


def read_pairs(path: Path) -> dict[str, list[list[str]]]:
    """Reads a file of pairs: `gender: [[he, she], [father, mother]]`.

    Raises:
        DataError: it cannot be read, or is no such file.
    """
    try:
        document = read_document(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the pairs cannot be read: {error}", where=str(path), fix="name a YAML file") from error
    fix = "write kinds with pairs of words, `gender: [[he, she], [father, mother]]`"
    if document.faults:
        fault = document.faults[0]
        raise DataError(f"line {fault.line}: {fault.what}", where=str(path), fix=fix)
    tree = document.tree
    if not isinstance(tree, dict) or not tree or not all(map(_is_pairs, tree.values())):
        raise DataError("these are no pairs of words", where=str(path), fix=fix)
    return tree


def _is_pairs(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(term, str) and words_of(term) for term in pair)
        for pair in value
    )


@lru_cache(maxsize=16)
def open_swaps(path: Path) -> dict[str, Swaps]:
    """The swaps of each kind in a file of pairs; read once in each process."""
    return {kind: Swaps(pairs) for kind, pairs in read_pairs(path).items()}


class Swaps:
    """Swaps of one kind of terms.

    Args:
        pairs: terms and their counterparts.
    """

    def __init__(self, pairs: Sequence[Sequence[str]]) -> None:
        self._other: dict[Key, str] = {}
        for one, other in pairs:
            self._other.setdefault(key_of(one), other.rstrip("*"))
            self._other.setdefault(key_of(other), one.rstrip("*"))
        self._terms = Terms(term for pair in pairs for term in pair)

    def edits(self, text: str) -> list[Edit]:
        """What is changed in a text; nothing where no term stands in it."""
        words = heads(text)
        edits: list[Edit] = []
        place = 0
        while place < len(words):
            count = self._terms.length_at(text, words, place)
            if not count:
                place += 1
                continue
            start, end = words[place].start, words[place + count - 1].end
            new = written_like(self._said(text, words, place, count), text[start:end])
            edits.append(Edit(start, end, new))
            article = _article(text, words[place - 1] if place else None, start, new)
            if article is not None and (len(edits) < 2 or edits[-2].end <= article.start):
                edits.append(article)
            place += count
        return edits

    def _said(self, text: str, words: Sequence[Word], place: int, count: int) -> str:
        word = words[place].text.casefold()
        if count == 1 and word in ("her", "his") and self._other[(word,)] in ("his", "her", "him", "hers"):
            owned = _owns(text, words, place)
            return {"her": "his" if owned else "him", "his": "her" if owned else "hers"}[word]
        return self._other[tuple(each.text.casefold() for each in words[place : place + count])]


def _owns(text: str, words: Sequence[Word], place: int) -> bool:
    """Whether the word here is a possessive in front of a noun."""
    if place + 1 == len(words):
        return False
    following = words[place + 1]
    return not text[words[place].end : following.start].strip() and following.text.casefold() not in _NOT_OWNED


def _article(text: str, before: Word | None, start: int, new: str) -> Edit | None:
    """Puts `a` or `an` right in front of a new word."""
    if before is None or before.text.casefold() not in ("a", "an") or text[before.end : start].strip():
        return None
    said = new.casefold()
    vowel = (said[:1] in "aeiou" and not said.startswith(_LIKE_YOU)) or said.startswith(_SILENT)
    right = written_like("an" if vowel else "a", before.text[:1])
    return Edit(before.start, before.end, right) if right != before.text else None
