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

_WEIGHED = 2**15
"""Bytes of lines that are not ASCII, weighed."""
_SEQUENCE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_ESCAPED = re.compile("[\udc80-\udcff]")
_STRETCH = re.compile("[\udc80-\udcff]+")
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
    # The last line may be cut in the middle of a letter. Some lines that are none are broken lines of a UTF-8 file.
    if whole >= len(lines) - 1 and (whole or _SEQUENCE.search(head)):
        return Encoding("utf-8")
    if whole >= 0.2 * len(lines):
        return Encoding("utf-8", 0.5 + 0.5 * whole / len(lines))
    found = _weighed(lines)
    # Too little to go by: as UTF-8 what is none is then repaired or counted line by line.
    return found if found.sure >= SURE_ENOUGH else Encoding("utf-8", SURE_ENOUGH)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _weighed(lines: list[bytes]) -> Encoding:
    from charset_normalizer import from_bytes

    sample = b""
    for line in lines:
        sample += line[: _WEIGHED // 4] + b"\n"
        if len(sample) > _WEIGHED:
            break
    found = [
        (match.chaos, match.coherence, name, str(match))
        for match in from_bytes(sample, cp_isolation=list(CANDIDATES), enable_fallback=False)
        for name in [match.encoding, *match.could_be_from_charset]
        if name in CANDIDATES
    ]
    if not found:
        return Encoding("cp1252", 0.3)
    least = min(chaos for chaos, *_ in found)
    near = [each for each in found if each[0] <= least + 0.04]
    # Of readings that are about as orderly, the one most like a language; of equal ones the commonest encoding.
    chaos, coherence, name, text = min(near, key=lambda each: (-round(each[1], 1), CANDIDATES.index(each[2])))
    others = [each for each in found if each[3] != text]
    gap = min(((other[0] - chaos) + max(0.0, coherence - other[1]) for other in others), default=0.5)
    sure = (0.6 + min(0.39, max(0.0, gap))) * (1 - chaos)
    letters = sum(byte >= 0x80 for byte in sample)
    return Encoding(name, round(sure * min(1.0, 0.7 + letters / 100), 2))


# Bytes that are not of their text's encoding ----------------------------------------------------------


def undecoded(text: str) -> bool:
    """Whether some bytes of `text` were not of its encoding."""
    return not text.isascii() and _ESCAPED.search(text) is not None


def repaired(text: str) -> str | None:
    """A text of which some bytes were no UTF-8, those read as cp1252; None where that makes no sense.

    It makes sense where the text holds nothing but such bytes beside ASCII, and each of them is a sign of
    punctuation or a letter beside another letter.
    """
    if any(ord(letter) > 0x7F and not 0xDC80 <= ord(letter) <= 0xDCFF for letter in text):
        return None
    try:
        found = text.encode("ascii", "surrogateescape").decode("cp1252")
    except UnicodeDecodeError:
        return None
    for stretch in _STRETCH.finditer(text):
        letters = found[stretch.start() : stretch.end()]
        beside = found[max(0, stretch.start() - 1) : stretch.start()] + found[stretch.end() : stretch.end() + 1]
        wordlike = all(map(str.isalpha, letters)) and len(letters) < 4 and any(map(str.isalpha, beside))
        if not wordlike and not all(letter in _PUNCTUATION or letter.isalpha() for letter in letters):
            return None
        if not wordlike and not any(letter in _PUNCTUATION for letter in letters):
            return None
    return found
