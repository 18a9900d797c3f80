"""Quantities: a number with its unit is one type, written as people write it.

    3 epochs   200 steps   2M tokens   30 min   5%   16 rows   8k tokens   300 ms   8 GB   20 USD

A quantity is read from text (or, where one unit is obvious, from a plain number), compared with
others of its unit, and written back as text that reads as the same quantity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import total_ordering
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

_FORM = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*([kKMG]?)\s*([A-Za-z%/]*)\s*", re.ASCII)
_MULTIPLES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}
_COUNTED = frozenset({"steps", "tokens", "rows"})
"""Units there is no half of."""

Units = dict[str, tuple[str, str]]
"""What may be written -> (the unit kept, how many of it that is, in decimal)."""


@total_ordering
@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a unit.

    Args:
        value: the number, in `unit`.
        unit: one of the units kept by the class.
    """

    value: float
    unit: str

    units: ClassVar[Units] = {}
    """What may be written."""
    plain: ClassVar[str | None] = None
    """The unit a plain number has; None where a unit must be written."""
    examples: ClassVar[str] = ""
    """What to write, for messages and help."""
    positive: ClassVar[bool] = True
    """Whether zero is refused."""
    signed: ClassVar[bool] = False
    """Whether it may be below zero."""

    @classmethod
    def parse(cls, written: Any) -> Self:
        """Reads `written`, text or a number.

        Raises:
            ValueError: it is not a quantity of this sort; the message says what to write.
        """
        if isinstance(written, cls):
            return written
        if isinstance(written, bool) or not isinstance(written, (str, int, float)):
            raise ValueError(f"write {cls.examples}")
        if isinstance(written, int) and abs(written) >= 10**30:
            raise ValueError(f"a number this large has no use here; write {cls.examples}")
        match = _FORM.fullmatch(str(written)) if len(str(written)) < 100 else None
        if not match:
            raise ValueError(f"{_short(written)} is not a quantity; write {cls.examples}")
        number, multiple, unit = match.groups()
        # `2M tokens`: the M belongs to the number; `2 MB`: to the unit. Units win.
        if multiple and (multiple + unit) in cls.units:
            multiple, unit = "", multiple + unit
        if not unit and not multiple and cls.plain is not None:
            unit = cls.plain
        if unit not in cls.units:
            said = f"{unit!r} is not a unit of it" if unit else "its unit is missing"
            raise ValueError(f"{written!r}: {said}; write {cls.examples}")
        kept, factor = cls.units[unit]
        value = float(Decimal(number) * _MULTIPLES[multiple] * Decimal(factor))
        if abs(value) == float("inf"):
            raise ValueError(f"{written!r} is too large; write {cls.examples}")
        if (value < 0 and not cls.signed) or (cls.positive and value == 0):
            raise ValueError(f"{written!r} must be {'above' if cls.positive else 'at least'} 0; write {cls.examples}")
        if kept in _COUNTED and value != int(value):
            raise ValueError(f"{written!r}: there is no part of one of the {kept}; write {cls.examples}")
        return cls(value, kept)

    def __str__(self) -> str:
        if self.unit == "%":
            return f"{_digits(self.value)}%"
        singular = self.unit[:-1]
        name = singular if self.value == 1 and singular in self.units else self.unit
        return f"{_digits(self.value)} {name}".strip()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Quantity):
            return NotImplemented
        if self.unit != other.unit:
            raise TypeError(f"cannot compare {self} with {other}")
        return self.value < other.value

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def _validate(cls, written: Any) -> Self:
        try:
            return cls.parse(written)
        except ValueError as error:
            raise PydanticCustomError("quantity", "{what}", {"what": str(error)}) from error

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        text: dict[str, Any] = {"type": "string", "examples": cls.examples.split(" or ")}
        return text if cls.plain is None else {"anyOf": [text, {"type": "number"}]}


def _digits(value: float) -> str:
    """The shortest decimal that reads as `value`, whole numbers without a point."""
    return str(int(value)) if value == int(value) and value < 1e15 else repr(value)


def _short(written: Any) -> str:
    text = repr(written)
    return text if len(text) <= 40 else text[:37] + "..."


def _unit(kept: str, *also: str, factor: str = "1") -> Units:
    return dict.fromkeys((*also, *([kept] if factor == "1" else [])), (kept, factor))


_EPOCHS = _unit("epochs", "epoch")
_STEPS = _unit("steps", "step")
_TOKENS = _unit("tokens", "token")
_TIME = {
    **_unit("seconds", "second", "sec", "s"),
    **_unit("seconds", "min", "mins", "minute", "minutes", factor="60"),
    **_unit("seconds", "h", "hour", "hours", factor="3600"),
}
_MONEY = _unit("USD")


class Duration(Quantity):
    """How long to train: epochs, optimizer steps, tokens seen, or time."""

    units = {**_EPOCHS, **_STEPS, **_TOKENS, **_TIME}
    examples = "3 epochs or 200 steps or 2M tokens or 30 min"


class Keep(Quantity):
    """How long something is kept."""

    units = {
        **_unit("days", "day", "d"),
        **_unit("days", "week", "weeks", factor="7"),
        **_unit("days", "month", "months", factor="30"),
        **_unit("days", "year", "years", factor="365"),
    }
    examples = "30 days or 2 years"
    positive = False


class Budget(Quantity):
    """What may be spent: money or time."""

    units = {**_MONEY, **_TIME}
    examples = "20 USD or 2 h"


class Price(Quantity):
    """What an hour of a machine costs."""

    units = {**_unit("USD/h")}
    plain = "USD/h"
    examples = "1.20 USD/h"
    positive = False


class Stretch(Quantity):
    """A stretch of training: a share of it, steps, tokens or epochs."""

    units = {**_unit("%"), **_STEPS, **_TOKENS, **_EPOCHS}
    examples = "5% or 100 steps or 1M tokens"
    positive = False


class Every(Quantity):
    """How often something happens during training."""

    units = {**_STEPS, **_TOKENS, **_EPOCHS}
    examples = "100 steps or 1 epoch or 1M tokens"


class Batch(Quantity):
    """How much is learned from at once: rows or tokens."""

    units = {**_unit("rows", "row"), **_TOKENS}
    plain = "rows"
    examples = "16 rows or 8k tokens"


class Length(Quantity):
    """A length in tokens."""

    units = _TOKENS
    plain = "tokens"
    examples = "512 tokens"


class Share(Quantity):
    """A part of a whole, as 0.1 or 10%."""

    units = {"": ("", "1"), "%": ("", "0.01")}
    plain = ""
    examples = "0.1 or 10%"
    positive = False

    @classmethod
    def parse(cls, written: Any) -> Self:
        share = super().parse(written)
        if share.value > 1:
            raise ValueError(f"{written!r} is more than the whole; write {cls.examples}")
        return share

    def __str__(self) -> str:
        # In decimal: 0.29 is 29%, and not 28.999999999999996%.
        share = (Decimal(repr(self.value)) * 100).normalize()
        return f"{share:f}%" if share == 0 or share > Decimal("1e-6") else f"{share}%"


class Bound(Quantity):
    """What a metric is held against: a plain number, a share, a time, a size or a price."""

    units = {
        "": ("", "1"),
        "%": ("", "0.01"),
        **_unit("ms"),
        **_unit("ms", "s", "second", "seconds", factor="1000"),
        **_unit("MB"),
        **_unit("MB", "GB", factor="1000"),
        **_unit("tokens/s"),
        **_MONEY,
    }
    plain = ""
    examples = "0.9 or 90% or 300 ms or 8 GB"
    positive, signed = False, True
