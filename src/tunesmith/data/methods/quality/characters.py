"""Characters that do not belong in a text: damaged, invisible, in more than one form."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal

import ftfy
from ftfy.fixes import fix_c1_controls, fix_surrogates

from tunesmith.data.rewrite import Edit

Form = Literal["NFC", "NFKC"]

# All of C0 and C1 but tab, line feed and carriage return; and characters that must not stand in a text.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
# Letters that UTF-8 bytes become when they are read as another encoding.
_SUSPECT = re.compile("[\xc2-\xf4\u0102-\u0159\u2018-\u20ac]")
_C1 = re.compile("[\x80-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")

# Soft hyphen, grapheme joiner, Hangul fillers, zero-width space, embeddings and overrides of direction, word joiner and
# invisible operators, isolates, interlinear marks, byte order mark.
_INVISIBLE = re.compile("[\xad\u034f\u115f\u1160\u180e\u200b\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]")
# Joiners shape Persian, Indic scripts and emoji: among plain letters they do nothing.
_JOINER = re.compile("(?<![^\x00-\x7f])[\u200c\u200d]+(?![^\x00-\x7f])")
_MARK = re.compile("[\u200e\u200f\u061c]")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
# Tag characters spell the flags of England, Scotland and Wales after a black flag; elsewhere they hide text.
_TAGS = re.compile("(\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f)|[\U000e0000-\U000e007f]+")

_GAP = re.compile(r"\s+")
_LINE_END = re.compile("\r\n?|[\n\x0b\x0c\x85\u2028\u2029]")


def fix_encoding(text: str) -> str:
    """Text that was decoded wrongly, as it was meant; halves of surrogate pairs joined."""
    text = fix_surrogates(text) if _SURROGATE.search(text) else text
    text = ftfy.fix_encoding(text) if _SUSPECT.search(text) else text
    # What is left of C1 controls are quotation marks and dashes of Windows-1252, read as Latin-1.
    return fix_c1_controls(text) if _C1.search(text) else text


def without_surrogates(text: str) -> str:
    """No half of a pair without the other: they cannot be stored as UTF-8. What is lost is marked by U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def without_controls(text: str) -> str:
    """No control characters other than tabs and line ends."""
    return _CONTROL.sub("", text)


def without_invisible(text: str) -> str:
    """No characters that cannot be seen: zero-width ones, soft hyphens, byte order marks, overrides of direction, tags.

    What shapes the letters beside it stays: joiners in scripts that need them and in emoji, marks of direction in texts
    with right-to-left letters.
    """
    if text.isascii():
        return text
    text = _JOINER.sub("", _INVISIBLE.sub("", text))
    if not _RIGHT_TO_LEFT.search(text):
        text = _MARK.sub("", text)
    return _TAGS.sub(lambda found: found[1] or "", text)


def normal(text: str, form: Form) -> str:
    """The text with every character in one form (Unicode Standard Annex 15)."""
    return text if text.isascii() else unicodedata.normalize(form, text)


def broken_share(texts: Iterable[str]) -> float:
    """How many of the characters are lost ones: U+FFFD or half a surrogate pair; 0 where there are none."""
    broken = total = 0
    for text in texts:
        total += len(text)
        if not text.isascii():
            broken += text.count("\ufffd") + len(_SURROGATE.findall(text))
    return broken / total if total else 0.0


def collapsing(text: str) -> list[Edit]:
    """Edits after which blanks are single plain ones, at most one line is empty in a row, and none stand at line ends
    or around the text. The blanks that indent a line stay, with plain ones for odd ones."""
    edits = []
    for found in _GAP.finditer(text):
        old, (start, end) = found[0], found.span()
        *lines, indent = _LINE_END.split(old)
        if end == len(text):
            new = ""
        elif start == 0 or lines:
            # Blank lines before the first are gone, and what indents it stays.
            new = "\n" * (min(len(lines), 2) if start else 0) + _plain(indent)
        else:
            new = " "
        if new != old:
            edits.append(Edit(start, end, new))
    return edits


def _plain(blanks: str) -> str:
    return "".join("\t" if blank == "\t" else " " for blank in blanks)
