"""Quantities: a number with its unit is one type, written as people write it.

    3 epochs   200 steps   2M tokens   30 min   5%   16 rows   8k tokens   300 ms   8 GB

A quantity is read from text (or, where one unit is obvious, from a plain number), compared with
others of its unit, and written back as text.
"""

from __future__ import annotations

import re
from functools import total_ordering
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

_FORM = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([kKMG]?)\s*([A-Za-z%]*)\s*")
_MULTIPLES = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}


@total_ordering
class Quantity:
    """A number with a unit.

    Args:
        value: the number, in `unit`.
        unit: one of the class's `units`.
    """

    units: ClassVar[dict[str, tuple[str, float]]] = {}
    """What may be written -> (the unit kept, how many of it that is)."""
    plain: ClassVar[str | None] = None
    """The unit a plain number has; None where a unit must be written."""
    examples: ClassVar[str] = ""
    """What to write, for messages and help."""
    positive: ClassVar[bool] = True
    """Whether zero is refused (a negative number always is)."""

    __slots__ = ("unit", "value")

    def __init__(self, value: float, unit: str) -> None:
        self.value = value
        self.unit = unit

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
        # `2M tokens`: the M belongs to the number; `2 MB`: to the unit. Units win.
        match = _FORM.fullmatch(str(written))
        if not match:
            raise ValueError(f"{written!r} is not a quantity; write {cls.examples}")
        number, multiple, unit = match.groups()
        if multiple and (multiple + unit) in cls.units:
            multiple, unit = "", multiple + unit
        if not unit and not multiple and cls.plain is not None:
            unit = cls.plain
        if unit not in cls.units:
            said = f"{unit!r} is not a unit of it" if unit else "its unit is missing"
            raise ValueError(f"{written!r}: {said}; write {cls.examples}")
        kept, factor = cls.units[unit]
        value = float(number) * _MULTIPLES[multiple] * factor
        if value < 0 or (cls.positive and value == 0) or value in (float("inf"),):
            raise ValueError(f"{written!r} must be {'above' if cls.positive else 'at least'} 0; write {cls.examples}")
        return cls(value, kept)

    def __str__(self) -> str:
        number = f"{self.value:g}" if self.value < 1e15 and self.value != int(self.value) else f"{self.value:.0f}"
        name = self.unit[:-1] if self.unit.endswith("s") and self.value == 1 and len(self.unit) > 2 else self.unit
        return f"{number} {name}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and (self.value, self.unit) == (other.value, other.unit)

    def __hash__(self) -> int:
        return hash((self.value, self.unit))

    def __lt__(self, other: Quantity) -> bool:
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


def _unit(kept: str, *also: str, factor: float = 1.0) -> dict[str, tuple[str, float]]:
    return {written: (kept, factor) for written in (kept, *also)}


_TIME = {
    **_unit("seconds", "second", "sec", "s"),
    **{name: ("seconds", 60.0) for name in ("min", "mins", "minute", "minutes")},
    **{name: ("seconds", 3600.0) for name in ("h", "hour", "hours")},
}


class Duration(Quantity):
    """How long to train: epochs, optimizer steps, tokens seen, or time."""

    units = {**_unit("epochs", "epoch"), **_unit("steps", "step"), **_unit("tokens", "token"), **_TIME}
    examples = "3 epochs or 200 steps or 2M tokens or 30 min"


class Stretch(Quantity):
    """A stretch of training: a share of it, steps, tokens or epochs."""

    units = {**_unit("%"), **_unit("steps", "step"), **_unit("tokens", "token"), **_unit("epochs", "epoch")}
    examples = "5% or 100 steps or 1M tokens"
    positive = False


class Every(Quantity):
    """How often something happens during training."""

    units = {**_unit("steps", "step"), **_unit("tokens", "token"), **_unit("epochs", "epoch")}
    examples = "100 steps or 1 epoch or 1M tokens"


class Batch(Quantity):
    """How much is learned from at once: rows or tokens."""

    units = {**_unit("rows", "row"), **_unit("tokens", "token")}
    plain = "rows"
    examples = "16 rows or 8k tokens"


class Length(Quantity):
    """A length in tokens."""

    units = _unit("tokens", "token")
    plain = "tokens"
    examples = "512 tokens"


class Share(Quantity):
    """A part of a whole, as 0.1 or 10%."""

    units = {"%": ("", 0.01), "": ("", 1.0)}
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
        return f"{self.value * 100:g}%"


class Bound(Quantity):
    """What a metric is held against: a plain number, a share, a time or a size."""

    units = {
        "": ("", 1.0),
        "%": ("", 0.01),
        **_unit("ms"),
        **{name: ("ms", 1000.0) for name in ("s", "seconds", "second")},
        **_unit("MB"),
        **_unit("MB", "GB", factor=1000.0),
        "MB": ("MB", 1.0),
        **_unit("tokens/s"),
    }
    plain = ""
    examples = "0.9 or 90% or 300 ms or 8 GB"
    positive = False

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit}".strip()
