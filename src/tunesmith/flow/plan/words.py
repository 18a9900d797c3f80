"""Figures of a plan, in words."""

from __future__ import annotations


def gigabytes(size: float) -> str:
    """Bytes as GB."""
    return f"{size / 1e9:.2f} GB"


def dollars(amount: float) -> str:
    """USD, to the cent, or to what is not nothing."""
    return f"${amount:,.2f}" if amount >= 0.01 else f"${amount:.4f}"
