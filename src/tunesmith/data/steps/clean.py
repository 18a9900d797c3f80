"""Drops empty rows and repairs damaged characters."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from typing import Literal

from pydantic import Field

from tunesmith.data.methods.quality import characters
from tunesmith.data.methods.quality.said import answered, asked
from tunesmith.data.rewrite import edited_record, rewritten, texts
from tunesmith.data.room import Room
from tunesmith.data.steps import KEEP, Outcome, Step, change, drop
from tunesmith.records import Message, Record

ENCODING = "broken encoding repaired"
CONTROLS = "control characters removed"
INVISIBLE = "invisible characters removed"
NORMAL = "characters brought into one form"
WHITESPACE = "whitespace collapsed"
BROKEN = "too many lost characters"

Repair = Callable[[Record], Record]

# What stands in both lists cannot be an answer; `none`, `null` or `n/a` can, where nothing was to be found.
_NEVER_SAID = ("#n/a", "#name?", "#ref!", "#value!", "[deleted]", "[removed]", "lorem ipsum*", "nan", "undefined")


class Clean(Step):
    """Leaves out rows without text or answer, or with a placeholder in their place, and repairs characters: text that
    was decoded wrongly, control characters, characters that cannot be seen or have several forms.

    Labelled stretches are moved along with their text.
    """

    fix_encoding: bool = True
    """Repair text that was decoded with the wrong encoding, `Ã©` to `é`, and join halves of surrogate pairs."""
    remove_controls: bool = True
    """Remove control characters other than tabs and line ends."""
    remove_invisible: bool = True
    """Remove characters that cannot be seen: zero-width ones, soft hyphens, byte order marks, overrides of direction,
    tags. Those that shape letters beside them stay, in scripts that need them and in emoji."""
    normalize: Literal["NFC", "NFKC", "none"] = "NFC"
    """The Unicode form of every text. NFC changes no meaning: an accented letter becomes one character. NFKC also makes
    plain letters and digits of ligatures, full-width and raised ones, which turns `x²` into `x2`."""
    collapse_whitespace: bool = False
    """Make one plain blank of several or of odd ones, one empty line of several, and remove blanks at line ends. The
    blanks that indent a line stay."""
    max_broken: float = Field(default=0.05, ge=0, le=1)
    """Drop rows of whose characters a larger share is lost: U+FFFD, or half a surrogate pair."""
    placeholders: tuple[str, ...] = (*_NEVER_SAID, "-", "--", "n/a", "na", "nil", "none", "null", "tbd", "todo")
    """Texts and prompts that say nothing; case and blanks around do not matter, and one that ends with `*` is met at
    the beginning of longer ones."""
    answer_placeholders: tuple[str, ...] = _NEVER_SAID
    """Answers that say nothing. `none` and the like are no default: where nothing was to be found, they are right."""

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        broken = array("d")
        for outcome, share in room.map(self._look, records):
            broken.append(share)
            yield outcome
        room.measured("share of lost characters", broken, high=self.max_broken)

    def _look(self, record: Record) -> tuple[Outcome, float]:
        """What becomes of a record, and the share of its characters that are lost."""
        reasons = []
        after = record
        for reason, repair in self._repairs():
            before, after = after, repair(after)
            if after is not before and after != before:
                reasons.append(reason)
        broken = characters.broken_share(texts(after))
        empty = _emptiness(after) or self._placeholder(after)
        if empty:
            return drop(empty), broken
        if broken > self.max_broken:
            return drop(BROKEN, f"{broken:.0%} of its characters"), broken
        return (change(after, *dict.fromkeys(reasons)) if reasons else KEEP), broken

    def _repairs(self) -> Iterator[tuple[str, Repair]]:
        if self.fix_encoding:
            yield ENCODING, partial(rewritten, repair=characters.fix_encoding)
        # No setting: a row with half a surrogate pair cannot be stored.
        yield ENCODING, partial(rewritten, repair=characters.without_surrogates)
        if self.remove_controls:
            yield CONTROLS, partial(rewritten, repair=characters.without_controls)
        if self.remove_invisible:
            yield INVISIBLE, partial(rewritten, repair=characters.without_invisible)
        if self.normalize != "none":
            yield NORMAL, partial(rewritten, repair=partial(characters.normal, form=self.normalize))
        if self.collapse_whitespace:
            yield WHITESPACE, partial(edited_record, find=characters.collapsing)

    def _placeholder(self, record: Record) -> str:
        if any(_is_one(said, self.answer_placeholders) for said in answered(record)):
            return "placeholder instead of an answer"
        said = asked(record)
        if said and all(_is_one(each, self.placeholders) for each in said):
            return f"placeholder instead of a {'text' if record.text is not None else 'prompt'}"
        return ""


def _is_one(said: str, placeholders: tuple[str, ...]) -> bool:
    said = " ".join(said.casefold().split())
    whole, beginnings = _known(placeholders)
    return said in whole or said.startswith(beginnings)


@cache
def _known(placeholders: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Those that are a whole text, and those that a text begins with."""
    whole = frozenset(known.casefold() for known in placeholders if not known.endswith("*"))
    return whole, tuple(known[:-1].casefold() for known in placeholders if known.endswith("*"))


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
