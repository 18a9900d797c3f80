"""How hard English is to read: the Flesch-Kincaid grade (Kincaid and others, 1975)."""

from __future__ import annotations

import math
import re
from functools import lru_cache

from tunesmith.data.audit.said import whole, words
from tunesmith.records import Record

_LONGEST = 5_000
_SENTENCE = re.compile(r"[.!?]+[\"')\]\N{RIGHT DOUBLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}]*(?=\s|\Z)|\n+")
_VOWELS = re.compile("[aeiouy]+")
_SPLIT_VOWELS = re.compile(
    "(?<![tscglx])i[ao]|iet|[^aeiou]ier|scien|(?<!p)eo(?!us)|eum|u[ae](?=[lt])|(?<=[aeiouy])ing$|[rd]ea$|(?<=c)rea(?=t)|iu|ism$"
)
_SILENT = re.compile("(?:[^laeiouy]|[aeiouy]l)es?$|[^td]ed$|[aeiou]les?$")
_SOUNDED = re.compile("(?:[^aeiouylr]l|[sxz]|[cs]h|[cg])es$")


def grade(text: str) -> float | None:
    """The school grade a text asks for; None of a text without words.

    0.39 words a sentence + 11.8 syllables a word - 15.59. A line end ends a sentence too. Stretches of fewer than three
    words are no sentences of their own.
    """
    said = words(text)
    if not said:
        return None
    sentences = sum(len(words(part)) > 2 for part in _SENTENCE.split(text)) or 1
    return formula(len(said), sentences, sum(map(syllables, said)))


def grade_of(record: Record) -> float:
    """The grade of the beginning of a row; nan of one without words."""
    found = grade(whole(record)[:_LONGEST])
    return math.nan if found is None else found


def formula(num_words: int, num_sentences: int, num_syllables: int) -> float:
    """The grade from counts."""
    return 0.39 * num_words / num_sentences + 11.8 * num_syllables / num_words - 15.59


@lru_cache(maxsize=100_000)
def syllables(word: str) -> int:
    """How many syllables an English word has, by its letters: groups of vowels, less those that are silent."""
    found = len(_VOWELS.findall(word)) + len(_SPLIT_VOWELS.findall(word))
    if _SILENT.search(word) and not _SOUNDED.search(word):
        found -= 1
    return max(1, found)
