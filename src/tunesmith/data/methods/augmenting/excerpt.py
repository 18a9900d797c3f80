"""Makes an excerpt of WordNet: the commonest words with synonyms, in its own file format.

    python -m tunesmith.data.methods.augmenting.excerpt /usr/share/wordnet src/tunesmith/data/methods/augmenting/wordnet

Kept are words that were met at least three times in marked texts and share one of their first two senses with another
such word, and the first two senses of these; without explanations and pointers. WordNet's licence allows that and
stands in the files.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tunesmith.data.methods.augmenting.wordnet import MET, POS, TYPES, WordNet

_SENSES = 2


def write_excerpt(folder: Path, into: Path) -> None:
    """Writes the excerpt of the WordNet in `folder`; that of an excerpt is the same again."""
    wordnet = WordNet(folder)
    into.mkdir(parents=True, exist_ok=True)
    licence = [line for line in (folder / "data.noun").read_text("utf-8").splitlines() if line.startswith("  ")]
    head = "".join(f"{line}\n" for line in licence)
    common = {pos: _common(wordnet, folder / f"index.{name}", pos) for pos, name in POS.items()}
    kept = set().union(*(_with_synonyms(wordnet, words, pos) for pos, words in common.items()))
    met: dict[str, int] = {}
    for pos, name in POS.items():
        words = sorted(word for word in kept if wordnet.senses(word, pos))
        lines, places = _synsets(wordnet, words, kept, pos, len(head.encode()))
        (into / f"data.{name}").write_text(head + "".join(lines), "utf-8")
        rows = [f"{word} {pos} {_senses(wordnet, word, pos, places)}\n" for word in words]
        (into / f"index.{name}").write_text(head + "".join(rows), "utf-8")
        forms = [f"{form} {base}\n" for form, base in wordnet.irregular[pos].items() if base in set(words)]
        (into / f"{name}.exc").write_text("".join(forms), "utf-8")
        met |= {f"{word}%{TYPES[pos]}": wordnet.counts(word).get(pos, 0) for word in words}
    counts = [f"{key}:: 1 {count}\n" for key, count in sorted(met.items()) if count]
    (into / "cntlist.rev").write_text("".join(counts), "utf-8")


def _common(wordnet: WordNet, index: Path, pos: str) -> list[str]:
    lines = index.read_text("utf-8").splitlines()
    words = [line.split(" ", 1)[0] for line in lines if not line.startswith("  ")]
    return [word for word in words if word.isalpha() and wordnet.counts(word).get(pos, 0) >= MET]


def _with_synonyms(wordnet: WordNet, words: list[str], pos: str) -> set[str]:
    holders: dict[int, list[str]] = {}
    for word in words:
        for offset in wordnet.senses(word, pos)[:_SENSES]:
            holders.setdefault(offset, []).append(word)
    return {word for sharing in holders.values() if len(sharing) > 1 for word in sharing}


def _synsets(wordnet: WordNet, words: list[str], kept: set[str], pos: str, at: int) -> tuple[list[str], dict[int, int]]:
    """Lines of a data file that begin at `at`, and of each synset where it stood and where it stands now."""
    lines, places = [], {}
    for offset in sorted({offset for word in words for offset in wordnet.senses(word, pos)[:_SENSES]}):
        members = [
            word
            for word in wordnet.words(offset, pos)
            if word in kept and offset in wordnet.senses(word, pos)[:_SENSES]
        ]
        listed = "".join(f"{word} 0 " for word in members)
        places[offset] = at
        lines.append(f"{at:08d} 00 {pos} {len(members):02x} {listed}000 |\n")
        at += len(lines[-1].encode())
    return lines, places


def _senses(wordnet: WordNet, word: str, pos: str, places: dict[int, int]) -> str:
    own = [f"{places[offset]:08d}" for offset in wordnet.senses(word, pos)[:_SENSES]]
    return f"{len(own)} 0 {len(own)} {len(own)} {' '.join(own)}"


if __name__ == "__main__":
    write_excerpt(Path(sys.argv[1]), Path(sys.argv[2]))
