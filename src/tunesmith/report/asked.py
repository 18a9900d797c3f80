"""What `evaluation/arms.json` holds, how each arm was asked and what it found, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from tunesmith.report.format import count, counted, excerpt, figure, percent

TOLD = {
    "examples_a_row": "examples shown before each row",
    "left_out_for_room": "examples left out for want of room",
    "features": "words and pairs of words",
    "inverse_regularisation": "inverse regularisation",
}
"""What arms note -> its name for readers."""
PROMPT = 300
"""Characters of a prompt that are shown."""


@dataclass(frozen=True)
class Tried:
    """A variant that an arm tried on validation rows."""

    name: str
    system: str
    temperature: float
    value: float | None
    interval: tuple[float | None, float | None] | None


@dataclass(frozen=True)
class Asked:
    """An arm: its settings, and what it noted."""

    arm: dict[str, Any]
    found: dict[str, Any] = field(default_factory=dict)

    def variants(self) -> list[Tried]:
        """The variants that were tried; none where there was no choice."""
        return _TRIED.validate_python(self.found.get("variants", []))

    @property
    def chosen(self) -> int:
        """Which of the variants was reported."""
        return int(self.found.get("chosen", 0))

    def facts(self) -> list[tuple[str, str]]:
        """(name, value) of what a reader needs to judge the arm's figures."""
        return [*self._settings(), *self._choice(), *self._notes()]

    def _settings(self) -> Iterator[tuple[str, str]]:
        if (model := self.arm.get("model")) not in (None, "base"):
            yield "asked", str(model)

    def _choice(self) -> Iterator[tuple[str, str]]:
        tried = self.variants()
        if not tried:
            return
        best = tried[self.chosen]
        yield (
            f"best of {count(len(tried))} ways to ask",
            f"{said_variant(best)}; {figure(best.value)} by {self.found.get('metric', '')} on"
            f" {counted(int(self.found.get('validation_rows', 0)), 'validation row')}",
        )

    def _notes(self) -> Iterator[tuple[str, str]]:
        notes = {name: value for name, value in self.found.items() if name not in _OF_VARIANTS}
        rows = notes.pop("rows", None)
        if (named := notes.pop("named_an_answer", None)) is not None:
            share = f" ({percent(named / rows)})" if rows else ""
            yield "named an answer", f"in {count(named)} of {counted(rows or 0, 'row')}{share}"
        elif rows is not None:
            yield "learned from", counted(rows, "row")
        for name, value in notes.items():
            if name != "left_out_for_room" or value:
                shown = f"{value:,}" if isinstance(value, (int, float)) else excerpt(str(value), PROMPT)
                yield TOLD.get(name, name.replace("_", " ")), shown


_OF_VARIANTS = frozenset({"variants", "chosen", "metric", "validation_rows"})
_TRIED = TypeAdapter(list[Tried])
_ADAPTER = TypeAdapter(dict[str, Asked])


def read_asked(said: Any) -> dict[str, Asked]:
    """Arm -> how it was asked.

    Raises:
        ValueError: the file says something else.
    """
    found = _ADAPTER.validate_python(said)
    for asked in found.values():
        if (tried := asked.variants()) and not 0 <= asked.chosen < len(tried):
            raise ValueError(f"no variant {asked.chosen} of {len(tried)}")
        asked.facts()
    return found


def said_variant(tried: Tried) -> str:
    """A variant in words."""
    told = [excerpt(" ".join(tried.name.split()), PROMPT)]
    if tried.system:
        told.append(f"system “{excerpt(' '.join(tried.system.split()), PROMPT)}”")
    if tried.temperature:
        told.append(f"temperature {tried.temperature:g}")
    return ", ".join(told)
