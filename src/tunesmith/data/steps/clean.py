"""Drops empty rows and repairs damaged characters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import ftfy

from tunesmith.data.rewrite import rewritten
from tunesmith.data.steps import KEEP, Outcome, RowStep, change, drop
from tunesmith.records import Message, Record

# All of C0 and C1 but tab, line feed and carriage return; and characters that must not stand in a text.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
# Letters that UTF-8 bytes become when they are read as another encoding.
_SUSPECT = re.compile("[\xc2-\xf4\u0102-\u0159\u2018-\u20ac]")

ENCODING = "broken encoding repaired"
CONTROLS = "control characters removed"


class Clean(RowStep):
    """Leaves out rows without text or answer, removes control characters, and repairs text that was decoded wrongly.

    Spans are moved along with their text.
    """

    fix_encoding: bool = True
    """Repair text that was decoded with the wrong encoding, `Ã©` to `é`."""
    remove_controls: bool = True
    """Remove control characters other than tabs and line ends."""

    def look(self, record: Record) -> Outcome:
        reasons = []
        after = record
        for reason, repair in self._repairs():
            before, after = after, rewritten(after, repair)
            if after != before:
                reasons.append(reason)
        empty = _emptiness(after)
        if empty:
            return drop(empty)
        return change(after, *reasons) if reasons else KEEP

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
