"""Exact match: the share of rows whose answer is a right one.

What counts as equal is the setting `compare`:

    words   as SQuAD 1.1 does: case, punctuation, the words a, an, the, and extra blanks are ignored
    json    equal JSON values, whatever their key order and blanks; texts that are not JSON, as `text`
    text    equal characters, blanks around them aside
    auto    `json` where the right answer is a JSON object or list, else `words`; code is compared as
            `text` and extractions as `json` where the goal names that task
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from tunesmith.metrics import Need, Proportion
from tunesmith.records import Prediction

Way = Literal["auto", "words", "json", "text"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class ExactMatch(Proportion):
    """Share of rows whose answer equals a right one."""

    needs: ClassVar[frozenset[Need]] = frozenset({"text"})
    compare: Way = "auto"
    """What is equal: the same `words`, `json` value or `text`; `auto` goes by the right answer."""

    def for_task(self, task: str | None) -> ExactMatch:
        """Itself, with `auto` settled where the task says what answers are."""
        ways: dict[str | None, Way] = {"code": "text", "extract": "json"}
        return self if self.compare != "auto" or task not in ways else ExactMatch(compare=ways[task])

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        return [
            float(any(_equal(row.output, reference, self.compare) for reference in row.references))
            for row in predictions
        ]


def normalise(text: str) -> str:
    """SQuAD 1.1's normal form: lower case, no punctuation, no English articles, single blanks."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def _equal(answer: str, reference: str, way: Way) -> bool:
    if way == "auto":
        way = "json" if _canonical(reference)[:1] in ("{", "[") else "words"
    if way == "words":
        return normalise(answer) == normalise(reference)
    if way == "json" and (wanted := _canonical(reference)):
        return _canonical(answer) == wanted
    return answer.strip() == reference.strip()


def _canonical(text: str) -> str:
    """One spelling for equal JSON values; empty when `text` is not JSON."""
    try:
        return json.dumps(json.loads(text, parse_float=_number), sort_keys=True)
    except (ValueError, RecursionError):
        return ""


def _number(digits: str) -> Any:
    value = float(digits)
    return int(value) if value.is_integer() else value
