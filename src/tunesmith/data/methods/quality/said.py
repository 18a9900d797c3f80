"""What of a record is judged when its quality is."""

from __future__ import annotations

from tunesmith.records import Record


def judged(record: Record) -> tuple[str, ...]:
    """What people or models said in it: its text, its turns, the preferred answer. System turns are the same
    everywhere, and rejected answers are bad on purpose."""
    turns = (*record.messages, *record.chosen)
    told = (turn.content for turn in turns if turn.role != "system")
    return (*([record.text] if record.text is not None else []), *told)


def asked(record: Record) -> tuple[str, ...]:
    """The user's turns; the text where there are no turns."""
    if not record.messages and record.text is not None:
        return (record.text,)
    return tuple(turn.content for turn in record.messages if turn.role == "user")


def answered(record: Record) -> tuple[str, ...]:
    """The trained turns, or the preferred answer."""
    said = tuple(turn.content for turn in record.messages if turn.trained)
    return said or tuple(turn.content for turn in record.chosen if turn.role == "assistant")
