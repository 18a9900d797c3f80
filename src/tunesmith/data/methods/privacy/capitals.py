"""Words that begin with a capital, and which of them are names: shared by people, places and organisations."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.resources import files

UPPER = "".join(character for character in map(chr, range(0x41, 0x530)) if character.isupper())
CAPITAL = rf"[{UPPER}]\w*(?:[’'](?!s\b)\w+)?(?:-\w+)*"
"""A word that begins with a capital; an `'s` behind it is not part of it."""
PARTICLE = r"(?:von|van|der|den|de|del|della|di|da|dos|du|la|le|el|al|bin|ibn|ten|ter|zu|y|af|av)"
_SHOUTED = re.compile(rf"[{UPPER}]{{2,}}")
_LOWER_WORD = re.compile(r"(?<![\w'’@./-])[a-zäöüßà-ÿ][a-zäöüßà-ÿ'’]*(?![\w@/])")
_ENDINGS = (
    ("ies", ("y",)), ("ied", ("y",)), ("ing", ("", "e")), ("est", ("", "e")), ("es", ("", "e")), ("ed", ("", "e")), ("ly", ("",)),
    ("er", ("", "e")), ("s", ("",)),
)  # fmt: skip
_ENGLISH = 0.6
_FOREIGN = frozenset(
    """der die das den dem des ein eine einen einem und oder aber ist sind war hat haben wir ihr sie er ich du mein mit von zu auf im am bei nicht auch wie was
    le la les un une des et ou est sont que qui dans pour sur avec pas je tu il elle nous vous mon ma mes ce cette
    el los las una y o es son que en por para con no mi su lo al del se me te yo
    il gli i uno che di da per con non mio mia sono e ho ha si ti
    de het een en van dat niet ik je w z na do nie jest to""".split()
) - frozenset("a i me no to do us in on or war was die all son el per con pour mine".split())
"""Small words of other languages, which stand in English books too."""


@cache
def _words() -> frozenset[str]:
    text = files("tunesmith.data.methods.privacy").joinpath("words.txt").read_text("ascii")
    return frozenset(text.split())


@lru_cache(maxsize=1 << 16)
def common(word: str) -> bool:
    """Whether a lower-case word is an English one that is no name, with its regular endings."""
    if len(word) == 1:
        return True
    word = word.replace("’", "'")
    if word in _words():
        return True
    stem, _, tail = word.partition("'")
    if tail or word.endswith("'"):
        return common(stem) or stem + "'" + tail in _words()
    if "-" in word:
        return all(common(part) for part in word.split("-") if part)
    for ending, starts in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word[: -len(ending)]
            doubled = (stem[:-1],) if len(stem) > 3 and stem[-1] == stem[-2] else ()
            if any(common(stem + start) for start in starts) or any(common(one) for one in doubled):
                return True
    return False


def english(text: str) -> bool:
    """Whether the words in small letters are English ones: in other languages capitals mean other things."""
    small = _LOWER_WORD.findall(text[:600])
    if len(small) < 3:
        return True
    return sum(common(word) and word not in _FOREIGN for word in small) >= _ENGLISH * len(small)


def shouted(text: str) -> bool:
    """Whether most words stand in capitals, so that these say nothing."""
    loud = sum(map(len, _SHOUTED.findall(text)))
    return loud * 5 > len(text) * 2  # four fifths of a text are letters
