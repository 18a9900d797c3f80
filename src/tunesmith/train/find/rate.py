"""Which learning rate a few very short trainings speak for.

Each begins from the same weights, learns the same rows in the same order, and ends like a whole training, its rate
falling to nothing; then all are asked the same rows that none has learned, and their losses compared pair by pair. The
losses while they learn would not do: at so few rows a step they jump by what the rows are.

Short trainings favour high rates: the best rate falls with the length of a training (Bjorck et al. 2024, arXiv
2409.19913; the short-horizon bias of Wu et al. 2018 is its kin). So a rate above the derived one is taken at half, and
only where that is surely better too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""The rates that are tried, as multiples of the derived one."""
FEWEST = 10
"""Steps of a short training below which it tells nothing."""
SURE = 3.0
"""Standard errors by which a rate must beat the derived one."""


@dataclass(frozen=True)
class Probe:
    """One very short training."""

    lr: float
    losses: tuple[float, ...]
    """Of each step; fewer than asked for where it diverged."""
    held: tuple[float, ...]
    """Of each group of rows that were asked at its end; none where it diverged."""
    tokens: int

    @property
    def diverged(self) -> bool:
        """Whether it came to no end, or to one far above its start."""
        finite = bool(self.held) and all(map(math.isfinite, (*self.losses, *self.held)))
        return not finite or fmean(self.held) > 1.5 * max(self.losses[0], 1e-9)


@dataclass(frozen=True)
class FoundRate:
    """The rate to train with, and why."""

    lr: float
    changed: bool
    why: str


def decide(probes: Sequence[Probe], derived: float, steps: int) -> FoundRate:
    """The rate that the probes speak for; the derived one unless another is surely better.

    Args:
        probes: one a rate, the derived one among them.
        derived: the rate by rule.
        steps: of each probe.
    """
    late = {probe.lr: probe.held for probe in probes if not probe.diverged}
    own = late.get(derived)
    gone = sorted(probe.lr for probe in probes if probe.lr not in late)
    if own is None:
        calm = [lr for lr in sorted(late) if lr < derived]
        if not calm:
            return FoundRate(derived, False, f"every rate tried diverged within {steps} steps, so none can be told")
        best = min(calm, key=lambda lr: fmean(late[lr]))
        return FoundRate(
            best, True, f"{derived:g} diverged within {steps} steps; {best:g} has the lowest loss below it"
        )
    gains = {lr: _gain(own, losses) for lr, losses in late.items() if lr != derived}
    better = [lr for lr, (gain, error) in gains.items() if gain > SURE * error]
    diverged = f"; {', '.join(f'{lr:g}' for lr in gone)} diverged" if gone else ""
    if not better:
        return FoundRate(derived, False, f"no rate tried is surely better in {steps} steps{diverged}")
    best = min(better, key=lambda lr: fmean(late[lr]))
    gain, error = gains[best]
    told = f"in {steps} steps {best:g} has a loss {gain:.3g} (± {error:.1g}) below that of {derived:g}"
    if best < derived:
        return FoundRate(best, True, f"{told}{diverged}")
    half = next((lr for lr in sorted(late) if math.isclose(lr, best / 2)), derived)
    if half == derived or half not in better:
        return FoundRate(derived, False, f"{told}, and half of it, for short trainings favour high rates, is no gain")
    return FoundRate(half, True, f"{told}; half of it is taken, for short trainings favour high rates{diverged}")


def _gain(own: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """How far a rate's losses lie below the derived one's, and the standard error of that, group by group."""
    differences = [mine - theirs for mine, theirs in zip(own, other, strict=True)]
    return fmean(differences), stdev(differences) / math.sqrt(len(differences))
