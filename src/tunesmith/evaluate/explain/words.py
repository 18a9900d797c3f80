"""Questions without some of their words, or with one more."""

from __future__ import annotations

from collections.abc import Iterable

from tunesmith.data.methods.augmenting.noise import left_out
from tunesmith.data.methods.augmenting.target import said, target, varied
from tunesmith.data.methods.augmenting.words import Word, pieces
from tunesmith.data.rewrite import Edit, edited
from tunesmith.records import Record


def names_in(record: Record) -> frozenset[str]:
    """The different words of a row's question, in small letters."""
    return frozenset(word.text.casefold() for word in pieces(said(record)))


def without(record: Record, name: str) -> Record:
    """The row without a word, wherever its question holds it; `name` is written in small letters."""
    return without_places(record, [word for word in pieces(said(record)) if word.text.casefold() == name])


def without_places(record: Record, words: Iterable[Word]) -> Record:
    """The row without some of the words of its question."""
    told = target(record)
    edits = left_out(told.text, [(word.start, word.end) for word in words])
    return varied(record, *edited(told.text, told.spans, edits))


def with_first(record: Record, name: str) -> Record:
    """The row with a word put in front of its question."""
    told = target(record)
    return varied(record, *edited(told.text, told.spans, [Edit(0, 0, f"{name} ")]))
