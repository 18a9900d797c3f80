"""Finds the answer in what a model said."""

from __future__ import annotations

import re
from collections.abc import Sequence

MARK = "Answer:"
"""What stands before the answer of a model that thinks aloud."""


def final_answer(said: str) -> str:
    """What follows the last `Answer:` of a text, up to the end of its line; its last line where there is none."""
    before, mark, after = _parted(said)
    lines = [line.strip() for line in (after if mark else before).splitlines() if line.strip()]
    if not lines:
        return ""
    found = lines[0] if mark else lines[-1]
    return found.strip("*` ")


def read_label(said: str, labels: Sequence[str]) -> str:
    """The label that a text names, or the text where it names none or more than one.

    It is the whole text, or stands in it as a whole word; of labels that hold each other the longer one counts. Case,
    blanks and what stands around a label do not matter.
    """
    wanted = {_plain(label): label for label in labels}
    if (whole := _plain(said)) and whole in wanted:
        return wanted[whole]
    rest, found = f" {_plain(said)} ", set()
    for plain in sorted(wanted, key=len, reverse=True):
        if plain and f" {plain} " in rest:
            found.add(wanted[plain])
            rest = rest.replace(f" {plain} ", " | ")
    return found.pop() if len(found) == 1 else said.strip()


def _parted(said: str) -> tuple[str, str, str]:
    at = said.lower().rfind(MARK.lower())
    return (said, "", "") if at < 0 else (said[:at], MARK, said[at + len(MARK) :])


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))
