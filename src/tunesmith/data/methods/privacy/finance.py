"""Cards, accounts, banks and wallets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256

from tunesmith.data.methods.privacy.checksums import luhn, mod97
from tunesmith.data.methods.privacy.found import Found

_CARD = re.compile(r"\d(?<![\w.,-]\d)[ -]?(?:\d[ -]?){10,17}\d(?![\w-]|[.,]\d)")
_CARD_ASKED = re.compile(
    r"\b(?:card|credit|debit|visa|master ?card|maestro|amex|american express|cc|karte|carte|tarjeta|carta)\b", re.I
)
_ISSUERS: tuple[tuple[re.Pattern[str], tuple[int, ...]], ...] = tuple(
    (re.compile(prefix), lengths)
    for prefix, lengths in (
        (r"4", (13, 16, 19)),  # Visa
        (r"5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)", (16,)),  # Mastercard
        (r"3[47]", (15,)),  # American Express
        (r"3(?:0[0-5]|[689])", (14, 16, 19)),  # Diners Club
        (r"6(?:011|4[4-9]|5|22)", (16, 19)),  # Discover
        (r"35(?:2[89]|[3-8])", (16, 19)),  # JCB
        (r"2131|1800", (15,)),  # JCB, older
        (r"62", (16, 17, 18, 19)),  # UnionPay
        (r"5[06-8]|6", (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro and other debit cards
    )
)

IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28,
    "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28,
    "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24,
    "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26,
    "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
"""The length of each country's IBAN (SWIFT's registry)."""
_IBAN = re.compile(r"[A-Za-z](?<![A-Za-z0-9][A-Za-z])[A-Za-z]\d{2}(?:[ -]?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])")
_IBAN_ASKED = re.compile(r"\biban\b", re.I)

_BIC = re.compile(r"[A-Z](?<![A-Za-z0-9][A-Z])[A-Z]{3}([A-Z]{2})[A-Z0-9]{2}(?:[A-Z0-9]{3})?(?![A-Za-z0-9])")
_BIC_ASKED = re.compile(r"\b(?:bic|swift)\b", re.I)
_COUNTRIES = frozenset(IBAN_LENGTHS) | frozenset("US CA AU NZ JP CN HK SG IN KR TW TH MY ID PH VN ZA NG KE MA DZ GH MX AR CL CO PE UY PA".split())  # fmt: skip

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_COIN = re.compile(r"(?<![A-Za-z0-9])(?:[13LDXt][1-9A-HJ-NP-Za-km-z]{25,35}|(?:bc1|tb1|ltc1)[02-9ac-hj-np-z]{11,87}|0x[0-9a-fA-F]{40}|4[0-9AB][1-9A-HJ-NP-Za-km-z]{93})(?![A-Za-z0-9])")  # fmt: skip
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_LOOK_BACK = 48


def cards(text: str) -> Iterator[Found]:
    """12 to 19 digits that pass Luhn's test, surer with an issuer's beginning and length; or that stand after `card`."""
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        asked = _CARD_ASKED.search(text, max(0, match.start() - _LOOK_BACK), match.end() + _LOOK_BACK)
        issued = any(prefix.match(digits) and len(digits) in lengths for prefix, lengths in _ISSUERS)
        if len(set(digits)) == 1:
            continue
        if luhn(digits):
            confidence = 0.95 if issued and (asked or len(digits) >= 15) else 0.85 if asked else 0.6 if issued else 0.3
        else:
            # A digit read or typed wrongly; still more than anybody should see.
            confidence = 0.7 if issued and asked else 0.55 if asked else 0.2
        yield Found(match.start(), match.end(), "card", confidence)


def ibans(text: str) -> Iterator[Found]:
    """Account numbers of a country's length whose check digits are right; wrong ones only after `IBAN`."""
    for match in _IBAN.finditer(text):
        length = IBAN_LENGTHS.get(match[0][:2].upper())
        end = _after(match[0], length) if length else None
        if length is None or end is None:
            continue
        plain = re.sub(r"[ -]", "", match[0][:end]).upper()
        if mod97(plain[4:] + plain[:4]) == 1:
            yield Found(match.start(), match.start() + end, "iban", 0.98)
        elif _IBAN_ASKED.search(text, max(0, match.start() - _LOOK_BACK), match.start()):
            yield Found(match.start(), match.start() + end, "iban", 0.75)


def _after(written: str, length: int) -> int | None:
    """Where the first `length` letters and digits end; None where a word would be cut."""
    seen = 0
    for place, character in enumerate(written):
        seen += character.isalnum()
        if seen == length:
            whole = place + 1 == len(written) or not written[place + 1].isalnum()
            return place + 1 if whole else None
    return None


def bics(text: str) -> Iterator[Found]:
    """Codes of banks. Words in capitals look the same, so a word for it, or a digit, makes it one."""
    for match in _BIC.finditer(text):
        if match[1] not in _COUNTRIES:
            continue
        if _BIC_ASKED.search(text, max(0, match.start() - _LOOK_BACK), match.start()):
            yield Found(match.start(), match.end(), "bic", 0.9)
        elif any(character.isdigit() for character in match[0]):
            yield Found(match.start(), match.end(), "bic", 0.5)


def wallets(text: str) -> Iterator[Found]:
    """Addresses of Bitcoin and its kin (with their checksums), Ethereum and Monero (by their form)."""
    for match in _COIN.finditer(text):
        written = match[0]
        if written.startswith("0x"):
            yield Found(match.start(), match.end(), "wallet", 0.9)
        elif written.startswith(("bc1", "tb1", "ltc1")):
            if _bech32(written):
                yield Found(match.start(), match.end(), "wallet", 0.97)
        elif len(written) == 95:
            yield Found(match.start(), match.end(), "wallet", 0.85)
        elif _base58(written):
            yield Found(match.start(), match.end(), "wallet", 0.97)


def _base58(written: str) -> bool:
    """Base58Check: the last four of 25 or 26 bytes are the beginning of a double SHA-256 of the others."""
    number = 0
    for character in written:
        number = number * 58 + _BASE58.index(character)
    length = 26 if written[0] == "t" else 25
    if number >= 256**length:
        return False
    data = number.to_bytes(length, "big")
    return sha256(sha256(data[:-4]).digest()).digest()[:4] == data[-4:]


def _bech32(written: str) -> bool:
    """BIP 173 and 350: the checksum of segwit addresses."""
    prefix, _, body = written.rpartition("1")
    values = [ord(character) >> 5 for character in prefix] + [0] + [ord(character) & 31 for character in prefix]
    values += [_BECH32.index(character) for character in body]
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    return check in (1, 0x2BC830A3)
