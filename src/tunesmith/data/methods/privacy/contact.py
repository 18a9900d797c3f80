"""E-mail addresses, telephone numbers and addresses of the web."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tunesmith.data.methods.privacy.found import Found

# Possessive, so that a long text of word characters is passed once and not from every place in it again.
_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w+%'-](?:[\w.+%'-]{0,62}[\w+%-])?@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+(?:[^\W\d_]{2,24}|xn--[\w-]{2,59})(?![\w@])"
)
_SPELLED = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}\s*[\[({]\s*at\s*[\])}]\s*(?:[\w-]+\s*(?:\.|[\[({]\s*dot\s*[\])}])\s*)+[a-z]{2,24}\b",
    re.I,
)

_URL = re.compile(r"\b(?:https?|ftps?)://[^\s<>\"'`]+|\bwww\.[\w-]+(?:\.[\w-]+)+(?:/[^\s<>\"'`]*)?", re.I)

_PHONE = re.compile(
    r"""(?<![\w.,:/$€£+-])
    (?:\+|00[ ]?|\()?\d(?:[ ]?[-./()][ ]?|[ \u00a0]|)(?:\(0\)[ ]?)?(?:\d(?:[ ]?[-./()]{1,2}[ ]?|[ \u00a0]|)){0,24}\d
    (?:[ ]?(?:x|ext\.?|extension|Durchwahl)[ ]?\d{1,6})?(?!\w|[.,:/-]\d|\s?%)""",
    re.X | re.I,
)
_ASKED = re.compile(
    r"\b(?:tele)?(?:phone|fon|fono|fax|mobile|mobil|cell|handy|tel|whatsapp|sms|hotline)\b|\b(?:call|calling|text|ring|dial|"
    r"reach|contact)\b(?: (?:me|us|him|her|them|back))*(?: (?:at|on|under))?|\btéléphone|\btlf\b|\bnumber is\b|\bmy number\b|\bcan be reached\b",
    re.I,
)
_DATE = re.compile(r"(?:19|20)\d\d[-/. ][01]?\d[-/. ][0-3]?\d|[0-3]?\d[-/.][0-3]?\d[-/.](?:19|20)?\d\d")
_NANP = re.compile(r"(?:\+?1[ .-]?)?(?:\([2-9]\d\d\)[ ]?|[2-9]\d\d[-. /])[2-9]\d\d[-. ]\d{4}")
_LOCAL = re.compile(r"\(?0\d{2,4}\)?[ /-]\d{5,8}|(?:\(?\d{2,4}\)?[ ./-]{1,2})?\d{2,4}(?:[ .-]\d{2,4}){1,4}")
_EXTENSION = re.compile(r"[ ]?(?:x|ext\.?|extension|Durchwahl)[ ]?\d+$", re.I)

CALLING = frozenset(
    """1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91
    92 93 94 95 98 211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 233 234 235 236 237 238 239 240 241
    242 243 244 245 246 247 248 249 250 251 252 253 254 255 256 257 258 260 261 262 263 264 265 266 267 268 269 290 291 297 298
    299 350 351 352 353 354 355 356 357 358 359 370 371 372 373 374 375 376 377 378 380 381 382 383 385 386 387 389 420 421 423
    500 501 502 503 504 505 506 507 508 509 590 591 592 593 594 595 596 597 598 599 670 672 673 674 675 676 677 678 679 680 681
    682 683 685 686 687 688 689 690 691 692 850 852 853 855 856 880 886 960 961 962 963 964 965 966 967 968 970 971 972 973 974
    975 976 977 992 993 994 995 996 998""".split()
)
"""Country calling codes (ITU-T E.164)."""
_NATIONAL_DIGITS = {
    "1": (10, 10), "7": (10, 10), "30": (10, 10), "31": (9, 9), "32": (8, 9), "33": (9, 9), "34": (9, 9), "36": (8, 9),
    "39": (6, 11), "41": (9, 9), "44": (9, 10), "45": (8, 8), "46": (7, 9), "47": (8, 8), "48": (9, 9), "49": (6, 11),
    "55": (10, 11), "61": (9, 9), "64": (8, 10), "65": (8, 8), "81": (9, 10), "86": (10, 11), "91": (10, 10),
    "351": (9, 9), "353": (7, 9), "354": (7, 7), "385": (8, 9), "386": (8, 8), "420": (9, 9), "421": (9, 9),
}  # fmt: skip
"""Digits after the calling code, without the 0 in front, where a country's plan is strict."""
_LOOK_BACK, _LONGEST = 40, 48


def emails(text: str) -> Iterator[Found]:
    """`name@host.example`, and those with [at] and (dot)."""
    for match in _EMAIL.finditer(text):
        yield Found(match.start(), match.end(), "email", 0.98)


def spelled_emails(text: str) -> Iterator[Found]:
    """`name [at] host (dot) example`."""
    for match in _SPELLED.finditer(text):
        yield Found(match.start(), match.end(), "email", 0.85)


def urls(text: str) -> Iterator[Found]:
    """Addresses with a scheme, or that begin with www; the full stop of the sentence stays outside."""
    for match in _URL.finditer(text):
        end = match.end()
        while text[end - 1] in ".,;:!?)]}" and (text[end - 1] != ")" or "(" not in match[0]):
            end -= 1
        yield Found(match.start(), end, "url", 0.95)


def phones(text: str) -> Iterator[Found]:
    """Numbers with a country's code, in forms of their countries, or anywhere after a word for telephone."""
    place = 0
    while match := _PHONE.search(text, place):
        found, end = _phone(text, match.start(), match.end()), min(match.end(), match.start() + _LONGEST)
        # Other numbers may follow: groups are taken off the end until what is left is a telephone number.
        trimmed = match[0][0] in "+(0"
        while (
            trimmed and (found is None or found.confidence < 0.75) and (end := text.rfind(" ", match.start(), end)) >= 0
        ):
            shorter = _phone(text, match.start(), end)
            if shorter and shorter.confidence > (found.confidence if found else 0.5):
                found = shorter
        if found:
            yield found
        after = text.find(" ", match.start(), match.end()) + 1
        place = found.end if found else after or match.end()


def _phone(text: str, start: int, end: int) -> Found | None:
    written = text[start:end]
    plain = _EXTENSION.sub("", written)
    digits = re.sub(r"\D", "", plain)
    if not 7 <= len(digits) <= 15 or _DATE.fullmatch(written) or len(set(digits)) == 1:
        return None
    confidence = _phone_form(plain, digits)
    if confidence < 0.85 and _ASKED.search(text, max(0, start - _LOOK_BACK), start):
        confidence = 0.85
    if plain != written:
        confidence = max(confidence, 0.9)
    return Found(start, end, "phone", confidence)


def _phone_form(written: str, digits: str) -> float:
    if written.startswith(("+", "00")):
        number = digits if written.startswith("+") else digits[2:]
        for length in (1, 2, 3):
            code, rest = number[:length], number[length:].removeprefix("0")
            if code in CALLING:
                low, high = _NATIONAL_DIGITS.get(code, (6, 12))
                return 0.95 if low <= len(rest) <= high else 0.5
        return 0.3
    if _NANP.fullmatch(written):
        return 0.9 if "(" in written or "-" in written else 0.75
    groups = re.findall(r"\d+", written)
    if len(groups) == 1:
        return 0.3 if len(digits) == 10 and digits[0] in "23456789" and digits[3] in "23456789" else 0.1
    if not _LOCAL.fullmatch(written) or any(len(group) == 1 for group in groups):
        return 0.1
    if digits[0] == "0" and 9 <= len(digits) <= 12:
        return 0.75
    if written.startswith("("):
        return 0.75
    return 0.45 if 8 <= len(digits) <= 11 else 0.3
