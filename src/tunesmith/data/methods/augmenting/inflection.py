"""English words in the form of another: `cars` and `auto` give `autos`, `stopped` and `halt` give `halted`."""

from __future__ import annotations

from collections.abc import Mapping

_VOWELS = "aeiou"


def inflected(lemma: str, pos: str, form: str, of: str, irregular: Mapping[str, str]) -> str | None:
    """`lemma` in the form in which `form` stands to `of`, its base form.

    Args:
        pos: `n`, `v`, `a` or `r`.
        irregular: irregular form -> base form, of that part of speech.

    Returns:
        None where the form cannot be told: degrees of adjectives, and verbs whose past and participle differ.
    """
    if form == of:
        return lemma
    if pos == "n":
        return _formed(lemma, _plural(lemma), irregular, lambda known: True)
    if pos != "v":
        return None
    if form.endswith("ing"):
        return _formed(lemma, _regular(lemma, "ing"), irregular, lambda known: known.endswith("ing"))
    if form.endswith("s") and form not in irregular:
        return _plural(lemma)
    return _formed(lemma, _regular(lemma, "ed"), irregular, lambda known: not known.endswith(("ing", "s")))


def _formed(lemma: str, regular: str, irregular: Mapping[str, str], fits: object) -> str | None:
    """The irregular form where there is one, None where there are several, or the regular one."""
    assert callable(fits)
    known = [form for form, base in irregular.items() if base == lemma and fits(form)]
    return (known[0] if len(known) == 1 else None) if known else regular


def _plural(word: str) -> str:
    if word.endswith("y") and word[-2:-1] not in _VOWELS:
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")


def _regular(word: str, ending: str) -> str:
    # Verbs that double their last letter are all among the irregular ones.
    if ending == "ed" and word.endswith("y") and word[-2:-1] not in _VOWELS:
        return word[:-1] + "ied"
    if word.endswith("e") and not (ending == "ing" and word.endswith(("ee", "oe", "ye"))):
        return word[:-1] + ending
    return word + ending
