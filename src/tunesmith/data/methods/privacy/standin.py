"""What is put in place of a find: the same for the same words everywhere, of the same kind and shape, made with a key.

Every stand-in is drawn from HMAC-SHA256 of the kind and the words: with the key it comes out the same again, without it nothing
leads back. Names are drawn word by word, so that `Anna Muster` and `Ms. Muster` stay one person. Numbers keep their marks and
lengths. None should be anybody's: e-mail addresses end in example.org, machines' are private or for documentation, cards begin
as issuers' test cards do and pass Luhn's test, accounts have right check digits and no bank, telephone numbers begin with
digits that are given to nobody where there are such (555 in North America), national numbers fail their checksum.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable

from tunesmith.data.methods.privacy.checksums import iban_check, luhn_digit
from tunesmith.data.methods.privacy.found import Kind

_ONSETS = "B Br C D Dr F Fl G Gr H J K Kl L M N P Pr R S Sk St T Tr V W Z Bl Gl Th".split()
_VOWELS = "a e i o u".split()
_MIDDLES = "b d f g k l ll m n nn p r rr s ss t v z ld lm ln nd nt rd rl rm rn rt st sk".split()
_ENDINGS = (  # each begins with a vowel
    "an en in on un el il ol ar er or as es is os ena ina ona ella illa etta ana ara ora ia ea eth ath oth ick eck ock im em om und and ent elt old ast".split()
)
_PARTICLES = frozenset("von van der den de del della di da dos du la le el al bin ibn ten ter zu y af av".split())
_CARD_BEGINNINGS = ((r"3[47]", "378282"), (r"3[0689]", "305693"), (r"35|2131|1800", "353011"), (r"5[1-5]|2[2-7]", "555555"), (r"4", "424242"), (r"6", "601111"))  # fmt: skip
_KEPT_WORDS = frozenset(
    """street st avenue ave road rd lane drive boulevard blvd place square court way apt suite unit floor box po p o rue via calle rua strasse straße the corner of
    and platz allee weg gasse apo fpo dpo ltd inc gmbh llc ag bank university""".split()
)


PSEUDONYM_KEY = "pseudonym key"
"""The entry of the vault that stand-ins are drawn with."""


def entry_name(kind: Kind, standin: str) -> str:
    """The vault's name for who is behind a stand-in: `person/Malin Torek`."""
    return f"{kind}/{standin}"


class Standins:
    """Draws stand-ins with one key.

    Args:
        key: 32 bytes; of the vault.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, kind: Kind, written: str) -> str:
        """The stand-in for what was found."""
        make = _MAKERS.get(kind, _shaped)
        return make(written, _Draws(self._key, kind, normal(kind, written)))


def normal(kind: Kind, written: str) -> str:
    """What makes two ways of writing the same: small letters and single blanks; letters and digits alone in numbers."""
    if kind in _NUMBERS:
        return re.sub(r"[\W_]", "", written).upper()
    return " ".join(written.casefold().split())


_NUMBERS = frozenset({"phone", "card", "iban", "bic", "national_id", "passport", "license", "mac", "postcode"})


class _Draws:
    """An endless row of bytes that follow from the key and what was found."""

    def __init__(self, key: bytes, kind: str, words: str) -> None:
        self._key = key
        self._seed = f"{kind}\0{words}".encode("utf-8", "surrogatepass")
        self._block, self._left = 0, b""

    def below(self, count: int) -> int:
        """A number from 0 to `count` - 1; 8 bytes are taken, so the leaning to small ones is nothing."""
        if len(self._left) < 8:
            self._left += hmac.digest(self._key, self._block.to_bytes(4, "big") + self._seed, "sha256")
            self._block += 1
        number, self._left = int.from_bytes(self._left[:8], "big"), self._left[8:]
        return number % count

    def digits(self, count: int) -> str:
        """So many digits."""
        return "".join(str(self.below(10)) for _ in range(count))

    def word(self) -> str:
        """A word that could be a name: half of them of 200,000, half of 30 million."""
        parts = (_ONSETS, _VOWELS, _MIDDLES, _ENDINGS)
        first, vowel, middle, ending = (part[self.below(len(part))] for part in parts)
        more = _VOWELS[self.below(5)] + _MIDDLES[self.below(len(_MIDDLES))] if self.below(2) else ""
        return first + vowel + middle + more + ending

    def apart(self, words: str) -> _Draws:
        """Draws for a part by itself, the same wherever the part stands."""
        return _Draws(self._key, "word", words)


def _like(new: str, old: str) -> str:
    """`new` in the case of `old`."""
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new.lower() if old.islower() else new


def _name(written: str, draws: _Draws) -> str:
    def word(match: re.Match[str]) -> str:
        old = match[0]
        if old in _PARTICLES:
            return old
        if len(old) == 1:
            return _like(draws.apart(old.casefold()).word()[0], old)
        return _like(draws.apart(old.casefold()).word(), old)

    return re.sub(r"[^\W\d_]+", word, written)


def _email(written: str, draws: _Draws) -> str:
    return f"{draws.word()}.{draws.word()}{draws.digits(2)}@example.org".lower()


def _digits_in(written: str, new: str) -> str:
    """`new`'s characters in the places of the letters and digits of `written`."""
    rest = iter(new)
    return "".join(next(rest) if character.isalnum() else character for character in written)


