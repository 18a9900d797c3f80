"""Numbers that states give to people, told by their form and their arithmetic, surer after a word for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tunesmith.data.methods.privacy.checksums import ean13, luhn, mod11_10, verhoeff, weighted
from tunesmith.data.methods.privacy.found import Found

_LOOK_BACK, _LOOK_ON = 60, 16


class Scheme(NamedTuple):
    """How one country's numbers are told."""

    name: str
    form: re.Pattern[str]
    valid: Callable[[str], bool]
    """Of the letters and digits alone, in capitals."""
    alone: float
    """How sure a number is by itself."""
    asked: re.Pattern[str]
    """Words for it, before or behind."""


def numbers(text: str) -> Iterator[Found]:
    """Every scheme's numbers. One whose arithmetic does not fit is none, whatever stands before it."""
    for scheme in SCHEMES:
        for match in scheme.form.finditer(text):
            plain = re.sub(r"[^0-9A-Za-z]", "", match[0]).upper()
            if not scheme.valid(plain):
                continue
            around = text[max(0, match.start() - _LOOK_BACK) : match.end() + _LOOK_ON]
            confidence = 0.95 if scheme.asked.search(around) else scheme.alone
            yield Found(match.start(), match.end(), "national_id", confidence)


def _form(pattern: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.,/+-])(?:{pattern})(?![\w/]|[.,-]\d)", flags)


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{pattern})\b|identi(?:ty|fica)|\bnational (?:id|insurance)", re.I)


def _day(year: str, month: str, day: str) -> bool:
    return year.isdigit() and 1 <= int(month) <= 12 and 1 <= int(day) <= 31


def _ssn(n: str) -> bool:
    return n[:3] not in ("000", "666") and n[0] != "9" and n[3:5] != "00" and n[5:] != "0000"


def _itin(n: str) -> bool:
    return 50 <= int(n[3:5]) <= 99


def _nino(n: str) -> bool:
    return n[:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ")


def _nhs(n: str) -> bool:
    rest = 11 - weighted(n[:9], range(10, 1, -1)) % 11
    return rest % 11 == int(n[9]) and rest != 10


def _steuer_id(n: str) -> bool:
    counts = [n[:10].count(digit) for digit in set(n[:10])]
    return n[0] != "0" and sum(count > 1 for count in counts) == 1 and max(counts) <= 3 and mod11_10(n)


def _insee(n: str) -> bool:
    number = int(n[:13].replace("2A", "19").replace("2B", "18"))
    month = int(n[3:5])
    return (1 <= month <= 12 or 20 <= month <= 42 or month >= 50) and 97 - number % 97 == int(n[13:])


def _dni(n: str) -> bool:
    number = int(n[:-1].translate(str.maketrans("XYZ", "012")))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23] == n[-1]


_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip


def _codice_fiscale(n: str) -> bool:
    total = sum(_ODD[character] for character in n[0:15:2])
    total += sum(int(character) if character.isdigit() else ord(character) - 65 for character in n[1:15:2])
    return chr(65 + total % 26) == n[15]


