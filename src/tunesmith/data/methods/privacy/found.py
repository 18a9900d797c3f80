"""A find, the kinds of finds, and which of overlapping finds stand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

Kind = Literal[
    "email",
    "phone",
    "card",
    "iban",
    "bic",
    "national_id",
    "passport",
    "license",
    "ip",
    "mac",
    "wallet",
    "address",
    "birth_date",
    "person",
    "age",
    "postcode",
    "url",
    "date",
    "place",
    "organization",
    "nationality",
    "title",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Every kind."""
IDENTIFYING: tuple[Kind, ...] = KINDS[: KINDS.index("person") + 1]
"""Those that point at one person, alone or nearly so. The others narrow down who it is."""


class Found(NamedTuple):
    """A stretch of a text, `text[start:end]`, that says something about a person."""

    start: int
    end: int
    kind: Kind
    confidence: float
    """How sure this is, 0 to 1: about 0.95 with a checksum, 0.85 by a form nothing else has or by what stands before it, 0.6 by
    its form, below 0.5 a guess."""


_WHOLE = frozenset({"address", "url", "email"})
"""What holds other finds as its parts: the town of an address is not found apart."""


def standing(text: str, found: Iterable[Found]) -> list[Found]:
    """Finds without overlaps, in order: of two that overlap the surer stands whole, then the longer, then the earlier.

    What the other covers beside it stays found too, so that nothing shows at the edges.
    """
    chosen: list[Found] = []
    for each in sorted(found, key=_strength):
        pieces = [each]
        for other in chosen:
            pieces = [piece for whole in pieces for piece in _beside(text, whole, other)]
        chosen += pieces
    return sorted(chosen)


def _beside(text: str, one: Found, other: Found) -> list[Found]:
    """What is left of `one` where `other` stands; pieces of a letter or two are nothing."""
    if one.end <= other.start or other.end <= one.start:
        return [one]
    pieces = []
    for start, end in ((one.start, other.start), (other.end, one.end)):
        said = text[start:end] if start < end else ""
        if sum(map(str.isalnum, said)) >= _LEAST:
            start += len(said) - len(said.lstrip(_EDGES))
            pieces.append(one._replace(start=start, end=start + len(said.strip(_EDGES))))
    return pieces


_EDGES, _LEAST = " \n\t,.;:()[]-/", 3


def _strength(one: Found) -> tuple[float, int, int, str]:
    whole = 0.3 if one.kind in _WHOLE and one.confidence >= 0.5 else 0.0
    return -round(one.confidence + whole, 1), one.start - one.end, one.start, one.kind


_LABELS: dict[str, Kind] = {
    "per": "person", "person": "person", "name": "person", "first_name": "person", "last_name": "person", "loc": "place", "location": "place",
    "gpe": "place", "city": "place", "country": "place", "org": "organization", "organisation": "organization", "company": "organization",
    "norp": "nationality", "nrp": "nationality", "email_address": "email", "phone_number": "phone", "telephone": "phone", "credit_card": "card",
    "credit_card_number": "card", "iban_code": "iban", "swift": "bic", "us_ssn": "national_id", "ssn": "national_id", "uk_nhs": "national_id",
    "us_passport": "passport", "us_driver_license": "license", "driver_license": "license", "ip_address": "ip", "mac_address": "mac",
    "crypto": "wallet", "street_address": "address", "date_of_birth": "birth_date", "dob": "birth_date", "zip_code": "postcode", "zip": "postcode",
    "domain_name": "url", "date_time": "date", "job": "title",
}  # fmt: skip


def kind_of(label: str) -> Kind | None:
    """The kind that a tagger's label means: `PER`, `B-PERSON`, `CREDIT_CARD`; None where it means none of them."""
    name = label.lower().removeprefix("b-").removeprefix("i-").replace("-", "_").replace(" ", "_")
    if name in KINDS:
        return name
    return _LABELS.get(name)
