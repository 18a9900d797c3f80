"""How many tokens are best computed at once: as few as are as fast as any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NEARLY = 0.95
"""The share of the highest speed that counts as much: less memory is worth the rest."""


@dataclass(frozen=True)
class Timed:
    """One size that was tried."""

    size: int
    """Rows or tokens computed at once, in the unit of the batch."""
    tokens: int
    seconds: float
    fits: bool = True
    """Whether memory held it."""

    @property
    def speed(self) -> float:
        """Tokens a second, forward and backward."""
        return self.tokens / self.seconds if self.fits and self.seconds > 0 else 0.0


def plateau(tried: Sequence[Timed]) -> Timed | None:
    """The smallest that is nearly as fast as the fastest; None where none fits."""
    fitting = [each for each in tried if each.fits]
    fastest = max((each.speed for each in fitting), default=0.0)
    return next((each for each in sorted(fitting, key=lambda each: each.size) if each.speed >= NEARLY * fastest), None)
