"""Synonyms out of WordNet's own database files (wndb(5WN)), which are sorted and so can be searched where they lie.

`index.POS` names the synsets of each word, the commonest sense first; `data.POS` holds them; `POS.exc` irregular
forms; `cntlist.rev` how often each sense was met in texts that people marked.
"""

from __future__ import annotations

import mmap
from functools import lru_cache
from pathlib import Path

from tunesmith.errors import UserError

BUNDLED = Path(__file__).parent / "wordnet"
"""The commonest words of WordNet 3.0, in its own format, made by `tunesmith.data.methods.augmenting.excerpt`."""

POS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
"""Parts of speech, and what their files end with."""
TYPES = {"n": "1", "v": "2", "a": "3", "r": "4"}
"""What sense keys call them; they also have 5, for adjectives that lean on another."""
_OF_TYPE = {number: pos for pos, number in TYPES.items()} | {"5": "a"}
MET = 3
"""How often a word must have been met in marked texts to stand in for another."""
_DETACHMENTS: dict[str, list[tuple[str, str]]] = {
    "n": [*((end, end[:-2]) for end in ("ses", "xes", "zes", "ches", "shes")), ("men", "man"), ("ies", "y"), ("s", "")],
    "v": [("ies", "y"), ("es", "e"), ("es", ""), ("s", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")],
    "a": [],
    "r": [],
}
"""Regular endings and what the base form ends with (morphy(7WN)); degrees of adjectives are left out on purpose."""


class WordNet:
    """One folder of WordNet files.

    Args:
        folder: holds `index.noun`, `data.noun` and so on.

    Raises:
        UserError: a file is missing or cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self._index = {pos: _Sorted(folder / f"index.{name}") for pos, name in POS.items()}
            self._data = {pos: _Sorted(folder / f"data.{name}") for pos, name in POS.items()}
            self._counts = _Sorted(folder / "cntlist.rev")
            self.irregular = {pos: _exceptions(folder / f"{name}.exc") for pos, name in POS.items()}
        except (OSError, ValueError) as error:
            raise UserError(
                f"no WordNet there: {error}",
                where=str(folder),
                fix="apt install wordnet-base (it fills /usr/share/wordnet), or write `wordnet: bundled`",
            ) from error

    @lru_cache(maxsize=20_000)  # noqa: B019  one object a process and folder, kept on purpose
    def senses(self, lemma: str, pos: str) -> tuple[int, ...]:
        """Where the synsets of a base form stand, the commonest first; empty where it is no such word."""
        line = self._index[pos].find(lemma.lower().replace(" ", "_") + " ") if lemma else None
        if line is None:
            return ()
        # lemma pos synset_cnt p_cnt [pointer...] sense_cnt tagsense_cnt offset...
        fields = line.split()
        return tuple(int(offset) for offset in fields[6 + int(fields[3]) :])

    def words(self, offset: int, pos: str) -> tuple[str, ...]:
        """The words of a synset, `_` for blanks, as they are written."""
        # offset lex_filenum ss_type w_cnt(hex) word lex_id [word lex_id...]
        fields = self._data[pos].at(offset).split(" ")
        return tuple(word.partition("(")[0] for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2])

    @lru_cache(maxsize=20_000)  # noqa: B019  as above
    def counts(self, lemma: str) -> dict[str, int]:
        """How often a base form was met as each part of speech; 0 where it exists and was not met."""
        found = {pos: 0 for pos in POS if self.senses(lemma, pos)}
        for line in self._counts.all(lemma.lower() + "%"):
            key, _, count = line.split()
            pos = _OF_TYPE[key.partition("%")[2][:1]]
            found[pos] = found.get(pos, 0) + int(count)
        return found

    def lemma(self, word: str, pos: str) -> str | None:
        """The base form of a word as that part of speech; None where WordNet does not know one."""
        word = word.lower()
        if word in self.irregular[pos]:
            return self.irregular[pos][word]
        if self.senses(word, pos):
            return word
        for ending, base in _DETACHMENTS[pos]:
            if word.endswith(ending) and self.senses(found := word[: len(word) - len(ending)] + base, pos):
                return found
        return None

    def synonyms(self, lemma: str, pos: str, senses: int) -> list[str]:
        """Single words that mean the same as a base form, of its commonest senses, in their order.

        Left out are names, words that are hardly met, and those whose own commonest sense is another.

        Args:
            senses: how many of the commonest.
        """
        found: dict[str, None] = {}
        for offset in self.senses(lemma, pos)[:senses]:
            for word in self.words(offset, pos):
                common = word.isalpha() and word.islower() and self.counts(word).get(pos, 0) >= MET
                if common and word != lemma and offset in self.senses(word, pos)[:1]:
                    found[word] = None
        return list(found)


class _Sorted:
    """A file of sorted lines, searched where it lies; lines that begin with blanks are its licence."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def at(self, offset: int) -> str:
        end = self._bytes.find(b"\n", offset)
        return self._bytes[offset : end if end >= 0 else len(self._bytes)].decode()

    def find(self, beginning: str) -> str | None:
        """The first line that begins so."""
        wanted = beginning.encode()
        line = self._bytes[(start := self._first(wanted)) : start + len(wanted)]
        return self.at(start) if line == wanted else None

    def all(self, beginning: str) -> list[str]:
        """Every line that begins so."""
        wanted, found = beginning.encode(), []
        start = self._first(wanted)
        while self._bytes[start : start + len(wanted)] == wanted:
            found.append(self.at(start))
            start += len(found[-1].encode()) + 1
        return found

    def _first(self, wanted: bytes) -> int:
        """Where the first line that is not before `wanted` begins."""
        low, high = 0, len(self._bytes)
        while low < high:
            middle = self._bytes.rfind(b"\n", low, (low + high) // 2) + 1 or low
            end = self._bytes.find(b"\n", middle)
            end = len(self._bytes) if end < 0 else end
            if self._bytes[middle : min(end, middle + len(wanted))] < wanted:
                low = min(end + 1, len(self._bytes))
            else:
                high = middle
        return low


def _exceptions(path: Path) -> dict[str, str]:
    """Irregular form -> base form."""
    rows = (line.split() for line in path.read_text("utf-8").splitlines())
    return {row[0]: row[1] for row in rows if len(row) > 1}


def files_of(folder: str) -> tuple[str, ...]:
    """The files that are read of a folder, as far as they are there; none of `bundled`."""
    names = [*(f"{kind}.{name}" for kind in ("index", "data") for name in POS.values()), "cntlist.rev"]
    names += [f"{name}.exc" for name in POS.values()]
    paths = [] if folder == "bundled" else [Path(folder).resolve() / name for name in names]
    return tuple(str(path) for path in paths if path.is_file())


@lru_cache
def open_wordnet(folder: str) -> WordNet:
    """WordNet in a folder, or `bundled`: opened once in each process."""
    return WordNet(BUNDLED if folder == "bundled" else Path(folder))
