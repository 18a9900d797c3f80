"""Whether letters make words: how likely they follow each other, and what keyboards and encoders leave behind.

How letters follow each other is learned from the data itself, script by script, so no language has to be known.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint32]

MIN_LETTERS = 20
"""Texts with fewer letters are too short to be judged by them."""
_ENOUGH = 20_000
"""Letters of a script from which one learns how they follow each other."""
_SCRIPTS = {"latin": (0x41, 0x24F), "greek": (0x370, 0x3FF), "cyrillic": (0x400, 0x52F), "armenian": (0x530, 0x58F)}
_SCRIPTS |= {"hebrew": (0x590, 0x5FF), "arabic": (0x600, 0x77F), "georgian": (0x10A0, 0x10FF)}
"""Alphabets: scripts of some dozens of letters. In others a letter is half a word, and nothing can be said."""
_NO_LETTER = re.compile(r"[\W\d_]+")
_TRI, _BI, _UNI = 18, 16, 16
"""Bits of the tables of counts."""
_PRIOR = 5.0
"""Letters that the shorter context counts for."""


class Letters(NamedTuple):
    """How letters follow each other in a data set."""

    tri: npt.NDArray[np.uint32]
    bi: npt.NDArray[np.uint32]
    uni: npt.NDArray[np.uint32]
    scales: dict[str, tuple[float, float]]
    """Script -> mean log-likelihoods of its letters in a usual text, and in one with its letters shuffled."""


def learned(texts: Iterable[str], seed: int = 0) -> Letters:
    """Counts runs of three letters, words apart.

    Args:
        texts: read once and kept as numbers; some ten thousand are enough.
        seed: of the shuffling.
    """
    empty = Letters(*(np.zeros(1 << bits, np.uint32) for bits in (_TRI, _BI, _UNI)), {})
    by_script: dict[str, list[Codes]] = {}
    for text in texts:
        codes = letters_of(text)
        name = _script(codes)
        if name is None:
            continue
        by_script.setdefault(name, []).append(codes)
        for table, places in zip(empty[:3], _places(codes), strict=True):
            np.add.at(table, places, 1)
    random = np.random.default_rng(seed)
    for name, told in by_script.items():
        long = [codes for codes in told if _count(codes) >= MIN_LETTERS]
        if sum(map(_count, long)) >= _ENOUGH:
            usual = float(np.median([_mean_log(codes, empty) for codes in long]))
            mixed = float(np.median([_mean_log(_shuffled(codes, random), empty) for codes in long]))
            empty.scales[name] = (usual, mixed)
    return empty


def likelihood(text: str, letters: Letters) -> float:
    """How likely the letters of a text follow each other: about 1 in a usual text, about 0 when they are shuffled.

    nan where nothing can be said: too few letters, or a script of which there is not enough to learn from.
    """
    codes = letters_of(text)
    name = _script(codes)
    if name not in letters.scales or _count(codes) < MIN_LETTERS:
        return float("nan")
    usual, mixed = letters.scales[name]
    return (_mean_log(codes, letters) - mixed) / max(usual - mixed, 1e-9)


def letters_of(text: str) -> Codes:
    """The letters of a text as numbers, all small, with one blank around and between words."""
    said = f" {_NO_LETTER.sub(' ', text.lower()).strip()} "
    return np.frombuffer(said.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def symbol_share(text: str) -> float:
    """Share of the characters, blanks left out, that are punctuation, symbols or damage."""
    return _share(text, ("P", "S", "C"))


def digit_share(text: str) -> float:
    """Share of the characters, blanks left out, that are digits."""
    return _share(text, ("N",))


_INNER_CAPITAL = re.compile("[a-z][A-Z]")
_LATIN = re.compile("[A-Za-z]")


def inner_capitals(text: str) -> float:
    """Small letters followed by a capital, a Latin letter: hardly any in prose, one in fifteen in code, one in four or
    five in encoded data."""
    letters = len(_LATIN.findall(text))
    return len(_INNER_CAPITAL.findall(text)) / letters if letters else 0.0


_WORD = re.compile(r"[^\W_]+")
_RUN = re.compile(r"(.)\1+")
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "azertyuiop")
_BESIDE = frozenset(row[i : i + 2] for keys in _ROWS for row in (keys, keys[::-1]) for i in range(len(keys) - 1))
_HOME = frozenset("asdfghjkl")
_VOWELS = frozenset("aeiouy")


def strange_words(text: str) -> float:
    """Share of the letters and digits in words that are none: without vowels, typed along a row of keys, endless, or of
    letters and digits in turns. Only words of plain Latin letters can be strange."""
    total = strange = 0
    for word in _WORD.findall(text):
        total += len(word)
        if word.isascii() and is_strange(word):
            strange += len(word)
    return strange / total if total else 0.0


def is_strange(word: str) -> bool:
    """Whether a word of plain letters and digits is none."""
    if len(word) < 5:
        return False
    if not word.isalpha():
        # Codes such as `x7f9q2k1`: turns between letters and digits.
        turns = sum(a.isdigit() != b.isdigit() for a, b in pairwise(word))
        return len(word) >= 12 and turns >= 4
    low = word.lower()
    short = _RUN.sub(r"\1", low)
    if len(low) > 45 or (len(low) >= 10 and len(short) <= 2):
        return True
    if len(short) < 5:
        return False
    vowels = sum(letter in _VOWELS for letter in short)
    if vowels == 0 and not (word.isupper() and len(word) <= 8):
        return True
    if len(short) >= 7 and vowels * 6 <= len(short) and _HOME.issuperset(short):
        return True
    return _longest_row(short) >= 5 and _longest_row(short) * 2 > len(short)


def _longest_row(word: str) -> int:
    """The longest run of letters whose keys lie beside each other."""
    longest = run = 1
    for first, second in pairwise(word):
        run = run + 1 if first + second in _BESIDE else 1
        longest = max(longest, run)
    return longest


def _share(text: str, kinds: tuple[str, ...]) -> float:
    counts = Counter(text)
    total = wanted = 0
    for character, count in counts.items():
        if not character.isspace():
            total += count
            if unicodedata.category(character)[0] in kinds:
                wanted += count
    return wanted / total if total else 0.0


def _script(codes: Codes) -> str | None:
    """The alphabet of most letters."""
    best, most = None, 0
    for name, (low, high) in _SCRIPTS.items():
        count = int(((codes >= low) & (codes <= high)).sum())
        if count > most:
            best, most = name, count
    return best if most * 2 > _count(codes) else None


def _count(codes: Codes) -> int:
    return int((codes != 32).sum())


def _places(codes: Codes) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Where runs of three letters, of two and single ones are counted."""
    one = codes.astype(np.uint64)
    two = one[:-1] * np.uint64(1 << 21) + one[1:]
    three = two[:-1] * np.uint64(1 << 21) + one[2:]
    return _hashed(three, _TRI), _hashed(two, _BI), _hashed(one, _UNI)


