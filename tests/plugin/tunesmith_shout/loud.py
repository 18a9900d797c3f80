"""A labelling function in Python: one file of an installed package."""

from __future__ import annotations

from tunesmith.data.methods.votes.functions import RowFunction
from tunesmith.records import Record


class Loud(RowFunction):
    """Votes for what loud rows are."""

    label: str = "angry"
    """What it votes for."""

    def vote(self, record: Record) -> str | None:
        return self.label if record.content().isupper() else None
