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
_Met = tuple[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]], ...]

MIN_LETTERS = 20
"""Texts with fewer letters are too short to be judged by them."""
_ENOUGH = 20_000
"""Letters of a script from which one learns how they follow each other."""
_SCRIPTS = {"latin": (0x41, 0x24F), "greek": (0x370, 0x3FF), "cyrillic": (0x400, 0x52F), "armenian": (0x530, 0x58F)}
_SCRIPTS |= {"hebrew": (0x590, 0x5FF), "arabic": (0x600, 0x77F), "georgian": (0x10A0, 0x10FF)}
"""Alphabets: scripts of some dozens of letters. In others a letter is half a word, and nothing can be said."""
_NO_LETTER = re.compile(r"[\W\d_]+")
_SPACE = 32
_LONGEST = 3000
"""Characters looked at; more of them make the answer no surer."""
_VARIED = -1.3
"""The highest mean log-likelihood, in nats, of rows to learn from: such as all say the same know a few words alone."""
_HALFWAY = 0.5
_SHUFFLES = 4
_SCALED_BY = 1000
"""Texts, and the same with their letters shuffled, that the scale is made from."""
_TRI, _BI, _UNI = 18, 16, 16
"""Bits of the tables of counts."""
_PRIOR = 5.0
"""Letters that the shorter context counts for."""


class Letters(NamedTuple):
    """How letters follow each other in a data set."""

    tri: npt.NDArray[np.uint32]
    bi: npt.NDArray[np.uint32]
    uni: npt.NDArray[np.uint32]
    total: int
    """Letters and blanks counted."""
    scales: dict[str, tuple[float, float]]
    """Script -> mean log-likelihoods of its letters in a usual text, and in one with its letters shuffled."""


