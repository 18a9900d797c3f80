"""Drops empty rows and repairs damaged characters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import ftfy

from tunesmith.data.steps import Changed, Dropped, Step, StepResult
from tunesmith.records import Message, Record, Span

# All of C0 and C1 but tab, line feed and carriage return; and characters that must not stand in a text.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
# Letters that UTF-8 bytes become when they are read as another encoding.
_SUSPECT = re.compile("[\xc2-\xf4\u0102-\u0159\u2018-\u20ac]")

ENCODING = "broken encoding repaired"
CONTROLS = "control characters removed"


class Clean(Step):
    """Leaves out rows without text or answer, removes control characters, and repairs text that was decoded wrongly.

    Spans are moved along with their text.
    """

    fix_encoding: bool = True
    """Repair text that was decoded with the wrong encoding, `Ã©` to `é`."""
    remove_controls: bool = True
    """Remove control characters other than tabs and line ends."""

    def apply(self, records: Sequence[Record]) -> StepResult:
        kept: list[Record] = []
        dropped: list[Dropped] = []
        changed: list[Changed] = []
        for record in records:
            before = record
            for reason, repair in self._repairs():
                after = _repaired(before, repair)
                if after != before:
                    changed.append(Changed(before, after, self.kind, reason))
                    before = after
            reason = _emptiness(before)
            if reason:
                dropped.append(Dropped(before, self.kind, reason))
            else:
                kept.append(before)
        return StepResult(kept, dropped, changed)

    def _repairs(self) -> list[tuple[str, Callable[[str], str]]]:
        repairs: list[tuple[str, Callable[[str], str]]] = []
        if self.fix_encoding:
            repairs.append((ENCODING, _fix_encoding))
        if self.remove_controls:
            repairs.append((CONTROLS, lambda text: _CONTROL.sub("", text)))
        return repairs


def _fix_encoding(text: str) -> str:
    return ftfy.fix_encoding(text) if _SUSPECT.search(text) else text


def _emptiness(record: Record) -> str:
    """Why a record holds nothing to learn from; empty when it does."""
    if record.shape == "chat":
        if any(turn.trained and not turn.content.strip() for turn in record.messages):
            return "empty answer"
        return "" if _any_said(record.messages, "user") else "empty prompt"
    if record.shape == "pair":
        if not all(side[-1].content.strip() for side in (record.chosen, record.rejected)):
            return "empty answer"
        return "" if _any_said(record.messages, "user") else "empty prompt"
    return "" if (record.text or "").strip() else "empty text"


def _any_said(turns: Iterable[Message], role: str) -> bool:
    said = [turn.content for turn in turns if turn.role == role]
    return any(content.strip() for content in said) or not said


def _repaired(record: Record, repair: Callable[[str], str]) -> Record:
    said = (record.text or "", *(turn.content for turn in _turns(record)), *record.references)
    if all(repair(text) == text for text in said):
        return record

    def mended(turns: Iterable[Message]) -> tuple[Message, ...]:
        return tuple(replace(turn, content=repair(turn.content)) for turn in turns)

    text, spans = record.text, record.spans
    if text is not None:
        text, spans = _with_spans(text, spans, repair)
    return replace(
        record,
        text=text,
        spans=spans,
        messages=mended(record.messages),
        chosen=mended(record.chosen),
        rejected=mended(record.rejected),
        references=tuple(map(repair, record.references)),
    )


def _turns(record: Record) -> Iterable[Message]:
    return (*record.messages, *record.chosen, *record.rejected)


def _with_spans(
    text: str, spans: tuple[Span, ...] | None, repair: Callable[[str], str]
) -> tuple[str, tuple[Span, ...] | None]:
    """Repairs piece by piece between the ends of spans, so that every span keeps its words."""
    if not spans:
        return repair(text), spans
    borders = sorted({0, len(text), *(edge for span in spans for edge in (span.start, span.end))})
    moved, repaired = {0: 0}, ""
    for start, end in pairwise(borders):
        repaired += repair(text[start:end])
        moved[end] = len(repaired)
    found = (Span(moved[span.start], moved[span.end], span.label) for span in spans)
    return repaired, tuple(span for span in found if span.start < span.end)
