"""Changes the texts of a record, with its labelled stretches moved along."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from tunesmith.records import Message, Record, Role, Span

Spans = tuple[Span, ...] | None


class Edit(NamedTuple):
    """`new` takes the place of `text[start:end]`."""

    start: int
    end: int
    new: str


def texts(record: Record) -> tuple[str, ...]:
    """Everything a record says: its text, its turns, its further right answers."""
    turns = (*record.messages, *record.chosen, *record.rejected)
    return (*([record.text] if record.text is not None else []), *(turn.content for turn in turns), *record.references)


def retold(
    record: Record,
    say: Callable[[str], str],
    mark: Callable[[str, Spans], tuple[str, Spans]],
    leave: Collection[Role] = (),
) -> Record:
    """The record with everything it says put otherwise.

    Args:
        say: what becomes of a turn or a further right answer; asked in the order of `texts`, after `mark`.
        mark: what becomes of the text and its labelled stretches.
        leave: whose turns stay.
    """

    def turns(told: Iterable[Message]) -> tuple[Message, ...]:
        return tuple(turn if turn.role in leave else replace(turn, content=say(turn.content)) for turn in told)

    text, spans = (None, record.spans) if record.text is None else mark(record.text, record.spans)
    return replace(
        record,
        text=text,
        spans=spans,
        messages=turns(record.messages),
        chosen=turns(record.chosen),
        rejected=turns(record.rejected),
        references=tuple(map(say, record.references)),
    )


def rewritten(record: Record, repair: Callable[[str], str]) -> Record:
    """The record with `repair` done to everything it says; itself where that changes nothing.

    A text with labelled stretches is repaired piece by piece between their ends, so that every stretch keeps its words;
    one of which nothing is left is gone.
    """
    if all(repair(said) == said for said in texts(record)):
        return record
    return retold(record, repair, lambda text, spans: _by_pieces(text, spans, repair))


def edited_record(record: Record, find: Callable[[str], Sequence[Edit]], leave: Collection[Role] = ()) -> Record:
    """The record with the edits that `find` makes for each text it says; itself where there are none.

    Args:
        leave: whose turns stay.
    """
    after = retold(
        record,
        lambda said: edited(said, None, find(said))[0],
        lambda text, spans: edited(text, spans, find(text)),
        leave,
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
    after = retold(
        record,
        lambda said: edited(said, None, next(rest))[0],
        lambda text, spans: edited(text, spans, next(rest)),
    )
    return after if slices is None else replace(after, slices=slices)


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