def learned(texts: Iterable[str], seed: int = 0) -> Letters:
    """Counts runs of three letters, words apart.

    Args:
        texts: read once and kept as numbers; some ten thousand are enough.
        seed: of the shuffling.
    """
    by_script: dict[str, list[Codes]] = {}
    for text in texts:
        name, codes = _alphabet(letters_of(text))
        if name is not None:
            by_script.setdefault(name, []).append(codes)
    tri, bi, uni = (np.zeros(1 << bits, np.uint32) for bits in (_TRI, _BI, _UNI))
    for told in by_script.values():
        for table, places in zip((tri, bi, uni), _places(np.concatenate(told)), strict=True):
            np.add.at(table, places, 1)
    letters = Letters(tri, bi, uni, int(uni.sum()), {})
    random = np.random.default_rng(seed)
    for name, told in by_script.items():
        long = [codes for codes in told if _count(codes) >= MIN_LETTERS]
        if sum(map(_count, long)) >= _ENOUGH:
            some = long[:: max(1, len(long) // _SCALED_BY)]
            usual = float(np.median([_mean_log(codes, letters, _met(codes)) for codes in some]))
            mixed = float(np.median([_mean_log(_shuffled(codes, random), letters, _met(codes)) for codes in some]))
            if usual < _VARIED:
                letters.scales[name] = (usual, mixed)
    return letters


def likelihood(text: str, letters: Letters) -> float:
    """How likely the letters of a text follow each other: about 1 in a usual text, about 0 where they make no words.

    A text less likely than halfway may be in another language. So it is set against its own letters shuffled, which are
    much less likely still if it has words, and about as likely if it has none.

    nan where nothing can be said: too few letters, or a script of which there is not enough to learn from.
    """
    name, codes = _alphabet(letters_of(text))
    if name not in letters.scales or _count(codes) < MIN_LETTERS:
        return float("nan")
    usual, mixed = letters.scales[name]
    own = _met(codes)
    said = _mean_log(codes, letters, own)
    place = (said - mixed) / (usual - mixed)
    if place >= _HALFWAY:
        return place
    random = np.random.default_rng(int(codes.sum()))
    shuffled = np.concatenate([_shuffled(codes, random) for _ in range(_SHUFFLES)])
    return (said - _mean_log(shuffled, letters, own)) / (usual - mixed)


def letters_of(text: str) -> Codes:
    """The letters of a text as numbers, all small, with one blank around and between words."""
    said = f" {_NO_LETTER.sub(' ', text[:_LONGEST].lower()).strip()} "
    return np.frombuffer(said.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


_RUN = re.compile(r"(.)\1+")


def symbol_share(text: str) -> float:
    """Share of the characters, blanks left out, that are punctuation, symbols or damage; `!!!!` is one."""
    return _share(_RUN.sub(r"\1", text), ("P", "S", "C"))


def digit_share(text: str) -> float:
    """Share of the characters, blanks left out, that are digits."""
    return _share(text, ("N",))


_LONG_WORD = re.compile(r"[A-Za-z0-9+/_-]{16,}")
_INNER_CAPITAL = re.compile("[a-z][A-Z]")


def inner_capitals(text: str) -> float:
    """Capitals right after a small letter, in words of 16 characters and more, as a share of all letters: hardly any in
    prose, one in forty in code, one in five in encoded data."""
    letters = sum(map(str.isalpha, text))
    inner = sum(len(_INNER_CAPITAL.findall(word)) for word in _LONG_WORD.findall(text))
    return inner / letters if letters else 0.0


_WORD = re.compile(r"[^\W_]+")
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
    if (
        _HOME.issuperset(short)
        and vowels * (4 if "j" in short else 6) <= len(short)
        and (len(short) >= 7 or "j" in short)
    ):
        return True
    beside = sum(first + second in _BESIDE for first, second in pairwise(short))
    return beside >= 5 and beside * 5 >= (len(short) - 1) * 4


def _share(text: str, kinds: tuple[str, ...]) -> float:
    counts = Counter(text)
    total = wanted = 0
    for character, count in counts.items():
        if not character.isspace():
            total += count
            if unicodedata.category(character)[0] in kinds:
                wanted += count
    return wanted / total if total else 0.0


def _alphabet(codes: Codes) -> tuple[str | None, Codes]:
    """The alphabet of most letters, and the text without letters of others; None where most are of none."""
    best, most, own_N = None, 0, np.zeros(len(codes), dtype=bool)
    for name, (low, high) in _SCRIPTS.items():
        in_N = (codes >= low) & (codes <= high)
        if int(in_N.sum()) > most:
            best, most, own_N = name, int(in_N.sum()), in_N
    if most * 2 <= _count(codes):
        return None, codes
    codes = np.where(own_N, codes, np.uint32(_SPACE))
    blank_N = codes == _SPACE
    blank_N[1:] &= blank_N[:-1]
    blank_N[0] = False
    return best, codes[~blank_N]


def _count(codes: Codes) -> int:
    return int((codes != _SPACE).sum())


def _places(codes: Codes) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Where runs of three letters, of two and single ones are counted."""
    one = codes.astype(np.uint64)
    two = one[:-1] * np.uint64(1 << 21) + one[1:]
    three = two[:-1] * np.uint64(1 << 21) + one[2:]
    return _hashed(three, _TRI), _hashed(two, _BI), _hashed(one, _UNI)


def _hashed(values: npt.NDArray[np.uint64], bits: int) -> npt.NDArray[np.uint64]:
    mixed = (values ^ (values >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(64 - bits)


def _met(codes: Codes) -> _Met:
    """Where the runs of a text are counted, and how often they are met in it."""
    return tuple(np.unique(places, return_counts=True) for places in _places(codes))


def _mean_log(codes: Codes, letters: Letters, own: _Met) -> float:
    """Mean log-likelihood of each letter given the two before, interpolated with shorter contexts, as if the text whose
    runs are `own` had not been learned from: no text speaks for itself."""
    tri_N, bi_N, uni_N = (
        _without(table, places, *met) for table, places, met in zip(letters[:3], _places(codes), own, strict=True)
    )
    if not len(tri_N):
        return 0.0
    p1_N = (uni_N + 0.5) / (letters.total + 100)
    p2_N = (bi_N + _PRIOR * p1_N[1:]) / (uni_N[:-1] + _PRIOR)
    p3_N = (tri_N + _PRIOR * p2_N[1:]) / (bi_N[:-1] + _PRIOR)
    return float(np.log(np.minimum(p3_N, 1.0)).mean())


def _without(
    table: npt.NDArray[np.uint32],
    places: npt.NDArray[np.uint64],
    met: npt.NDArray[np.uint64],
    counts: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """What is counted at the places, less how often a text was met there."""
    at = np.minimum(np.searchsorted(met, places), len(met) - 1)
    own = np.where(met[at] == places, counts[at], 0) if len(met) else 0
    return np.maximum(table[places].astype(np.float64) - own, 0.0)


def _shuffled(codes: Codes, random: np.random.Generator) -> Codes:
    """Its letters in another order, words as long as they were."""
    mixed = codes.copy()
    at = np.flatnonzero(codes != _SPACE)
    mixed[at] = codes[random.permutation(at)]
    return mixed
