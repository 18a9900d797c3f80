"""What of a record is compared with others."""

from __future__ import annotations

from typing import Literal

from tunesmith.records import Record

Compared = Literal["content", "prompt", "answer"]


def compared(record: Record, what: Compared) -> str:
    """The part of a record that is compared.

    System turns are left out, since a long one that stands in all rows would make them alike. Texts with labels have
    no prompt and answer apart; the whole text is compared.
    """
    if record.text is not None:
        return record.text
    if what == "prompt":
        turns = record.prompt if record.shape == "chat" else record.messages
        return "\n".join(turn.content for turn in turns if turn.role != "system")
    if what == "answer":
        return "\n".join(turn.content for turn in record.chosen) if record.chosen else record.answer
    turns = (*record.messages, *record.chosen, *record.rejected)
    return "\n".join(turn.content for turn in turns if turn.role != "system")