def _card(written: str, draws: _Draws) -> str:
    digits = re.sub(r"\D", "", written)
    beginning = next((new for old, new in _CARD_BEGINNINGS if re.match(old, digits)), "999999")
    body = beginning + draws.digits(len(digits) - len(beginning) - 1)
    return _digits_in(written, body + luhn_digit(body))


def _iban(written: str, draws: _Draws) -> str:
    plain = re.sub(r"[\W_]", "", written).upper()
    country, account = plain[:2], plain[4:]
    # The bank: X or 0, which no bank has; then letters for letters and digits for digits.
    new = "".join(
        ("0" if place < 4 else str(draws.below(10)))
        if old.isdigit()
        else ("X" if place < 4 else chr(65 + draws.below(26)))
        for place, old in enumerate(account)
    )
    return _digits_in(written, country + iban_check(country, new) + new)


def _phone(written: str, draws: _Draws) -> str:
    digits = re.sub(r"\D", "", written)
    head = re.match(r"\+\d{1,2}(?=[ (.-])|\+1|00\d\d|0", written)
    kept = len(re.sub(r"\D", "", head[0])) if head else 0
    national = len(digits) - kept
    new = digits[:kept] + draws.digits(national)
    if national == 10 and (kept == 0 or digits[:kept] == "1"):  # North America: an area, and an exchange of nobody's
        new = digits[:kept] + str(2 + draws.below(8)) + draws.digits(2) + "555" + draws.digits(4)
    rest = iter(new)
    return "".join(next(rest) if character.isdigit() else character for character in written)


def _ip(written: str, draws: _Draws) -> str:
    if ":" in written:
        return "2001:db8:" + ":".join(f"{draws.below(1 << 16):x}" for _ in range(6))
    return "10." + ".".join(str(draws.below(256)) for _ in range(3))


def _mac(written: str, draws: _Draws) -> str:
    new = "02" + "".join(f"{draws.below(256):02x}" for _ in range(5))
    return _digits_in(written, new.upper() if written.isupper() else new)


def _shaped(written: str, draws: _Draws) -> str:
    """Another digit for every digit and another letter for every letter."""
    new = []
    for place, old in enumerate(written):
        if old.isdigit():
            low = 1 if place == 0 and old != "0" else 0
            new.append(str(low + draws.below(10 - low)))
        elif old.isalpha():
            new.append(_like(chr(97 + draws.below(26)), old) if old.islower() else chr(65 + draws.below(26)))
        else:
            new.append(old)
    return "".join(new)


def _date(written: str, draws: _Draws) -> str:
    """Another day and month, in the same form; the year stays, ages in years with it."""

    def number(match: re.Match[str]) -> str:
        old = match[0]
        if len(old) == 4:
            return old
        return str(1 + draws.below(12 if int(old) <= 12 else 28)).zfill(len(old))

    return re.sub(r"\d+", number, written)


def _age(written: str, draws: _Draws) -> str:
    """Two years up or down at the most."""
    return str(max(1, int(written) - 2 + draws.below(5)))


def _address(written: str, draws: _Draws) -> str:
    def part(match: re.Match[str]) -> str:
        old = match[0]
        if old.isdigit():
            return str(1 + draws.below(9)) + draws.digits(len(old) - 1)
        if old.casefold() in _KEPT_WORDS or len(old) < 3:
            return old
        return _like(draws.apart(old.casefold()).word(), old)

    return re.sub(r"\d+|[^\W\d_]+", part, written)


def _url(written: str, draws: _Draws) -> str:
    scheme = re.match(r"[A-Za-z]+://", written)
    return f"{scheme[0] if scheme else ''}www.example.org/{draws.word().lower()}{draws.digits(4)}"


_MAKERS: dict[Kind, Callable[[str, _Draws], str]] = {
    "email": _email,
    "phone": _phone,
    "card": _card,
    "iban": _iban,
    "ip": _ip,
    "mac": _mac,
    "person": _name,
    "place": _name,
    "organization": _address,
    "address": _address,
    "birth_date": _date,
    "date": _date,
    "age": _age,
    "url": _url,
    "nationality": _name,
    "title": _name,
}
