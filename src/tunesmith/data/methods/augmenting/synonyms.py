"""Which words of an English text can be replaced by synonyms, and by which.

A word's part of speech is taken from how often WordNet's marked texts have it as each, and from the word before it;
where that leaves a doubt the word is left alone.
"""

from __future__ import annotations

from typing import NamedTuple

from tunesmith.data.methods.augmenting.inflection import inflected
from tunesmith.data.methods.augmenting.wordnet import POS, WordNet
from tunesmith.data.methods.augmenting.words import FUNCTION_WORDS, Word, word_set, written_like

_DETERMINERS = word_set("a an the my your his its our their every each")
_BEFORE_VERBS = word_set(
    """to i you we they he she who will would can could should must might may shall don't didn't doesn't won't can't
    couldn't wouldn't shouldn't i'll we'll you'll they'll i'd please not"""
)
_BEFORE_ADJECTIVES = word_set("very so too really quite is are was were am be been being it's that's")
_SURE = 0.8
"""Share of the times a word was met that its commonest part of speech must have."""


class Replacement(NamedTuple):
    """A word and what may stand in its place, best first."""

    word: Word
    choices: tuple[str, ...]


def replaceable(words: list[Word], wordnet: WordNet, senses: int) -> list[Replacement]:
    """Words with synonyms, in the form and case of what they replace.

    Args:
        senses: of the commonest meanings of a word, how many may be meant.
    """
    found = []
    for place, word in enumerate(words):
        before = words[place - 1].text.lower() if place else ""
        choices = synonyms_of(word.text, before, wordnet, senses)
        if choices:
            found.append(Replacement(word, tuple(written_like(choice, word.text) for choice in choices)))
    return found


def synonyms_of(word: str, before: str, wordnet: WordNet, senses: int) -> list[str]:
    """What may stand in the place of a word that follows `before`; empty where nothing may or there is a doubt."""
    said = word.lower()
    # A capital inside of a sentence is a name.
    if (
        said in FUNCTION_WORDS
        or len(said) < 3
        or not said.isalpha()
        or (before and word[:1].isupper() != word.isupper())
    ):
        return []
    pos = part_of_speech(said, before, wordnet)
    lemma = wordnet.lemma(said, pos) if pos else None
    if pos is None or lemma is None:
        return []
    forms = (
        inflected(other, pos, said, lemma, wordnet.irregular[pos]) for other in wordnet.synonyms(lemma, pos, senses)
    )
    return [form for form in forms if form and form != said and _fits(form, said, before)]


def part_of_speech(word: str, before: str, wordnet: WordNet) -> str | None:
    """`n`, `v`, `a` or `r`; None where the word is unknown or may well be another."""
    counts: dict[str, int] = {}
    for pos in POS:
        lemma = wordnet.lemma(word, pos)
        if lemma is not None:
            counts[pos] = wordnet.counts(lemma).get(pos, 0)
    allowed = {pos: count for pos, count in counts.items() if pos in _allowed(before)} or counts
    if not allowed:
        return None
    best = max(allowed, key=lambda pos: allowed[pos])
    total = sum(allowed.values())
    if len(allowed) == 1 or (total and allowed[best] >= _SURE * total):
        return best
    return None


def _allowed(before: str) -> str:
    if before in _DETERMINERS:
        return "na"
    if before in _BEFORE_VERBS:
        return "v"
    return "avr" if before in _BEFORE_ADJECTIVES else "nvar"


def _fits(form: str, said: str, before: str) -> bool:
    """Whether `a` and `an` stay right."""
    return before not in ("a", "an") or (form[0] in "aeiou") == (said[0] in "aeiou")
