"""Which of a record's texts is varied, and which of its words must stay.

Of texts with labels it is the text; of conversations and pairs what was asked last: answers stay as they are, and so
do words of the question that the answer takes up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tunesmith.data.methods.augmenting.words import Word, words_of
from tunesmith.records import Record, Span

PROSE = "prose, every word of which is learned"
EMPTY = "nothing is asked"


@dataclass(frozen=True)
class Target:
    """The text that is varied."""

    text: str
    spans: tuple[Span, ...]
    kept: frozenset[str]
    """Words that must stay, in small letters."""

    def free(self) -> list[Word]:
        """The words that may be changed: outside of labelled stretches, and not taken up by the answer."""
        return [
            word
            for word in words_of(self.text)
            if word.text.casefold() not in self.kept
            and not any(span.start < word.end and word.start < span.end for span in self.spans)
        ]


def target(record: Record) -> Target:
    """What of a record is varied."""
    if record.text is not None:
        return Target(record.text, record.spans or (), frozenset())
    answers = [record.answer] if not record.chosen else [turn.content for turn in (*record.chosen, *record.rejected)]
    kept = frozenset(word.text.casefold() for answer in (*answers, *record.references) for word in words_of(answer))
    place = _asked(record)
    return Target(record.messages[place].content if place is not None else "", (), kept)


def said(record: Record) -> str:
    """The text of `target`."""
    return target(record).text


def why_not(record: Record) -> str:
    """Why a record cannot be varied; empty when it can."""
    if record.shape == "text":
        return PROSE
    return "" if said(record).strip() else EMPTY


def varied(record: Record, text: str, spans: tuple[Span, ...] | None) -> Record:
    """The record with another text in that place."""
    if record.text is not None:
        return replace(record, text=text, spans=spans if record.spans is not None else None)
    place = _asked(record)
    assert place is not None, "a record that can be varied asks something"
    turns = [replace(turn, content=text) if at == place else turn for at, turn in enumerate(record.messages)]
    return replace(record, messages=tuple(turns))


def _asked(record: Record) -> int | None:
    """The place of the last question: before the last trained answer, or of all turns of a pair's prompt."""
    last = len(record.messages) if record.chosen else len(record.prompt)
    places = [place for place, turn in enumerate(record.messages[:last]) if turn.role == "user"]
    return places[-1] if places else None
