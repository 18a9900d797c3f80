"""Which languages rows are in, as far as that can be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tunesmith.data.audit.said import whole
from tunesmith.records import Record

LETTERS, SURE = 40, 0.98
"""Rows with fewer letters, or a language less likely than this, are counted as not told."""
UNTOLD = "not told"
_LONGEST = 1_000
_GUESS = "en"


def language(record: Record) -> str:
    """The code of a row's language; UNTOLD where that is not sure."""
    from tunesmith.data.methods.quality.language import NO_LANGUAGE, detect, letters

    text = whole(record)
    if letters(text) < LETTERS:
        return UNTOLD
    best, surety = detect(text[:_LONGEST], (_GUESS,))
    if best != _GUESS:  # asked again, because only the languages named have their probability told
        surety = detect(text[:_LONGEST], (best,))[1]
    return best if surety >= SURE and best != NO_LANGUAGE else UNTOLD


def summary(found: Iterable[str]) -> dict[str, Any]:
    """Counts rows by language.

    Returns:
        counts: code, or UNTOLD, -> rows, the commonest first; main: the commonest code; others: where other languages
        stand.
    """
    found = list(found)
    counts = Counter(found)
    told = [(name, count) for name, count in counts.most_common() if name != UNTOLD]
    main = told[0][0] if told else None
    return {
        "counts": dict(counts.most_common()),
        "main": main,
        "others": [at for at, name in enumerate(found) if name not in (main, UNTOLD)],
    }
