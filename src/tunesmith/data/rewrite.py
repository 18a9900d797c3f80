"""Changes the texts of a record, with its labelled stretches moved along."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from tunesmith.records import Message, Record, Span


class Edit(NamedTuple):
    """`new` takes the place of `text[start:end]`."""

    start: int
    end: int
    new: str


def texts(record: Record) -> tuple[str, ...]:
    """Everything a record says: its text, its turns, its further right answers."""
    turns = (*record.messages, *record.chosen, *record.rejected)
    return (*([record.text] if record.text is not None else []), *(turn.content for turn in turns), *record.references)


def rewritten(record: Record, repair: Callable[[str], str]) -> Record:
    """The record with `repair` done to everything it says; itself where that changes nothing.

    A text with labelled stretches is repaired piece by piece between their ends, so that every stretch keeps its words;
    one of which nothing is left is gone.
    """
    if all(repair(said) == said for said in texts(record)):
        return record

    def mended(turns: Iterable[Message]) -> tuple[Message, ...]:
        return tuple(replace(turn, content=repair(turn.content)) for turn in turns)

    text, spans = record.text, record.spans
    if text is not None:
        text, spans = _by_pieces(text, spans, repair)
    return replace(
        record,
        text=text,
        spans=spans,
        messages=mended(record.messages),
        chosen=mended(record.chosen),
        rejected=mended(record.rejected),
        references=tuple(map(repair, record.references)),
    )


def edited_record(record: Record, find: Callable[[str], Sequence[Edit]]) -> Record:
    """The record with the edits that `find` makes for each text it says; itself where there are none."""

    def mended(said: str) -> str:
        return edited(said, None, find(said))[0]

    def turns(told: Iterable[Message]) -> tuple[Message, ...]:
        return tuple(replace(turn, content=mended(turn.content)) for turn in told)

    text, spans = record.text, record.spans
    if text is not None:
        text, spans = edited(text, spans, find(text))
    after = replace(
        record,
        text=text,
        spans=spans,
        messages=turns(record.messages),
        chosen=turns(record.chosen),
        rejected=turns(record.rejected),
        references=tuple(map(mended, record.references)),
    )
    return record if after == record else after


def edited(text: str, spans: tuple[Span, ...] | None, edits: Sequence[Edit]) -> tuple[str, tuple[Span, ...] | None]:
    """The text after all edits, which do not overlap, and the stretches where their words are now.

    A stretch that begins or ends inside of an edit is widened to hold what took its place, blanks at its ends left out;
    one without words is gone.
    """
    pieces: list[str] = []
    before: list[tuple[int, int, int, int]] = []  # of each edit: old start and end, new start and end
    at, length = 0, 0
    for start, end, new in sorted(edits):
        if start < at:
            raise ValueError(f"edits overlap at {start}")
        pieces += [text[at:start], new]
        length += start - at
        before.append((start, end, length, length + len(new)))
        length += len(new)
        at = end
    said = "".join([*pieces, text[at:]])
    if spans is None:
        return said, None

    def moved(place: int, *, ends: bool) -> int:
        shift = 0
        for start, end, new_start, new_end in before:
            if place < start or (place == start and (ends or start < end)):
                # Before this edit, or at its border: what begins here begins with what was put in.
                return new_start if place == start else place + shift
            if place < end:
                return new_end if ends else new_start
            shift = new_end - end
        return place + shift

    found = []
    for span in spans:
        start, end = moved(span.start, ends=False), moved(span.end, ends=True)
        words = said[start:end]
        if not text[span.start].isspace():
            start += len(words) - len(words.lstrip())
        if not text[span.end - 1].isspace():
            end -= len(words) - len(words.rstrip())
        found.append(Span(start, end, span.label))
    return said, tuple(span for span in found if span.start < span.end)


def with_edits(record: Record, edits: Sequence[Sequence[Edit]], *, slices: Mapping[str, str] | None = None) -> Record:
    """The record with edits done to everything it says, in the order of `texts`; its stretches move along.

    Args:
        edits: for each text those that are done to it; they do not overlap.
        slices: other slice values; when left out they stay.
    """
    rest = iter(edits)
    text, spans = record.text, record.spans
    if text is not None:
        text, spans = edited(text, spans, next(rest))

    def mended(turns: Iterable[Message]) -> tuple[Message, ...]:
        return tuple(replace(turn, content=edited(turn.content, None, next(rest))[0]) for turn in turns)

    return replace(
        record,
        text=text,
        spans=spans,
        messages=mended(record.messages),
        chosen=mended(record.chosen),
        rejected=mended(record.rejected),
        references=tuple(edited(said, None, next(rest))[0] for said in record.references),
        slices=record.slices if slices is None else slices,
    )


def _by_pieces(
    text: str, spans: tuple[Span, ...] | None, repair: Callable[[str], str]
) -> tuple[str, tuple[Span, ...] | None]:
    if not spans:
        return repair(text), spans
    borders = sorted({0, len(text), *(edge for span in spans for edge in (span.start, span.end))})
    moved, repaired = {0: 0}, ""
    for start, end in pairwise(borders):
        repaired += repair(text[start:end])
        moved[end] = len(repaired)
    found = (Span(moved[span.start], moved[span.end], span.label) for span in spans)
    return repaired, tuple(span for span in found if span.start < span.end)
