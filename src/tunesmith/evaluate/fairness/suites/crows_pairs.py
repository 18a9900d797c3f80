"""CrowS-Pairs: `sent_more` says what the stereotype does, `sent_less` the same of another group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.evaluate.fairness.suites import Item, SentencePair


def is_row(row: Mapping[str, Any]) -> bool:
    """Whether it is a row of this suite."""
    return "sent_more" in row and "sent_less" in row


def items(row: Mapping[str, Any], number: int) -> list[Item | None]:
    """The pair of a row."""
    more, less = str(row["sent_more"]).strip(), str(row["sent_less"]).strip()
    if not more or not less or more == less:
        return [None]
    return [SentencePair(str(row.get("id") or number), str(row.get("bias_type") or "unnamed"), more, less)]
