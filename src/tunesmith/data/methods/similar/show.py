"""Copies for people to look at: what differs between two texts."""

from __future__ import annotations

from difflib import SequenceMatcher

LONGEST = 2000
"""Characters of each text that are looked at."""
AROUND = 3
"""Words shown on either side of what differs."""


def difference(kept: str, copy: str) -> str:
    """What one text has in place of the other, `[-...-]` only in the kept one and `{+...+}` only in the copy."""
    old, new = kept[:LONGEST].split(), copy[:LONGEST].split()
    said: list[str] = []
    for group in SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(AROUND):
        parts = ["..."] if group[0][1] else []
        for operation, start, end, new_start, new_end in group:
            if operation == "equal":
                parts += old[start:end]
                continue
            parts += [f"[-{' '.join(old[start:end])}-]"] if end > start else []
            parts += ["{+" + " ".join(new[new_start:new_end]) + "+}"] if new_end > new_start else []
        said += [" ".join(parts)]
        said += ["..."] if group[-1][2] < len(old) else []
    return " ".join(said).replace("... ...", "...")


def excerpt(text: str, longest: int = 300) -> str:
    """The beginning of a text, in one line."""
    line = " ".join(text[: 2 * longest].split())
    return line if len(line) <= longest else f"{line[:longest]}..."
