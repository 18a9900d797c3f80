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


def standing(found: Iterable[Found]) -> list[Found]:
    """Finds without overlaps, in order: of two that overlap the surer stands, then the longer, then the earlier."""
    chosen: list[Found] = []
    for each in sorted(found, key=_strength):
        if all(each.end <= other.start or other.end <= each.start for other in chosen):
            chosen.append(each)
    return sorted(chosen)


def _strength(one: Found) -> tuple[float, int, int, str]:
    whole = 0.3 if one.kind in _WHOLE and one.confidence >= 0.5 else 0.0
    return -round(one.confidence + whole, 1), one.start - one.end, one.start, one.kind
