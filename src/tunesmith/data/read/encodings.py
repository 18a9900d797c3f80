"""Which encoding a text is written in, how sure that is, and lines that were written in another.

A text is UTF-8 unless a byte order mark, a pattern of zero bytes, or lines that are no UTF-8 say otherwise; then
`charset_normalizer` weighs the encodings of `CANDIDATES` by how much disorder and how much of a language each makes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
CANDIDATES = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "koi8_r", "cp866", "iso8859_2", "iso8859_5",
    "cp932", "euc_jp", "gb18030", "big5", "cp949",
)  # fmt: skip
"""What is weighed where a text is no UTF-8."""
REPAIRED = "bytes of another encoding (cp1252) read as what they are"
"""The reason a row is counted as changed for."""
NOT_ITS_ENCODING = "bytes that are not of the file's encoding"
"""The reason a row is broken for."""

SURE_ENOUGH = 0.5
"""An encoding that is less sure is not used."""

_LATIN = ("cp1252", "cp1250", "cp1254", "iso8859_2")
_ALPHABETS = (
    "äöüß", "àâæçéèêëîïôùûüÿœ", "áéíñóúüºª¿¡", "àáâãçéêíóôõúü", "àèéìíîòóù", "áàâäçéèêëíïîóöúü", "åäöé", "æøåéó",
    "áðéíóúýþæö", "ąćęłńóśźż", "áäčďéěíĺľňóôöŕřšťúůüýž", "áéíóöőúüű", "ăâîşșţț", "čćđšžäöü", "çğıi̇öşüâî",
)  # fmt: skip
"""The letters beyond ASCII of German, French, Spanish, Portuguese, Italian, Dutch, Swedish and Finnish, Danish and
Norwegian, Icelandic, Polish, Czech and Slovak, Hungarian, Romanian, Croatian and Slovenian, Turkish."""
_WEIGHED = 2**15
"""Bytes of lines that are not ASCII, weighed."""
_ESCAPED = re.compile("[\udc80-\udcff]")
_STRETCH = re.compile("[\udc80-\udcff]+")
_NEUTRAL = frozenset("€‚„…‹‘’“”•–—™›\xa0§©«®°»")
_PUNCTUATION = frozenset("€‚„…‹‘’“”•–—™› ¡¢£¥§©«®°±²³µ¶·¹»¼½¾¿×")


@dataclass(frozen=True, slots=True)
class Encoding:
    """What a text is read as."""

    name: str
    """As Python calls it."""
    sure: float = 1.0
    """From 0 to 1; 1 where the bytes leave no choice, or where the spec says so."""

    def __str__(self) -> str:
        return self.name if self.sure == 1 else f"{self.name} ({self.sure:.0%} sure)"


def detect(head: bytes) -> Encoding:
    """The encoding of a text that begins with `head`."""
    for mark, name in MARKS:
        if head.startswith(mark):
            return Encoding(name)
    zeros = (head[0::2].count(0), head[1::2].count(0))
    if len(head) >= 4 and max(zeros) > 0.4 * len(head) / 2 and min(zeros) < 0.1 * max(zeros):
        return Encoding("utf-16-le" if zeros[1] > zeros[0] else "utf-16-be", 0.95)
    if head.isascii():
        return Encoding("utf-8")
    lines = [line for line in head.split(b"\n") if not line.isascii()]
    whole = sum(map(_is_utf8, lines))
    if whole == len(lines):
        return Encoding("utf-8")
    if whole >= 0.2 * len(lines):  # a UTF-8 file with broken lines
        return Encoding("utf-8", round(0.5 + 0.5 * whole / len(lines), 2))
    found = _weighed(lines)
    # Too little to go by: as UTF-8 what is none is then repaired or counted line by line.
    return found if found.sure >= SURE_ENOUGH else Encoding("utf-8", SURE_ENOUGH)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        # The last line of what was looked at may end in the middle of a letter.
        return "unexpected end" in error.reason and error.start > 0
    return True


def _weighed(lines: list[bytes]) -> Encoding:
    from charset_normalizer import from_bytes

    sample = b""
    for line in lines:
        sample += line[: _WEIGHED // 4] + b"\n"
        if len(sample) > _WEIGHED:
            break
    enough = min(1.0, 0.5 + sum(byte >= 0x80 for byte in sample) / 40)
    words = [repaired(line.decode("utf-8", "surrogateescape")) for line in sample.split(b"\n")]
    if words.count(None) < 0.1 * len(words):  # letters beyond ASCII are single ones in words of others
        name, sure = _latin(sample)
        return Encoding(name, round(sure * enough, 2))
    found = from_bytes(sample, cp_isolation=list(CANDIDATES), enable_fallback=False)
    best = found.best()
    if best is None:
        return Encoding("cp1252", 0.3)
    if best.encoding in _LATIN or set(best.could_be_from_charset) & set(_LATIN):
        name, sure = _latin(sample)
    else:
        gaps = [other.chaos - best.chaos + max(0.0, best.coherence - other.coherence) for other in found]
        name = best.encoding
        sure = (0.6 + min(0.39, min(gaps[1:], default=0.39))) * (1 - best.chaos)
    return Encoding(name, round(sure * enough, 2))


def _latin(sample: bytes) -> tuple[str, float]:
    """Of the encodings of Latin letters the one whose letters are those of one language, and how sure that is."""
    read = {}
    for name in _LATIN:
        try:
            text = sample.decode(name)
        except UnicodeDecodeError:
            continue
        letters = [letter.lower() for letter in text if ord(letter) > 0x7F and letter not in _NEUTRAL]
        known = max(sum(letter in alphabet for letter in letters) for alphabet in _ALPHABETS)
        share = known / len(letters) if letters else 1.0
        read[name] = (share, text)
    if not read:
        return "cp1252", 0.3
    name = max(read, key=lambda name: read[name][0])  # of equals the first, and commonest
    share, text = read[name]
    gap = min((share - other for other, said in read.values() if said != text), default=1.0)
    return name, share * (0.72 + 0.27 * min(1.0, 3 * gap))


# Bytes that are not of their text's encoding ----------------------------------------------------------


def undecoded(text: str) -> bool:
    """Whether some bytes of `text` were not of its encoding."""
    return not text.isascii() and _ESCAPED.search(text) is not None


def repaired(text: str) -> str | None:
    """A text of which some bytes were no UTF-8, those read as cp1252; None where that makes no sense.

    It makes sense where the text holds nothing but such bytes beside ASCII, and each of them is a sign of
    punctuation, a letter beside another letter, or a word of one letter in a text that has others.
    """
    if any(ord(letter) > 0x7F and not 0xDC80 <= ord(letter) <= 0xDCFF for letter in text):
        return None
    try:
        found = text.encode("ascii", "surrogateescape").decode("cp1252")
    except UnicodeDecodeError:
        return None
    wordlike = lonely = 0
    for stretch in _STRETCH.finditer(text):
        letters = found[stretch.start() : stretch.end()]
        before, after = found[max(0, stretch.start() - 1) : stretch.start()], found[stretch.end() : stretch.end() + 1]
        if any(letter in _PUNCTUATION for letter in letters):
            wordlike += all(letter in _PUNCTUATION or letter.isalpha() for letter in letters)
        elif letters.isalpha() and len(letters) < 4 and (before.isalpha() or after.isalpha()):
            wordlike += 1
        elif letters.islower() and len(letters) == 1 and not before.strip() and not after.strip():
            lonely += 1  # `à`
        else:
            return None
    if wordlike < lonely:
        return None
    return found


def repaired_lines(text: str) -> str | None:
    """The same for a text of several lines, each by itself; None where one of them cannot be."""
    lines = [repaired(line) if undecoded(line) else line for line in text.split("\n")]
    return "\n".join(line for line in lines if line is not None) if None not in lines else None
