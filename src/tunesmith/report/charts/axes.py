"""From numbers to places on a drawing, and the ticks between."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tunesmith.report.format import MINUS, short


@dataclass(frozen=True)
class Scale:
    """Maps `low..high` of the data to `start..end` of the drawing, evenly or by logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 2)

    def ticks(self, most: int = 5) -> list[float]:
        """Round numbers inside the scale, at most about `most` of them."""
        if self.log:
            return _decades(self.low, self.high, most)
        return round_numbers(self.low, self.high, most)


@dataclass(frozen=True)
class Axis:
    """What a direction of a drawing stands for: a stretch of numbers, or names at even distances.

    Args:
        name: what is drawn along it.
        low: what its start stands for.
        high: what its end stands for.
        log: numbers lie by their logarithm.
        names: what stands at 0, 1, 2, ...; empty for numbers.
    """

    name: str
    low: float
    high: float
    log: bool = False
    names: tuple[str, ...] = ()

    @classmethod
    def of_names(cls, name: str, names: Sequence[str]) -> Axis:
        """Names at even distances, half a distance from either end."""
        return cls(name, -0.5, len(names) - 0.5, names=tuple(names))

    def scale(self, start: float, end: float) -> Scale:
        """Where its values lie on a drawing."""
        return Scale(self.low, self.high, start, end, log=self.log)

    def ticks(self, most: int = 5) -> list[tuple[float, str]]:
        """(value, text) of its marks."""
        if self.names:
            return [(float(place), name) for place, name in enumerate(self.names)]
        values = Scale(self.low, self.high, 0, 1, log=self.log).ticks(most)
        if self.log:
            return [(value, f"{value:.3g}".replace("e-0", "e-").replace("-", MINUS)) for value in values]
        return list(zip(values, labels(values), strict=True))


def round_numbers(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between `low` and `high`, about `most` of them."""
    if not high > low:
        return [low]
    rough = (high - low) / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.75)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _decades(low: float, high: float, most: int) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    if last - first < 1:
        return [tick for tick in round_numbers(low, high, most) if tick > 0]
    stride = max(1, math.ceil((last - first + 1) / most))
    return [10.0**power for power in range(first, last + 1, stride)]


def padded(values: Sequence[float], share: float = 0.06) -> tuple[float, float]:
    """The range of the finite values with a margin; never empty."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    margin = (high - low) * share or abs(high) * 0.1 or 0.5
    return low - margin, high + margin


def labels(ticks: Sequence[float]) -> list[str]:
    """The texts of a row of ticks: all with the same number of decimals, or all as powers of ten."""
    largest = max((abs(tick) for tick in ticks), default=0.0)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else largest
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    return [_label(tick, decimals, tiny=0 < largest < 0.01) for tick in ticks]


def _label(value: float, decimals: int, *, tiny: bool) -> str:
    size = abs(value)
    if size == 0:
        return "0"
    if tiny:
        mantissa, _, power = f"{size:.1e}".partition("e")
        text = f"{mantissa.removesuffix('.0')}e{MINUS}{abs(int(power))}"
    else:
        text = short(size) if size >= 10_000 else f"{size:,.{decimals}f}"
    return (MINUS if value < 0 else "") + text


def svg(width: float, height: float, body: Markup, *, title: str, kind: str = "chart") -> Markup:
    """A drawing with its text for those who do not see it."""
    return Markup(
        '<svg class="{}" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}" focusable="false">{}</svg>'
    ).format(kind, width, height, title, body)
