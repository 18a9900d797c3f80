"""JSON answers as fields: what the metrics of structure compare.

A field is a value that holds no other, known by its path: `customer.name`. The order of keys does not count. Items of
a list are fields of one path, so that their order does not count either and each right item is a right field; where
order matters, `ordered` puts their numbers into the path. An empty object or list is a field of its own. Numbers are
equal by value, 1 and 1.0; true is no number.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from tunesmith.metrics import Floats, Metric, Need
from tunesmith.metrics.exact_match import normalise
from tunesmith.records import Prediction

Compare = Literal["exact", "words"]
Field = tuple[str, str]
"""(path, the value's one spelling)."""

NOTHING = object()
"""No JSON."""
_FENCE = re.compile(r"```(?:json)?\s*\n?(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)


def parse(text: str, fenced: bool) -> Any:
    """The value a text spells, or `NOTHING`; as RFC 8259 has it, so that NaN is none.

    Args:
        fenced: whether the first block between fences (three backticks) stands for the text, where it has one.
    """
    if fenced and (block := _FENCE.search(text)):
        text = block[1]
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return NOTHING


def fields(value: Any, compare: Compare = "exact", ordered: bool = False) -> Counter[Field]:
    """How often each field stands in a value; none in `NOTHING`."""
    return Counter() if value is NOTHING else Counter(_fields(value, "", compare, ordered))


def _fields(value: Any, path: str, compare: Compare, ordered: bool) -> Iterator[Field]:
    if isinstance(value, dict) and value:
        for key, held in value.items():
            # Keys may hold dots and brackets themselves.
            yield from _fields(held, f"{path}.{json.dumps(key)}", compare, ordered)
    elif isinstance(value, list) and value:
        for number, held in enumerate(value):
            yield from _fields(held, f"{path}[{number if ordered else ''}]", compare, ordered)
    else:
        yield path, _spelled(value, compare)


def _spelled(value: Any, compare: Compare) -> str:
    if isinstance(value, str):
        return json.dumps(normalise(value) if compare == "words" else value.strip())
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


class OfFields(Metric):
    """A metric of how many fields of JSON answers are right, over the fields of all rows."""

    needs: ClassVar[frozenset[Need]] = frozenset({"text"})
    compare: Compare = "exact"
    """When texts are equal: `exact`, blanks around them aside, or in the same `words` (case, punctuation and articles
    aside)."""
    ordered: bool = False
    """Whether the order of lists counts."""
    fenced: bool = False
    """Whether JSON between fences (three backticks) is taken out of them first."""

    def statistics(self, predictions: Sequence[Prediction]) -> Floats:
        # [N, 3]: fields that are right, given, wanted; of the right answer that most is right of.
        counts = []
        for row in predictions:
            given = self._of(row.output)
            wanted = [wanted for reference in row.references if (wanted := self._of(reference))]
            found = [((given & right).total(), given.total(), right.total()) for right in wanted]
            counts.append(max(found, key=lambda count: 2 * count[0] / (count[1] + count[2]), default=(0, 0, 0)))
        return np.array(counts, dtype=np.float64).reshape(-1, 3)

    def _of(self, text: str) -> Counter[Field]:
        return fields(parse(text, self.fenced), self.compare, self.ordered)
