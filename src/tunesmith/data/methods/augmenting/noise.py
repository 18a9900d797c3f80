"""Noise that leaves the meaning: words dropped and moved about, slips of the keyboard, misread letters.

Everything is drawn from the generator that is handed in, and given as edits, so that stretches can be moved along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from tunesmith.data.methods.augmenting.words import Word
from tunesmith.data.rewrite import Edit

LAYOUTS = {
    "qwerty": ("qwertyuiop", "asdfghjkl", "zxcvbnm"),
    "qwertz": ("qwertzuiopü", "asdfghjklöä", "yxcvbnm"),
    "azerty": ("azertyuiop", "qsdfghjklm", "wxcvbn"),
}
"""Rows of letters; each row stands about half a key to the right of the one above."""

CONFUSIONS = (
    ("rn", "m"), ("cl", "d"), ("vv", "w"), ("ri", "n"), ("li", "h"), ("ii", "u"), ("O", "0"), ("o", "0"), ("l", "1"),
    ("I", "l"), ("I", "1"), ("S", "5"), ("s", "5"), ("B", "8"), ("g", "9"), ("e", "c"), ("Z", "2"), ("h", "b"),
    ("u", "v"), ("t", "f"), ("i", "j"), ("G", "6"), ("q", "g"), ("ä", "a"), ("ö", "o"), ("ü", "u"), ("é", "e"),
)  # fmt: skip
"""What a scanner takes for each other, in both directions where the second is no letter with something left out."""
_ONE_WAY = frozenset("äöüé")


def how_many(share: float, words: int) -> int:
    """How many of the words are changed: their share, and at least one."""
    return max(1, round(share * words))


def drawn(random: np.random.Generator, count: int, of: int) -> list[int]:
    """Up to `count` different places of `of`, ascending."""
    return sorted(random.choice(of, size=min(count, of), replace=False).tolist()) if of else []


# Words ----------------------------------------------------------------------------------------------


def deletions(text: str, words: Sequence[Word], random: np.random.Generator, share: float) -> list[Edit]:
    """Drops words with the blanks in front of them; never all of them."""
    count = min(how_many(share, len(words)), len(words) - 1)
    edits = []
    for place in drawn(random, count, len(words)):
        start, end, _ = words[place]
        if start and text[start - 1] == " ":
            start -= 1
        elif text[end : end + 1] == " ":
            end += 1
        edits.append(Edit(start, end, ""))
    return edits if not any(one.end > two.start for one, two in pairwise(edits)) else edits[:1]


def left_out(text: str, places: Iterable[tuple[int, int]]) -> list[Edit]:
    """Leaves stretches of a text out, all of them, each with a blank beside it."""
    edits: list[Edit] = []
    free = 0
    for start, end in sorted(places):
        if start > free and text[start - 1] == " ":
            start -= 1
        elif text[end : end + 1] == " ":
            end += 1
        edits.append(Edit(start, end, ""))
        free = end
    return edits


def swaps(words: Sequence[Word], random: np.random.Generator, share: float) -> list[Edit]:
    """Lets pairs of words change places; each word at most once."""
    count = how_many(share, len(words))
    places = random.permutation(len(words))[: 2 * min(count, len(words) // 2)].tolist()
    edits = []
    for one, other in zip(places[::2], places[1::2], strict=True):
        first, second = words[one], words[other]
        if first.text != second.text:
            edits += [Edit(first.start, first.end, second.text), Edit(second.start, second.end, first.text)]
    return edits


def insertions(words: Sequence[Word], fresh: Sequence[str], random: np.random.Generator) -> list[Edit]:
    """Puts each of `fresh` in front of a word drawn for it; each place is drawn at most once."""
    places = drawn(random, len(fresh), len(words))
    order = random.permutation(len(fresh)).tolist()[: len(places)]
    return [
        Edit(words[place].start, words[place].start, f"{fresh[number]} ")
        for place, number in zip(places, order, strict=True)
    ]


# Letters --------------------------------------------------------------------------------------------


def neighbours(layout: str) -> dict[str, str]:
    """The keys beside each letter of a keyboard."""
    rows = LAYOUTS[layout]
    at = {key: (row, column + row / 2) for row, keys in enumerate(rows) for column, key in enumerate(keys)}
    return {
        key: "".join(
            other
            for other, (r, c) in at.items()
            if other != key and abs(r - row) <= 1 and abs(c - column) <= (1 if r == row else 0.75)
        )
        for key, (row, column) in at.items()
    }


def typo(word: Word, keys: Mapping[str, str], random: np.random.Generator) -> Edit | None:
    """One slip in a word, behind its first letter: the key beside, two letters swapped, one left out or doubled.

    None where the word is too short to be known again, or the slip would change nothing.
    """
    text = word.text
    if len(text) < 4 or not text.isalpha():
        return None
    place = int(random.integers(1, len(text)))
    letter, kind = text[place], int(random.integers(4))
    if kind == 0:
        beside = keys.get(letter.lower(), "")
        if not beside:
            return None
        struck = beside[int(random.integers(len(beside)))]
        new = text[:place] + (struck.upper() if letter.isupper() else struck) + text[place + 1 :]
    elif kind == 1:
        place = min(place, len(text) - 2)
        new = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    elif kind == 2:
        new = text[:place] + text[place + 1 :]
    else:
        new = text[:place] + letter + text[place:]
    return Edit(word.start, word.end, new) if new != text else None


_MISREAD: dict[str, list[str]] = {}
for _one, _other in CONFUSIONS:
    _MISREAD.setdefault(_one, []).append(_other)
    if _one not in _ONE_WAY:
        _MISREAD.setdefault(_other, []).append(_one)


def misread(word: Word, random: np.random.Generator) -> Edit | None:
    """One letter, or pair of letters, of a word taken for another; None where none can be."""
    text = word.text
    found = [(place, seen) for seen in _MISREAD for place in range(len(text)) if text.startswith(seen, place)]
    if not found:
        return None
    place, seen = sorted(found)[int(random.integers(len(found)))]
    said = _MISREAD[seen]
    new = text[:place] + said[int(random.integers(len(said)))] + text[place + len(seen) :]
    return Edit(word.start, word.end, new)


def in_words(
    words: Sequence[Word], random: np.random.Generator, share: float, change: Callable[[Word], Edit | None]
) -> list[Edit]:
    """Changes a share of the words, trying others where one cannot be changed."""
    wanted, edits = how_many(share, len(words)), []
    for place in random.permutation(len(words)).tolist():
        edit = change(words[place])
        if edit is not None:
            edits.append(edit)
        if len(edits) == wanted:
            break
    return edits
