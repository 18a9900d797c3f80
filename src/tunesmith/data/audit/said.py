"""What a record asks and answers, and its words."""

from __future__ import annotations

import re

from tunesmith.records import Record

_WORD = re.compile(r"[^\W_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}][^\W_]+)*")


def prompt(record: Record) -> str:
    """What a model reads: the text, or the turns before the answer."""
    if record.shape == "pair":
        return "\n".join(turn.content for turn in record.messages)
    if record.messages:
        return "\n".join(turn.content for turn in record.prompt)
    return record.text or ""


def answer(record: Record) -> str:
    """What a model writes: the last trained turn, or the better of two answers; nothing for labels and prose."""
    if record.shape == "pair":
        return "\n".join(turn.content for turn in record.chosen)
    return record.answer


def whole(record: Record) -> str:
    """Prompt and answer."""
    return "\n".join(part for part in (prompt(record), answer(record)) if part)


def words(text: str) -> list[str]:
    """The words of a text, small letters."""
    return [word.lower() for word in _WORD.findall(text)]
