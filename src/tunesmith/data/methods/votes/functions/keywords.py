"""Votes for a label where words stand in a row."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated

from pydantic import Field

from tunesmith.data.methods.votes.functions import RowFunction
from tunesmith.data.rewrite import texts
from tunesmith.records import Record


class Keywords(RowFunction):
    """Votes for a label where one of several words or phrases stands in a row."""

    words: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1, examples=[["refund", "money back"]])
    """Words or phrases; blanks stand for any blanks."""
    label: str = Field(min_length=1, examples=["billing"])
    """What it votes for."""
    at_least: int = Field(default=1, ge=1)
    """So many different ones of the words must be there."""
    whole_words: bool = True
    """`win` is not found in `window`."""
    match_case: bool = False
    """Small and capital letters are different."""

    def vote(self, record: Record) -> str | None:
        said = "\n".join(texts(record))
        found = {
            match.group().casefold() if not self.match_case else match.group() for match in self._any.finditer(said)
        }
        return self.label if len({" ".join(each.split()) for each in found}) >= self.at_least else None

    @cached_property
    def _any(self) -> re.Pattern[str]:
        # Longer ones first, so that `money back` is not taken for `money`.
        phrases = [r"\s+".join(map(re.escape, word.split())) for word in sorted(self.words, key=len, reverse=True)]
        either = f"(?:{'|'.join(phrases)})"
        whole = rf"(?<!\w){either}(?!\w)" if self.whole_words else either
        return re.compile(whole, 0 if self.match_case else re.IGNORECASE)
