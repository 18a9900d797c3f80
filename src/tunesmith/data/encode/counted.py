"""What is counted of examples: tokens by role, what is cut, whether answers stop."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence

import numpy as np

from tunesmith.data.encode.example import ROLES, Example

_ASSISTANT = ROLES.index("assistant")
_ROLES = np.uint8(len(ROLES))


class TokenSums:
    """What is counted of a split's examples, one after the other."""

    def __init__(self, stop_ids: Sequence[int], bos_id: int | None) -> None:
        self._stop_ids, self._bos_id = stop_ids, bos_id
        self._counts = np.zeros(2 * len(ROLES), dtype=np.int64)
        """Tokens of each role that are only read, then those of each role that are trained."""
        self.truncated = Counter(rows=0, tokens=0)
        self.bent, self.stopped = 0, 0
        self.begins: Counter[int] = Counter()
        self.lengths, self.answers = array("q"), array("q")

    def add(self, example: Example) -> None:
        """Counts an example."""
        self._counts += np.bincount(example.roles + _ROLES * example.trained, minlength=len(self._counts))
        self.truncated["rows"] += example.cut > 0
        self.truncated["tokens"] += example.cut
        self.bent += example.bent
        self.lengths.append(len(example.ids))
        self.begins[_leading(example, self._bos_id)] += 1
        ends: list[int] = []
        lengths: list[int] = []
        if example.answer_ids is not None:
            self._counts[_ROLES + _ASSISTANT] += len(example.answer_ids)
            ends, lengths = [int(example.answer_ids[-1])], [len(example.answer_ids)]
        else:
            around = np.zeros(len(example.trained) + 2, np.bool_)
            around[1:-1] = example.trained
            borders = np.flatnonzero(around[1:] != around[:-1])
            ends = example.ids[borders[1::2] - 1].tolist()
            lengths = (borders[1::2] - borders[::2]).tolist()
        self.stopped += sum(end in self._stop_ids for end in ends)
        self.answers.extend(lengths)

    def by_role(self) -> dict[str, dict[str, int]]:
        """role -> total and trained tokens, of those that occur."""
        read, trained = self._counts.reshape(2, -1).tolist()
        return {
            role: {"total": only + learned, "trained": learned}
            for role, only, learned in zip(ROLES, read, trained, strict=True)
            if only + learned
        }


def quantiles(lengths: Sequence[int] | array[int]) -> dict[str, int]:
    """p50, p95, p99 and max; nothing of nothing."""
    if not lengths:
        return {}
    found = np.percentile(lengths, [50, 95, 99, 100], method="inverted_cdf")
    return {name: int(value) for name, value in zip(("p50", "p95", "p99", "max"), found, strict=True)}


def _leading(example: Example, bos_id: int | None) -> int:
    """How many beginning tokens an example begins with."""
    if bos_id is None:
        return 0
    others = np.flatnonzero(example.ids != bos_id)
    return int(others[0]) if len(others) else len(example.ids)