def _hashed(values: npt.NDArray[np.uint64], bits: int) -> npt.NDArray[np.uint64]:
    mixed = (values ^ (values >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(64 - bits)


def _mean_log(codes: Codes, letters: Letters) -> float:
    """Mean log-likelihood of each letter given the two before, interpolated with shorter contexts. Each run counts once
    less than it was met, so that no text speaks for itself."""
    tri, bi, uni = _places(codes)
    total = float(letters.uni.sum())
    uni_n = letters.uni[uni].astype(np.float64)
    bi_n = letters.bi[bi].astype(np.float64)
    tri_n = letters.tri[tri].astype(np.float64)
    p1 = (np.maximum(uni_n - 1, 0) + 0.5) / (total + 100)
    p2 = (np.maximum(bi_n - 1, 0) + _PRIOR * p1[1:]) / (np.maximum(uni_n[:-1] - 1, 0) + _PRIOR)
    p3 = (np.maximum(tri_n - 1, 0) + _PRIOR * p2[1:]) / (np.maximum(bi_n[:-1] - 1, 0) + _PRIOR)
    return float(np.log(np.minimum(p3, 1.0)).mean()) if len(p3) else 0.0


def _shuffled(codes: Codes, random: np.random.Generator) -> Codes:
    """Its letters in another order, words as long as they were."""
    mixed = codes.copy()
    at = np.flatnonzero(codes != 32)
    mixed[at] = codes[random.permutation(at)]
    return mixed
