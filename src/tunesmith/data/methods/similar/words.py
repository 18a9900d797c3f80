"""From texts to hashes of their words, and of runs of words, in arrays.

N texts, W words of all texts together. A word is a run of letters, digits and marks, as compatibility normalisation and
case folding leave them. Characters of scripts that do not part words, and symbols (`+`, emoji), are words of their own;
punctuation is none.

A word's hash is a polynomial of its characters modulo 2^64, taken from running sums over all characters, and then
mixed; so no Python object is made for a word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

PIECE = 1 << 18
"""Characters that are worked on at once."""

_FACTOR = 0x9E3779B97F4A7C15
"""Odd, so that it has an inverse modulo 2^64."""
_UNKNOWN, _BETWEEN, _INSIDE, _ALONE, _SYMBOL = range(5)
_OPERATORS = frozenset("*/%")
"""Punctuation by Unicode's categories, and symbols to whoever calculates."""
_WITHOUT_BLANKS = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF))
"""Thai and Lao, Burmese, Khmer. Chinese and Japanese are found by their width."""


class Words(NamedTuple):
    """The words of N texts."""

    hashes: U64
    """[W], text after text."""
    counts: I64
    """[N] how many of them each text has."""


def words_of(texts: Sequence[str], *, symbols: bool = True) -> Words:
    """Hashes of all words of the texts, in order; symbols are words only if told so."""
    counts = np.zeros(len(texts), np.int64)
    hashes = [np.zeros(0, np.uint64)]
    for rows, said in _batches(texts):
        lengths = list(map(len, said))
        joined = "\n".join(said)
        starts, ends = places(joined, symbols=symbols)
        first = np.fromiter(accumulate((length + 1 for length in lengths), initial=0), np.int64, len(said) + 1)
        counts += np.bincount(rows, np.diff(np.searchsorted(starts, first)), len(texts)).astype(np.int64)
        hashes.append(_hashed(codes_of(joined), starts, ends))
    return Words(np.concatenate(hashes), counts)


def folded(text: str) -> str:
    """The text as it is compared: the same for all spellings of the same letters, in one case."""
    if text.isascii():
        return text.casefold()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def places(said: str, *, symbols: bool = True) -> tuple[I64, I64]:
    """Where the words of a folded text start and end."""
    kinds = _kinds(codes_of(said))
    alone, inside = kinds >= _ALONE if symbols else kinds == _ALONE, kinds == _INSIDE
    padded = np.concatenate([[False], inside, [False]])
    edges = padded[1:] != padded[:-1]
    starts = np.flatnonzero(alone | (edges[:-1] & inside))
    ends = np.flatnonzero(alone | (edges[1:] & inside)) + 1
    return starts, ends


def runs_of(words: Words, length: int) -> tuple[U64, I64]:
    """Hashes of all runs of `length` words that lie in one text, and the numbers of their first words."""
    total = len(words.hashes) - length + 1
    if total <= 0:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    ends = np.repeat(np.cumsum(words.counts), words.counts)[:total]
    first = np.flatnonzero(np.arange(length, length + total) <= ends)
    return mixed(_rolled(words.hashes, length))[first], first


def mixed(values: U64) -> U64:
    """Every bit of the result hangs on every bit of the value (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def ranges(starts: I64, counts: I64) -> I64:
    """The numbers from each start on, as many as its count, one range after the other."""
    return np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))


def codes_of(said: str) -> U32:
    """The code points of a text."""
    return np.frombuffer(said.encode("utf-32-le", "surrogatepass"), np.uint32)


def _rolled(hashes: U64, length: int) -> U64:
    total = len(hashes) - length + 1
    rolled = hashes[:total].copy()
    for place in range(1, length):
        rolled *= np.uint64(_FACTOR)
        rolled += hashes[place : place + total]
    return rolled


def _batches(texts: Sequence[str]) -> Iterator[tuple[list[int], list[str]]]:
    """Folded texts, or pieces of long ones, with the numbers of their texts; about `PIECE` characters at once."""
    rows: list[int] = []
    said: list[str] = []
    held = 0
    for row, text in enumerate(texts):
        for piece in _pieces(text):
            rows.append(row)
            said.append(folded(piece))
            held += len(piece)
            if held >= PIECE:
                yield rows, said
                rows, said, held = [], [], 0
    if said:
        yield rows, said


def _pieces(text: str) -> Iterator[str]:
    """The text, cut at blanks where it is too long to be worked on at once."""
    start = 0
    while len(text) - start > PIECE:
        end = max(text.rfind(blank, start, start + PIECE) for blank in " \n") + 1
        end = end if end > start else start + PIECE
        yield text[start:end]
        start = end
    yield text[start:] if start else text


def _hashed(codes: U32, starts: I64, ends: I64) -> U64:
    powers, inverses = _powers(1 << max(len(codes), PIECE).bit_length())
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * powers[: len(codes)], out=sums[1:])
    return mixed((sums[ends] - sums[starts]) * inverses[starts])


@cache
def _powers(count: int) -> tuple[U64, U64]:
    def powers(factor: int) -> U64:
        factors = np.full(count, factor, np.uint64)
        factors[0] = 1
        return np.cumprod(factors)

    return powers(_FACTOR), powers(pow(_FACTOR, -1, 1 << 64))


@cache
def _table() -> U8:
    """Code point -> what it is, for those that have been met."""
    return np.full(0x110000, _UNKNOWN, np.uint8)


def _kinds(codes: U32) -> U8:
    kinds = _table()[codes]
    if len(unknown := np.unique(codes[kinds == _UNKNOWN])):
        _table()[unknown] = [_kind(chr(code)) for code in unknown.tolist()]
        kinds = _table()[codes]
    return kinds


def _kind(character: str) -> int:
    category = unicodedata.category(character)
    if category[0] == "S" or character in _OPERATORS:
        return _SYMBOL
    if category[0] not in "LMN":
        return _BETWEEN
    code = ord(character)
    wide = category == "Lo" and unicodedata.east_asian_width(character) == "W"
    return _ALONE if wide or any(low <= code <= high for low, high in _WITHOUT_BLANKS) else _INSIDE
