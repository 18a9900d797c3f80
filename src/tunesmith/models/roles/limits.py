"""How long rows may be that a saved model was trained on."""

from __future__ import annotations

from pathlib import Path

from tunesmith.models.references import locate
from tunesmith.models.save import read_card


def longest_row(reference: str, workspace: Path, context: int) -> int:
    """The `max_length` a run was trained with, in tokens; the whole context for other models."""
    said = str(read_card(locate(reference, workspace=workspace).folder).get("facts", {}).get("max_length", ""))
    tokens = said.partition(" ")[0]
    return min(int(tokens), context) if tokens.isdecimal() else context
