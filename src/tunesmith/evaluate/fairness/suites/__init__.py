"""Stereotype suites as they are published, read into items that a model with a language head can be asked.

    CrowS-Pairs   pairs of sentences, CSV or JSON lines with `sent_more` and `sent_less` (arXiv 2010.00133)
    StereoSet     a JSON file with `data: {intrasentence, intersentence}` (arXiv 2004.09456)
    WinoBias      text files `pro_stereotyped_*` and `anti_stereotyped_*`, sentence by sentence (arXiv 1804.06876)
    BBQ           JSON lines with `context`, `question` and `ans0` to `ans2` (arXiv 2110.08193)

What a suite says holds for its sentences; many of them are known to be flawed (Blodgett et al., ACL 2021).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.errors import DataError


@dataclass(frozen=True)
class SentencePair:
    """Two sentences, of which one says what a stereotype does."""

    id: str
    bias: str
    """Which kind of bias."""
    stereotype: str
    other: str
    context: str = ""
    """What stands before both."""
    unrelated: str | None = None
    """A sentence that makes no sense here."""
    per_token: bool = False
    """Whether sentences are compared by the mean of their tokens' likelihoods, and not by their sum."""


@dataclass(frozen=True)
class Question:
    """A question with three answers: two people, and that nobody can know."""

    id: str
    bias: str
    context: str
    question: str
    answers: tuple[str, ...]
    right: int
    unknown: int
    stereotype: int | None
    """The answer that follows the stereotype; None where the item does not tell."""
    ambiguous: bool
    """Whether the context leaves the answer open."""


Item = SentencePair | Question


@dataclass
class Suite:
    """The items of one suite."""

    name: str
    path: str
    items: list[Item] = field(default_factory=list)
    left_out: int = 0
    """Items that tell too little to be asked."""


def read_suites(path: Path, shown: str) -> list[Suite]:
    """The suites in a file, or in the files of a folder.

    Args:
        path: to read.
        shown: how the spec names it.

    Raises:
        DataError: there is nothing there, or no file of it is a suite.
    """
    fix = "name a file or folder of CrowS-Pairs, StereoSet, WinoBias or BBQ as it is published"
    if not path.exists():
        raise DataError("no such file or folder", where=shown, fix=fix)
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    found: dict[str, Suite] = {}
    for file in files:
        for name, item in _items(file):
            suite = found.setdefault(name, Suite(name, shown))
            if item is None:
                suite.left_out += 1
            else:
                suite.items.append(item)
    if not any(suite.items for suite in found.values()):
        raise DataError("this is no stereotype suite", where=shown, fix=fix)
    return list(found.values())


def _items(file: Path) -> Iterator[tuple[str, Item | None]]:
    """(suite, item) of a file; None for items that tell too little; nothing of files that are none."""
    from tunesmith.evaluate.fairness.suites import bbq, crows_pairs, stereoset, winobias

    if winobias.half(file) is not None:
        yield from (("winobias", item) for item in winobias.items(file))
        return
    rows = _rows(file)
    for reader, name in ((crows_pairs, "crows_pairs"), (bbq, "bbq"), (stereoset, "stereoset")):
        if rows and reader.is_row(rows[0]):
            for number, row in enumerate(rows):
                try:
                    items = reader.items(row, number)
                except (KeyError, TypeError, ValueError, IndexError, AttributeError):
                    yield name, None
                else:
                    yield from ((name, item) for item in items)
            return


def _rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a CSV, JSON or JSON lines file; none of any other."""
    try:
        text = file.read_text("utf-8-sig")
        if file.suffix == ".csv":
            return [dict(row) for row in csv.DictReader(io.StringIO(text))]
        if file.suffix == ".json" and (read := json.loads(text)):
            return read if isinstance(read, list) else [read]
        if file.suffix in (".jsonl", ".json"):
            return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise DataError(f"it cannot be read: {error}", where=str(file), fix="mend the file") from error
    return []
