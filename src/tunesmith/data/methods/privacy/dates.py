"""Dates of birth, ages, and dates at large."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tunesmith.data.methods.privacy.found import Found

_MONTH = (
    r"(?:jan(?:uary|uar|vier|\.)?|feb(?:ruary|ruar|\.)?|f[ée]vrier|m(?:ar(?:ch|\.)?|ärz|ars|arzo)|apr(?:il|ile|\.)?|avril|abril|ma[yi]|mayo|maggio|"
    r"jun[ei]?|juin|junio|giugno|jul[yi]?|juillet|julio|luglio|aug(?:ust|\.)?|ao[ûu]t|agosto|sep(?:t(?:ember|\.)?|\.)?|septi?embre|settembre|"
    r"o[ck]t(?:ober|\.)?|octobre|octubre|ottobre|nov(?:ember|embre|iembre|\.)?|de[czs](?:ember|\.)?|d[ée]cembre|diciembre|dicembre|enero|febrero|gennaio|febbraio|marzo)"
)
_TIME = r"(?:[T ,]{1,2}\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?:[ ]?[ap]\.?m\.?)?(?:Z|[+-]\d\d:?\d\d)?)?"
# Each begins with what it is searched for by; what must not stand before is looked at after that.
_NUMBERS = re.compile(
    rf"\d(?<![\w.,/$€£-]\d)(?:(?<=[12])[90]\d\d[-/.][01]?\d[-/.][0-3]?\d|\d?[-/.][0-3]?\d[-/.](?:(?:19|20)\d\d|\d\d(?!\d))){_TIME}(?!\w|[/-]\d)",
    re.I,
)
_DAY_MONTH = re.compile(
    rf"\d(?<![\w.,/$€£-]\d)\d?(?:st|nd|rd|th|\.|er|º)? (?:of |de )?{_MONTH}\.?(?:[ ,]{{1,2}}(?:de |of )?(?:19|20)\d\d)?{_TIME}(?!\w|[/-]\d)",
    re.I,
)
_MONTH_DAY = re.compile(
    rf"\b{_MONTH}\.?(?: [0-3]?\d(?:st|nd|rd|th)?(?:,? (?:19|20)\d\d)?{_TIME}|,? (?:19|20)\d\d)(?!\w|[/-]\d)", re.I
)
_MONTH_WORDS = frozenset(
    """jan january januar janvier feb february februar febrero febbraio f vrier mar march m rz mars marzo apr april avril abril aprile may mai mayo
    maggio jun june juni juin junio giugno jul july juli juillet julio luglio aug august ao agosto sep sept september septembre septiembre settembre
    oct october octobre octubre ottobre okt oktober nov november novembre noviembre dec december d cembre dez dezember dic diciembre dicembre des
    enero gennaio""".split()
)
WEEKDAYS = frozenset("monday tuesday wednesday thursday friday saturday sunday".split())


def has_month(words: frozenset[str]) -> bool:
    """Whether a month is among the words of a text (letters from a to z only)."""
    return not words.isdisjoint(_MONTH_WORDS)


_BIRTH = re.compile(
    r"\b(?:born|birth(?:day|date)?|d\.?o\.?b\.?|geb(?:oren|urtsdatum|urtstag|\.)|n[ée]e? (?:le|en)|naissance|nacid[oa]|nacimiento|nat[oa] il|nascita|b\.)(?!\w)",
    re.I,
)
_YEAR = re.compile(
    r"[12](?<![\w.,/$€£#-]\d)[90]\d\d(?![\w/%]|[.,:-]\d| (?:people|rows|words|euros|dollars|times|units))"
)
_DAY = re.compile(r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b", re.I)

_AGE = re.compile(
    r"\d(?<![\w.$€£]\d)\d{0,2}(?=[ -]?(?:years?|yrs?)[ -]?(?:old|of age)|[ -]?y/?o\b| jahre alt| ans\b| años| anni\b)",
    re.I,
)
_AGED = re.compile(r"\b(?:aged?|alter|âgée? de|edad|età)(?: of| is|:|=)? (\d{1,3})(?!\w|[.,]\d| ?%)", re.I)
_SAID = re.compile(
    r"\b(?:i am|i'm|he is|he's|she is|she's|turned|turning|turns) (\d{1,2})(?!\w|[.,:/]\d| ?%|[ -](?:percent|minutes?|mins?|hours?|days?|weeks?|months?|km|miles?|dollars|euros|feet|meters|of|points?|seconds?|steps?))|"
    r"(?<!\bit )\b(?:is|age is|only|just|at age|the age of|was) (\d{1,2})(?=[,.!?;]|$| (?:and|when|at the time|today|now)\b)|"
    r"(?<=[a-zß-ÿ]) \(([1-9]\d)\)|, ([1-9]\d)(?=, (?:an?|of|from|who|was|is|said)\b)",
    re.I,
)
_LOOK_BACK = 40


def dates(text: str) -> Iterator[Found]:
    """Dates in numbers; those that stand after words of birth are dates of birth."""
    yield from _told(text, _NUMBERS)


def months(text: str) -> Iterator[Found]:
    """Dates with a month by its name."""
    yield from _told(text, _DAY_MONTH)
    yield from _told(text, _MONTH_DAY)


def _told(text: str, form: re.Pattern[str]) -> Iterator[Found]:
    for match in form.finditer(text):
        born = _BIRTH.search(text, max(0, match.start() - _LOOK_BACK), match.start())
        yield Found(match.start(), match.end(), "birth_date" if born else "date", 0.9 if born else 0.75)


def years(text: str) -> Iterator[Found]:
    """Years by themselves, of birth after words of birth."""
    for match in _YEAR.finditer(text):
        born = _BIRTH.search(text, max(0, match.start() - 16), match.start())
        yield Found(match.start(), match.end(), "birth_date" if born else "date", 0.75 if born else 0.55)


def weekdays(text: str) -> Iterator[Found]:
    """Days of the week."""
    for match in _DAY.finditer(text):
        yield Found(match.start(), match.end(), "date", 0.55)


def ages(text: str) -> Iterator[Found]:
    """How old somebody is: a number from 1 to 120 with words around it."""
    for form, group, confidence in ((_AGE, 0, 0.85), (_AGED, 1, 0.75), (_SAID, 0, 0.6)):
        for match in form.finditer(text):
            at = group if form is not _SAID else match.lastindex or 1
            if 1 <= int(match[at]) <= 120:
                yield Found(match.start(at), match.end(at), "age", confidence)
