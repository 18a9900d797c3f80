"""Which languages rows are in, as far as that can be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

LETTERS, SURE = 40, 0.98
"""Rows with fewer letters, or a language less likely than this, are counted as not told."""
UNTOLD = "not told"
_LONGEST = 1_000


def languages(texts: Sequence[str]) -> dict[str, Any]:
    """Counts rows by language.

    Returns:
        counts: code, or UNTOLD, -> rows, the commonest first; main: the commonest code; others: where other languages
        stand, the surest first.
    """
    from tunesmith.data.quality.language import NO_LANGUAGE, detect, letters

    found, usual = [], "en"
    for text in texts:
        name = UNTOLD
        if letters(text) >= LETTERS:
            best, surety = detect(text[:_LONGEST], (usual,))
            if best != usual:  # asked again, because only the languages named have their probability told
                usual, surety = best, detect(text[:_LONGEST], (best,))[1]
            name = best if surety >= SURE and best != NO_LANGUAGE else UNTOLD
        found.append(name)
    counts = Counter(found)
    told = [(name, count) for name, count in counts.most_common() if name != UNTOLD]
    main = told[0][0] if told else None
    return {
        "counts": dict(counts.most_common()),
        "main": main,
        "others": [at for at, name in enumerate(found) if name not in (main, UNTOLD)],
    }
