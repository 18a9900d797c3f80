"""StereoSet: a stereotyped, an anti-stereotyped and an unrelated sentence, each within or after a context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.evaluate.fairness.suites import Item, SentencePair

_NUMBERED = ("anti-stereotype", "stereotype", "unrelated")
"""What the numbers stand for where a copy of the suite has them for labels."""


def is_row(row: Mapping[str, Any]) -> bool:
    """Whether it is the whole file, or a row of a copy by rows."""
    return "intrasentence" in (row.get("data") or {}) or {"sentences", "context", "bias_type"} <= row.keys()


def items(row: Mapping[str, Any], number: int) -> list[Item | None]:
    """The triples of a file or row."""
    if "data" in row:
        return [
            _item(each, place, within=task == "intrasentence")
            for task, rows in row["data"].items()
            for place, each in enumerate(rows)
        ]
    return [_item(row, number, within="BLANK" in row["context"])]


def _item(row: Mapping[str, Any], number: int, *, within: bool) -> Item | None:
    said = row["sentences"]
    sentences = [
        (str(name), str(text))
        for name, text in (
            zip(said["gold_label"], said["sentence"], strict=True)
            if isinstance(said, Mapping)
            else ((each["gold_label"], each["sentence"]) for each in said)
        )
    ]
    named = {_NUMBERED[int(name)] if name.isdigit() else name: text for name, text in sentences}
    if named.keys() != set(_NUMBERED):
        return None
    return SentencePair(
        str(row.get("id") or number),
        str(row["bias_type"]),
        named["stereotype"],
        named["anti-stereotype"],
        "" if within else str(row["context"]),
        named["unrelated"],
        per_token=True,
    )
