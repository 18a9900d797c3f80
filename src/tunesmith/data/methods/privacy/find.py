"""All recognisers in one call. Each stands behind a test that costs next to nothing where it would find nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tunesmith.data.methods.privacy import contact, dates, finance, names, national, network, places
from tunesmith.data.methods.privacy.found import Found, Kind, standing


class Clues(NamedTuple):
    """What a glance at a text shows."""

    words: frozenset[str]
    """Its words of letters from a to z, in small letters."""
    capital: bool
    digit: bool
    row: bool
    """Whether six digits follow each other, with few signs and letters between them."""


class Recogniser(NamedTuple):
    """One function, what it can find, and when it is worth calling."""

    kinds: frozenset[Kind]
    find: Callable[[str], Iterator[Found]]
    worth: Callable[[str, Clues], bool]


_ROW = re.compile(r"\d(?:[ \u00a0./()-]{0,3}[A-Za-z]{0,4}\d){5}")
_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"[a-z]+")
_AT = re.compile(r"[\[({] ?at ?[\])}]", re.I)
_LONG = re.compile(r"[A-Za-z0-9]{26}")
_HEX = re.compile(r"[0-9a-f]{4}\.[0-9a-f]{4}\.", re.I)
_DOTS = re.compile(r"\d\.\d{1,3}\.\d")
_LETTERED = re.compile(r"[A-Z]{5}\d{4}[A-Z]")
_STATE = re.compile(r"[A-Z][A-Z] \d{5}|[A-Z]\d[A-Z\d]? ?\d[A-Z]")

_PAPERS = frozenset(
    """passport passports reisepass passeport pasaporte passaporto license licence hrerschein permis patente permiso dl national identity id tax security
    insurance personal ssn personalausweis ausweisnummer""".split()
)
_POST = frozenset("zip zipcode postcode postal post plz postleitzahl code codigo digo cap cp".split())
_AGES = frozenset(
    "years year yrs yr yo o old age aged alter g edad et am m is s turned turning turns jahre ans os anni only just was".split()
)
_CALLED = frozenset("name named called call".split())


def _kinds(*kinds: Kind) -> frozenset[Kind]:
    return frozenset(kinds)


RECOGNISERS: tuple[Recogniser, ...] = (
    Recogniser(_kinds("email"), contact.emails, lambda text, clues: "@" in text),
    Recogniser(_kinds("email"), contact.spelled_emails, lambda text, clues: "at" in clues.words and bool(_AT.search(text))),
    Recogniser(_kinds("url"), contact.urls, lambda text, clues: "://" in text or "www" in clues.words),
    Recogniser(_kinds("phone"), contact.phones, lambda text, clues: clues.row),
    Recogniser(_kinds("card"), finance.cards, lambda text, clues: clues.row),
    Recogniser(_kinds("iban"), finance.ibans, lambda text, clues: clues.row),
    Recogniser(
        _kinds("bic"), finance.bics, lambda text, clues: not clues.words.isdisjoint(("bic", "swift")) or (clues.digit and clues.capital)
    ),
    Recogniser(_kinds("wallet"), finance.wallets, lambda text, clues: clues.digit and bool(_LONG.search(text))),
    Recogniser(
        _kinds("national_id"),
        national.numbers,
        lambda text, clues: clues.row or (clues.digit and bool(_LETTERED.search(text))),
    ),
    Recogniser(
        _kinds("passport", "license", "national_id"), national.documents, lambda text, clues: clues.digit and not clues.words.isdisjoint(_PAPERS)
    ),
    Recogniser(_kinds("ip"), network.ipv4, lambda text, clues: clues.digit and bool(_DOTS.search(text))),
    Recogniser(_kinds("ip"), network.ipv6, lambda text, clues: text.count(":") >= 2),
    Recogniser(
        _kinds("mac"), network.macs, lambda text, clues: clues.digit and (text.count(":") >= 5 or text.count("-") >= 5 or bool(_HEX.search(text)))
    ),
    Recogniser(_kinds("date", "birth_date"), dates.dates, lambda text, clues: clues.digit),
    Recogniser(_kinds("date", "birth_date"), dates.months, lambda text, clues: clues.digit and dates.has_month(clues.words)),
    Recogniser(_kinds("date", "birth_date"), dates.years, lambda text, clues: clues.digit),
    Recogniser(_kinds("date"), dates.weekdays, lambda text, clues: not clues.words.isdisjoint(dates.WEEKDAYS)),
    Recogniser(_kinds("age"), dates.ages, lambda text, clues: clues.digit and not clues.words.isdisjoint(_AGES)),
    Recogniser(_kinds("address"), places.addresses, lambda text, clues: places.may_be(text, clues.words, clues.digit)),
    Recogniser(
        _kinds("postcode"), places.postcodes, lambda text, clues: clues.digit and (not clues.words.isdisjoint(_POST) or bool(_STATE.search(text)))
    ),
    Recogniser(_kinds("title"), places.titles, lambda text, clues: not clues.words.isdisjoint(places.TITLE_WORDS)),
    Recogniser(_kinds("person", "place", "organization", "nationality"), names.names, lambda text, clues: clues.capital),
    Recogniser(_kinds("person", "place"), names.small, lambda text, clues: not clues.capital),
    Recogniser(_kinds("person"), names.introduced, lambda text, clues: not clues.words.isdisjoint(_CALLED)),
    Recogniser(_kinds("nationality"), names.peoples, lambda text, clues: not clues.words.isdisjoint(names.PEOPLE_WORDS)),
)  # fmt: skip


def find(text: str, kinds: Iterable[Kind]) -> list[Found]:
    """What of these kinds a text says, without overlaps, in order.

    Overlaps are settled among all that was asked for: a number that is a card for sure is no telephone number.
    """
    asked = frozenset(kinds)
    clues = _glance(text)
    found = [
        one
        for recogniser in RECOGNISERS
        if not recogniser.kinds.isdisjoint(asked) and recogniser.worth(text, clues)
        for one in recogniser.find(text)
        if one.kind in asked
    ]
    return standing(text, found) if len(found) > 1 else found


def _glance(text: str) -> Clues:
    lower = text.lower()
    digit = bool(_DIGIT.search(text))
    return Clues(frozenset(_WORD.findall(lower)), lower != text, digit, digit and bool(_ROW.search(text)))
