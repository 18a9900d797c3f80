"""WinoBias: sentences whose pronoun goes with the stereotype of an occupation, and the same against it.

The two halves are files of their own, `pro_stereotyped_type1.txt.test` and `anti_stereotyped_type1.txt.test`, that
match line by line: `12 [The developer] argued with the designer because [she] did not like the design.`
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tunesmith.evaluate.fairness.suites import Item, SentencePair

_PRO, _ANTI = "pro_stereotyped", "anti_stereotyped"


def half(file: Path) -> Path | None:
    """The file that holds the other half; None where this is no file of the suite."""
    if file.name.startswith(_ANTI):
        return file.with_name(file.name.replace(_ANTI, _PRO, 1))
    return file.with_name(file.name.replace(_PRO, _ANTI, 1)) if file.name.startswith(_PRO) else None


def items(file: Path) -> Iterator[Item | None]:
    """The pairs of a file and its other half; of a folder's two halves the stereotyped one brings them."""
    other = half(file)
    assert other is not None, "a file of the suite"
    if not other.exists():
        yield None
        return
    if file.name.startswith(_ANTI):
        return
    stereotyped, against = (_sentences(each) for each in (file, other))
    kind = found.group() if (found := re.search(r"type\d", file.name)) else "gender"
    for number in range(max(len(stereotyped), len(against))):
        pair = [lines[number] for lines in (stereotyped, against) if number < len(lines)]
        whole = len(pair) == 2 and pair[0] != pair[1]
        yield SentencePair(f"{file.name}:{number + 1}", kind, pair[0], pair[1]) if whole else None


def _sentences(file: Path) -> list[str]:
    lines = [line for line in file.read_text("utf-8", "replace").splitlines() if line.strip()]
    return [re.sub(r"[\[\]]", "", re.sub(r"^\d+\s+", "", line)).strip() for line in lines]
