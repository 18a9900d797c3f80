"""Which language a text is in, by py3langid: 139 languages, offline."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

NO_LANGUAGE = "zxx"
"""Numbers, identifiers, markup."""

# What says nothing about the language of the words around it.
_FOREIGN = re.compile(r"```.*?(?:```|\Z)|https?://\S+|\S+@\S+", re.DOTALL)
_LONGEST = 5000
"""Characters looked at; more of them make the answer no surer."""


def languages() -> tuple[str, ...]:
    """The codes of all languages it knows (ISO 639)."""
    return tuple(sorted(label for label in _detector().labels if label != NO_LANGUAGE))


def letters(text: str) -> int:
    """How many letters say something about the language: code blocks, addresses and links left out."""
    return sum(map(str.isalpha, _FOREIGN.sub(" ", text)[:_LONGEST]))


def detect(text: str, among: Collection[str]) -> tuple[str, float]:
    """The likeliest language of a text, and the probability that it is in one of `among`."""
    ranked = _detector().rank(_FOREIGN.sub(" ", text)[:_LONGEST])
    return ranked[0][0], sum(p for name, p in ranked if name in among)


@cache
def _detector() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
