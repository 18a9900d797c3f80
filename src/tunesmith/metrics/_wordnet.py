"""WordNet as NLTK's METEOR asks it: the words that mean the same as a word, in any of its senses.

NLTK's own reader asks for files that packages of WordNet leave out, and for a folder of NLTK's; this one reads the
files of wndb(5WN) wherever they lie, and finds base forms by NLTK's rules, so that scores are NLTK's.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from tunesmith.errors import UserError

INSTALLED = Path("/usr/share/wordnet")
"""Where Debian's package wordnet-base puts it."""
_ENDINGS = {
    "noun": (
        ("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"),
        ("men", "man"), ("ies", "y"),
    ),
    "verb": (
        ("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""),
    ),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}  # fmt: skip
"""Part of speech -> endings and what they are taken back to."""


class Lemma(NamedTuple):
    """A word, `_` for blanks."""

    word: str

    def name(self) -> str:
        """The word."""
        return self.word


class Synset(NamedTuple):
    """Words that mean the same."""

    words: tuple[Lemma, ...]

    def lemmas(self) -> tuple[Lemma, ...]:
        """The words."""
        return self.words


class Words:
    """WordNet in a folder.

    Args:
        folder: holds `index.noun`, `data.noun`, `noun.exc` and so on; None is a WordNet without words.

    Raises:
        OSError: a file is missing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._index: dict[str, dict[str, str]] = {}
        self._data: dict[str, bytes] = {}
        self._irregular: dict[str, dict[str, list[str]]] = {}
        for pos in _ENDINGS if folder else ():
            assert folder is not None
            # A line begins with the word; those of the licence with a blank.
            lines = (folder / f"index.{pos}").read_text("utf-8").splitlines()
            self._index[pos] = {line.partition(" ")[0]: line for line in lines if not line.startswith(" ")}
            self._data[pos] = (folder / f"data.{pos}").read_bytes()
            exceptions = [line.split() for line in (folder / f"{pos}.exc").read_text("utf-8").splitlines()]
            self._irregular[pos] = {form[0]: form[1:] for form in exceptions if form}

    @lru_cache(maxsize=50_000)  # noqa: B019  one object a process and folder, kept on purpose
    def synsets(self, word: str) -> tuple[Synset, ...]:
        """Every sense of a word, or of its base forms."""
        return tuple(
            synset
            for pos in self._index
            for form in self._base_forms(word.lower(), pos)
            for synset in self._senses(form, pos)
        )

    def _base_forms(self, word: str, pos: str) -> list[str]:
        """The word itself and what it is an irregular form of, or what is left without an ending; what WordNet has."""
        shorter = [word[: len(word) - len(ending)] + base for ending, base in _ENDINGS[pos] if word.endswith(ending)]
        forms = [word, *self._irregular[pos].get(word, shorter)]
        return [form for form in dict.fromkeys(forms) if form in self._index[pos]]

    def _senses(self, lemma: str, pos: str) -> Iterator[Synset]:
        # lemma pos synset_cnt p_cnt [pointer...] sense_cnt tagsense_cnt offset...
        fields = self._index[pos][lemma].split()
        for offset in fields[6 + int(fields[3]) :]:
            data = self._data[pos]
            # offset lex_filenum ss_type w_cnt(hex) word lex_id [word lex_id...]
            synset = data[int(offset) : data.find(b"\n", int(offset))].decode().split(" ")
            words = synset[4 : 4 + 2 * int(synset[3], 16) : 2]
            yield Synset(tuple(Lemma(word.partition("(")[0]) for word in words))


@lru_cache
def open_words(where: str) -> Words:
    """WordNet as a setting names it: `installed`, `bundled`, `none` or a folder.

    Raises:
        UserError: there is no WordNet there.
    """
    bundled = Path(str(files("tunesmith"))) / "data" / "methods" / "augmenting" / "wordnet"
    folder = {"installed": INSTALLED, "bundled": bundled, "none": None}.get(where, Path(where))
    try:
        return Words(folder)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no WordNet there: {error}",
            where=str(folder),
            fix="apt install wordnet-base (it fills /usr/share/wordnet), or write `wordnet: bundled` or `none`",
        ) from error
