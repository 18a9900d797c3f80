"""Takes markup out of texts."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from pydantic import Field

from tunesmith.data.methods.quality import html, syntax
from tunesmith.data.rewrite import Edit, edited_record, texts
from tunesmith.data.room import Room
from tunesmith.data.steps import KEEP, Outcome, Step, change, drop
from tunesmith.records import Record

_Find = Callable[[str], Sequence[Edit]]
Format = Literal["html", "latex", "markdown"]

HTML = "HTML removed"
ENTITIES = "HTML entities decoded"
LATEX = "LaTeX commands removed"
MARKDOWN = "Markdown removed"
NOTHING_LEFT = "nothing but markup"


class Markup(Step):
    """Turns markup into plain text: blocks of HTML become lines, cells are set apart by tabs, scripts and styles go
    with what they hold, entities become characters. Code between backticks, formulas and comparisons such as `a < b`
    are left alone. Labelled stretches are moved along with their text.

    Meant for texts that were taken from pages; answers that are to be HTML or Markdown would lose what they teach.
    """

    formats: tuple[Format, ...] = Field(default=("html", "latex"), min_length=1)
    """What is taken out: `html` (tags of HTML, all tags where a text begins as XML), `latex` (commands about looks,
    labels and references, where there are two or more), `markdown` (marks of headings, quotes and emphasis, links,
    images)."""
    min_share: float = Field(default=0.01, ge=0, le=1)
    """Take tags out of texts of which at least this share is HTML; in others they are spoken about. Tags count that
    stand in pairs, never have a closing one, or carry attributes."""

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        shares = array("d")
        for outcome, share in room.map(self._look, records):
            shares.append(share)
            yield outcome
        if "html" in self.formats:
            room.measured("share of HTML", shares, high=self.min_share)

    def _look(self, record: Record) -> tuple[Outcome, float]:
        """What becomes of a record, and the share of its text that is HTML, of the one that has most."""
        share = max((html.scan(text).share for text in texts(record)), default=0.0) if "html" in self.formats else 0.0
        reasons = []
        after = record
        for reason, find in self._kinds():
            before, after = after, edited_record(after, find)
            if after != before:
                reasons.append(reason)
        if not reasons:
            return KEEP, share
        if any(said.strip() for said in texts(record)) and not any(said.strip() for said in texts(after)):
            return drop(NOTHING_LEFT), share
        return change(after, *reasons), share

    def _kinds(self) -> Iterator[tuple[str, _Find]]:
        if "html" in self.formats:
            yield HTML, self._tags
            yield ENTITIES, html.entities
        if "latex" in self.formats:
            yield LATEX, syntax.latex
        if "markdown" in self.formats:
            yield MARKDOWN, syntax.markdown

    def _tags(self, text: str) -> list[Edit]:
        found = html.scan(text)
        return found.edits(len(text)) if found.share >= max(self.min_share, 1e-9) else []
