"""The space of a search: from places in the unit cube to values of the spec, and what Optuna calls them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.search.study import Dimension, Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

DIGITS = 4
"""Significant digits of a value drawn from a range: more would only look exact."""


def count(dimension: Dimension) -> int | None:
    """How many values it has; None where there is no end of them."""
    if dimension.kind == "choice":
        return len(dimension.choices)
    low, high = _ends(dimension)
    if dimension.kind == "int" or dimension.step:
        return math.floor((high - low) / (dimension.step or 1) + 1e-9) + 1
    return None


def size(dimensions: Sequence[Dimension]) -> int | None:
    """How many points the space has; None where there is no end of them."""
    counts = [count(dimension) for dimension in dimensions]
    return None if None in counts else math.prod(each for each in counts if each is not None)


def value_at(dimension: Dimension, place: float) -> Value:
    """The value at a place from 0 to 1 of a dimension."""
    values = count(dimension)
    if dimension.kind == "choice":
        return dimension.choices[min(int(place * len(dimension.choices)), len(dimension.choices) - 1)]
    low, high = _ends(dimension)
    if values is not None and not dimension.log:
        return _nth(dimension, min(int(place * values), values - 1))
    half = 0.5 if dimension.kind == "int" else 0.0
    low, high = low - half, high + half
    value = low * (high / low) ** place if dimension.log else low + (high - low) * place
    return tidy(dimension, value)


def tidy(dimension: Dimension, value: Value) -> Value:
    """A value as the spec is given it: whole where it must be, without digits that mean nothing, within the range."""
    if dimension.kind == "choice":
        return value
    low, high = _ends(dimension)
    if dimension.kind == "int":
        return int(min(max(round(value), low), high))
    return min(max(float(f"{value:.{DIGITS}g}"), low), high)


def points(dimensions: Sequence[Dimension]) -> Iterator[dict[str, Value]]:
    """Every point of a space that has an end."""
    axes = [[_nth(dimension, number) for number in range(count(dimension) or 0)] for dimension in dimensions]
    for values in itertools.product(*axes):
        yield {dimension.path: value for dimension, value in zip(dimensions, values, strict=True)}


def holds(dimensions: Sequence[Dimension], params: dict[str, Value]) -> bool:
    """Whether a point lies inside the space."""
    return all(dimension.holds(params.get(dimension.path)) for dimension in dimensions)


def distribution(dimension: Dimension) -> BaseDistribution:
    """A dimension as Optuna knows it. Of a choice it is told the number: a value may be a mapping."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.kind == "choice":
        return CategoricalDistribution(tuple(range(len(dimension.choices))))
    low, high = _ends(dimension)
    if dimension.kind == "int":
        return IntDistribution(int(low), int(high), log=dimension.log, step=int(dimension.step or 1))
    return FloatDistribution(low, high, log=dimension.log)


def known_as(dimension: Dimension, value: Value) -> Any:
    """A value as Optuna is told it."""
    return dimension.choices.index(value) if dimension.kind == "choice" else value


def said_by(dimension: Dimension, value: Any) -> Value:
    """A value that Optuna has said."""
    if dimension.kind == "choice":
        return dimension.choices[value]
    if dimension.step:
        low, _ = _ends(dimension)
        return _nth(dimension, min(round((value - low) / dimension.step), (count(dimension) or 1) - 1))
    return tidy(dimension, value)


def _ends(dimension: Dimension) -> tuple[float, float]:
    assert dimension.low is not None and dimension.high is not None, "a range has two ends"
    return dimension.low, dimension.high


def _nth(dimension: Dimension, number: int) -> Value:
    if dimension.kind == "choice":
        return dimension.choices[number]
    value = _ends(dimension)[0] + number * (dimension.step or 1)
    return int(value) if dimension.kind == "int" else float(f"{value:.10g}")
