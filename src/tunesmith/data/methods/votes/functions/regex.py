"""Votes for a label where a regular expression matches."""

from __future__ import annotations

import re
from functools import cached_property

from pydantic import Field, field_validator

from tunesmith.data.methods.votes.functions import RowFunction
from tunesmith.data.rewrite import texts
from tunesmith.records import Record


class Regex(RowFunction):
    """Votes for a label where a regular expression matches somewhere in a row."""

    pattern: str = Field(min_length=1, examples=[r"\b\d{5}\b"])
    """In Python's syntax; small and capital letters are alike, `(?-i:...)` tells them apart."""
    label: str = Field(min_length=1, examples=["billing"])
    """What it votes for."""
    absent: bool = False
    """Vote where it does not match, instead."""

    @field_validator("pattern")
    @classmethod
    def _is_one(cls, pattern: str) -> str:
        try:
            re.compile(pattern, re.IGNORECASE)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return pattern

    def vote(self, record: Record) -> str | None:
        matches = any(self._compiled.search(said) for said in texts(record))
        return self.label if matches != self.absent else None

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.IGNORECASE)