def _bsn(n: str) -> bool:
    return weighted(n, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and n != "000000000"


def _pesel(n: str) -> bool:
    month = int(n[2:4]) % 20
    return weighted(n, (1, 3, 7, 9) * 2 + (1, 3, 1)) % 10 == 0 and _day(n[:2], f"{month}", n[4:6])


def _aadhaar(n: str) -> bool:
    return n[0] not in "01" and len(set(n)) > 1 and verhoeff(n)


def _cpf(n: str) -> bool:
    first = weighted(n[:9], range(10, 1, -1)) * 10 % 11 % 10
    second = weighted(n[:10], range(11, 1, -1)) * 10 % 11 % 10
    return len(set(n)) > 1 and n[9:] == f"{first}{second}"


def _personnummer(n: str) -> bool:
    n = n[-10:]
    return _day(n[:2], n[2:4], str((int(n[4:6]) - 1) % 60 + 1)) and luhn(n)


def _hetu(n: str) -> bool:
    digits, mark = n[:6] + n[-4:-1], n[-1]
    return _day(n[4:6], n[2:4], n[:2]) and "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(digits) % 31] == mark


def _cpr(n: str) -> bool:
    return _day(n[4:6], n[2:4], n[:2])


def _fodselsnummer(n: str) -> bool:
    first = (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)
    second = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
    return weighted(n[:10], first) % 11 == 0 and weighted(n, second) % 11 == 0 and _day(n[4:6], n[2:4], n[:2])


def _belgian(n: str) -> bool:
    return any(97 - int(prefix + n[:9]) % 97 == int(n[9:]) for prefix in ("", "2")) and 0 <= int(n[2:4]) <= 12


def _rodne_cislo(n: str) -> bool:
    return int(n) % 11 == 0 and _day(n[:2], str(int(n[2:4]) % 50 % 20), n[4:6])


def _cnp(n: str) -> bool:
    rest = weighted(n[:12], (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return _day(n[1:3], n[3:5], n[5:7]) and (1 if rest == 10 else rest) == int(n[12])


def _turkish(n: str) -> bool:
    digits = [int(digit) for digit in n]
    tenth = (sum(digits[0:9:2]) * 7 - sum(digits[1:8:2])) % 10
    return n[0] != "0" and tenth == digits[9] and sum(digits[:10]) % 10 == digits[10]


def _chinese(n: str) -> bool:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return _day(n[6:10], n[10:12], n[12:14]) and "10X98765432"[weighted(n[:17], weights) % 11] == n[17]


def _svnr(n: str) -> bool:
    return weighted(n[:3] + n[4:], (3, 7, 9, 5, 8, 4, 2, 1, 6)) % 11 == int(n[3]) and _day(n[8:], n[6:8], n[4:6])


def _nif(n: str) -> bool:
    rest = weighted(n[:8], range(9, 1, -1)) % 11
    return (0 if rest < 2 else 11 - rest) == int(n[8])


def _tfn(n: str) -> bool:
    return weighted(n, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def _always(_: str) -> bool:
    return True


_NONE = re.compile(r"(?!)")

SCHEMES: tuple[Scheme, ...] = (
    Scheme("US SSN", _form(r"\d{3}-\d\d-\d{4}|\d{3} \d\d \d{4}"), _ssn, 0.85, _words("ssn|social security")),
    Scheme("US SSN", _form(r"\d{9}"), _ssn, 0.0, re.compile(r"\bssn\b|social security", re.I)),
    Scheme("US ITIN", _form(r"9\d\d-[5-9]\d-\d{4}"), _itin, 0.8, _words("itin|taxpayer")),
    Scheme("UK NINO", _form(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?\d\d){3} ?[A-D]", re.I), _nino, 0.85, _words("nino?|insurance")),
    Scheme("UK NHS", _form(r"\d{3}[ -]\d{3}[ -]\d{4}"), _nhs, 0.5, _words("nhs")),
    Scheme("UK NHS", _form(r"\d{10}"), _nhs, 0.1, _words("nhs")),
    Scheme("DE Steuer-ID", _form(r"\d{2} \d{3} \d{3} \d{3}|\d{11}"), _steuer_id, 0.6, _words(r"steuer\W?id\w*|idnr|identifikationsnummer|tax\W?id|tin")),
    Scheme("FR INSEE", _form(r"[1-478] ?\d\d ?\d\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d"), _insee, 0.9, _words(r"insee|nir|s[ée]curit[ée] sociale|s[ée]cu")),
    Scheme("ES DNI, NIE", _form(r"(?:\d{8}|\d\d\.\d{3}\.\d{3}|[XYZ]-?\d{7})[ -]?[A-Z]", re.I), _dni, 0.85, _words("dni|nie|nif")),
    Scheme("IT codice fiscale", _form(r"(?:[A-Z]{6}|[A-Z]{3} [A-Z]{3}) ?[\dL-NP-V]{2}[A-EHLMPR-T][\dL-NP-V]{2} ?[A-Z][\dL-NP-V]{3} ?[A-Z]", re.I), _codice_fiscale, 0.97, _words(r"codice fiscale|c\.?f\.?")),
    Scheme("NL BSN", _form(r"\d{9}|\d{4}[. ]\d\d[. ]\d{3}"), _bsn, 0.3, _words("bsn|burgerservicenummer|sofi")),
    Scheme("PL PESEL", _form(r"\d{11}"), _pesel, 0.6, _words("pesel")),
    Scheme("IN Aadhaar", _form(r"\d{4}[ -]\d{4}[ -]\d{4}"), _aadhaar, 0.7, _words("aadha?ar|uidai|uid")),
    Scheme("IN Aadhaar", _form(r"\d{12}"), _aadhaar, 0.4, _words("aadha?ar|uidai|uid")),
    Scheme("IN PAN", _form(r"[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]"), _always, 0.8, _words("pan|permanent account")),
    Scheme("BR CPF", _form(r"\d{3}\.\d{3}\.\d{3}-\d\d"), _cpf, 0.97, _words("cpf")),
    Scheme("BR CPF", _form(r"\d{11}"), _cpf, 0.55, _words("cpf")),
    Scheme("SE personnummer", _form(r"(?:19|20)?\d{6}[-+]\d{4}"), _personnummer, 0.9, _words("personnummer|personal (?:identity )?number")),
    Scheme("SE personnummer", _form(r"(?:19|20)\d{10}|\d{10}"), _personnummer, 0.4, _words("personnummer|personal (?:identity )?number")),
    Scheme("CH AHV", _form(r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d\d"), ean13, 0.95, _words("ahv|avs|oasi")),
    Scheme("FI HETU", _form(r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]"), _hetu, 0.95, _words("hetu|henkilötunnus")),
    Scheme("DK CPR", _form(r"\d{6}-\d{4}"), _cpr, 0.55, _words("cpr")),
    Scheme("NO fødselsnummer", _form(r"\d{6} ?\d{5}"), _fodselsnummer, 0.9, _words(r"f[øo]dselsnummer")),
    Scheme("BE national number", _form(r"\d\d\.\d\d\.\d\d-\d{3}[.-]\d\d"), _belgian, 0.95, _words("rijksregister\\w*|niss|insz|registre national")),
    Scheme("CZ, SK rodné číslo", _form(r"\d{6}/\d{4}"), _rodne_cislo, 0.9, _words(r"rodn[ée] [cč][íi]slo|rč")),
    Scheme("RO CNP", _form(r"[1-8]\d{12}"), _cnp, 0.85, _words("cnp")),
    Scheme("TR TCKN", _form(r"[1-9]\d{10}"), _turkish, 0.6, _words(r"tckn|t\.?c\.? kimlik\w*|kimlik")),
    Scheme("CN RIC", _form(r"[1-9]\d{16}[\dX]", re.I), _chinese, 0.95, _words("resident|id card")),
    Scheme("AT SVNR", _form(r"\d{4} ?\d{6}"), _svnr, 0.45, _words(r"svnr|sv-?nummer|sozialversicherungs\w*")),
    Scheme("CA SIN", _form(r"\d{3}[ -]\d{3}[ -]\d{3}"), luhn, 0.5, _words("sin|social insurance")),
    Scheme("PT NIF", _form(r"[1235689]\d{8}"), _nif, 0.2, _words("nif|contribuinte")),
    Scheme("HR OIB", _form(r"\d{11}"), mod11_10, 0.2, _words("oib")),
    Scheme("AU TFN", _form(r"\d{3} ?\d{3} ?\d{3}"), _tfn, 0.2, _words("tfn|tax file")),
)  # fmt: skip
"""Their checks come from the issuers' own descriptions, as collected by the OECD (tax numbers) and the European Commission."""

_NAMED = re.compile(
    r"""\b(?P<passport>passports?|reisepass\w*|passeport|pasaporte|passaporto)\b|
    (?P<license>\bdriv(?:er|ing)(?:'?s|s')?[ -]licen[cs]e\b|\blicen[cs]e[ ](?:number|no)\b|führerschein\w*|permis[ ]de[ ]conduire|patente[ ]di[ ]guida|permiso[ ]de[ ]conducir|\bDL(?=\W*(?:no|number|\#|:)))|
    (?P<national_id>\b(?:national|identity|id|tax|social[ ]security|insurance|personal)[ -](?:card[ ])?(?:id|number|no)\b|\bssn\b|\bpersonalausweis\w*|\bausweisnummer)""",
    re.X | re.I,
)
_GIVEN = re.compile(
    r"""[\s.:#()-]*(?:(?:number|no\.?|nr\.?|num|id|card|is|was|it's|its|=|\#|:|lautet|ist|est|es|è|my|the|a|new|old|expired|valid)[\s.:#()-]*){0,6}
    (?P<value>(?=[A-Z0-9-]*\d)[A-Z0-9](?:[A-Z0-9]|[ -](?=[A-Z0-9]*\d)){4,18}[A-Z0-9])(?![\w])""",
    re.X | re.I,
)


def documents(text: str) -> Iterator[Found]:
    """What stands right after a word for a passport, a driver's license or a personal number: its own form says little."""
    for match in _NAMED.finditer(text):
        given = _GIVEN.match(text, match.end())
        if given and sum(character.isdigit() for character in given["value"]) >= 4:
            kind = match.lastgroup
            yield Found(given.start("value"), given.end("value"), kind, 0.8)  # type: ignore[arg-type]
