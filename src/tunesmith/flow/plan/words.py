"""Figures of a plan, in words."""

from __future__ import annotations


def gigabytes(size: float) -> str:
    """Bytes as GB."""
    return f"{size / 1e9:.2f} GB"


def duration(seconds: float) -> str:
    """A time as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def dollars(amount: float) -> str:
    """USD, to the cent, or to what is not nothing."""
    return f"${amount:,.2f}" if amount >= 0.01 else f"${amount:.4f}"
