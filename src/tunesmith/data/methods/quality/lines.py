"""Lines that many rows share: headers, footers, notices, signatures.

They are found by numbers of 64 bits in two passes and bounded memory: the first counts them in a table of fixed size,
in which some share a place and none is missed; the second counts exactly those whose place was met often enough, by
sorting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tunesmith.data.digest import digest
from tunesmith.data.rewrite import Edit
from tunesmith.records import Span

Hashes = npt.NDArray[np.uint64]

_TABLE = 22
"""Bits of the table of the first pass."""
_AT_ONCE = 1 << 18
"""Numbers counted together."""
_DIGITS = re.compile(r"\d+")
_WORD = re.compile(r"[^\W\d_]{2,}")
_EMPTY_LINES = re.compile(r"(?:[^\S\n]*\n)*")
_LINE = re.compile(r"[^\n]*\n?")
# Indented, closed by what closes code, or with an assignment, a call, a comparison or an arrow in it.
_CODE = re.compile(
    r"^(?: {2}|\t)|[{};:,(\[\\]\s*$|\w\(|[\w)\]]\s*(?:=|[=!<>]=|->|=>)\s*\S|^\s*(?:[#@/*<]|import |from )"
)


class Line(NamedTuple):
    """A line that could be boilerplate: `text[start:end]`, its line end included."""

    start: int
    end: int
    number: int
    """Equal for lines that differ in case, blanks and figures alone."""


def candidates(text: str, min_words: int) -> list[Line]:
    """The lines of a text that could be boilerplate: of some words, not code, and not the only one."""
    found: list[Line] = []
    lines = fenced = 0
    for match in _LINE.finditer(text):
        line = match[0]
        lines += bool(line.strip())
        if line.lstrip().startswith("```"):
            fenced ^= 1
        elif not fenced and not _CODE.search(line) and len(_WORD.findall(line)) >= min_words:
            found.append(Line(*match.span(), _number(line)))
    return found if lines > 1 else []


def frequent(passes: Callable[[], Iterator[Hashes]], least: int) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """Numbers that stand in at least so many rows, in order, and in how many they do.

    Args:
        passes: called twice; the numbers of every row, each once a row.
    """
    table = np.zeros(1 << _TABLE, dtype=np.uint32)
    for batch in _batches(passes()):
        np.add.at(table, _places(batch), 1)
    values, counts = np.zeros(0, np.uint64), np.zeros(0, np.int64)
    for batch in _batches(passes()):
        batch = batch[table[_places(batch)] >= least]
        both = np.concatenate([values, batch])
        weights = np.concatenate([counts, np.ones(len(batch), np.int64)])
        values, places = np.unique(both, return_inverse=True)
        counts = np.bincount(places, weights, minlength=len(values)).astype(np.int64)
    often = counts >= least
    return values[often], counts[often]


def removing(text: str, lines: Sequence[Line], spans: Iterable[Span] | None) -> list[Edit]:
    """Edits that take lines out, and the empty ones between or around them where nothing else follows. Lines that hold
    a labelled stretch stay."""
    held = [(span.start, span.end) for span in spans or ()]
    edits: list[Edit] = []
    for start, end, _ in lines:
        if any(first < end and start < last for first, last in held):
            continue
        if edits and not text[edits[-1].end : start].strip():
            start = edits.pop().start
        if not text[end:].strip():
            start, end = len(text[:start].rstrip()), len(text)
        elif not text[:start].strip():
            start, end = 0, _EMPTY_LINES.match(text, end).end()  # type: ignore[union-attr]
        edits.append(Edit(start, end, ""))
    return edits


def _number(line: str) -> int:
    return digest(" ".join(_DIGITS.sub("0", line.casefold()).split()))


def _places(numbers: Hashes) -> npt.NDArray[np.int64]:
    return (numbers >> np.uint64(64 - _TABLE)).astype(np.int64)


def _batches(rows: Iterator[Hashes]) -> Iterator[Hashes]:
    held: list[Hashes] = []
    count = 0
    for row in rows:
        held.append(row)
        count += len(row)
        if count >= _AT_ONCE:
            yield np.concatenate(held)
            held, count = [], 0
    if count:
        yield np.concatenate(held)
