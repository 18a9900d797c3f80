"""What is counted of examples: tokens by role, what is cut, whether answers stop."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence

import numpy as np

from tunesmith.data.encode.example import ROLES, Example

_ASSISTANT = ROLES.index("assistant")


class TokenSums:
    """What is counted of a split's examples, one after the other."""

    def __init__(self, stop_ids: Sequence[int], bos_id: int | None) -> None:
        self._stop_ids, self._bos_id = stop_ids, bos_id
        self._totals = np.zeros((len(ROLES), 2), dtype=np.int64)
        self.truncated = Counter(rows=0, tokens=0)
        self.bent, self.stopped = 0, 0
        self.begins: Counter[int] = Counter()
        self.lengths, self.answers = array("q"), array("q")

    def add(self, example: Example) -> None:
        """Counts an example."""
        self._totals[:, 0] += np.bincount(example.roles, minlength=len(ROLES))
        self.truncated["rows"] += example.cut > 0
        self.truncated["tokens"] += example.cut
        self.bent += example.bent
        self.lengths.append(len(example.ids))
        self.begins[_leading(example, self._bos_id)] += 1
        ends: list[int] = []
        lengths: list[int] = []
        if example.answer_ids is not None:
            self._totals[_ASSISTANT] += len(example.answer_ids)
            ends, lengths = [int(example.answer_ids[-1])], [len(example.answer_ids)]
        elif example.trained.any():
            self._totals[:, 1] += np.bincount(example.roles[example.trained], minlength=len(ROLES))
            borders = np.flatnonzero(np.diff(example.trained.astype(np.int8), prepend=0, append=0))
            ends = example.ids[borders[1::2] - 1].tolist()
            lengths = (borders[1::2] - borders[::2]).tolist()
        self.stopped += sum(end in self._stop_ids for end in ends)
        self.answers.extend(lengths)

    def by_role(self) -> dict[str, dict[str, int]]:
        """role -> total and trained tokens, of those that occur."""
        return {
            role: {"total": int(total), "trained": int(trained)}
            for role, (total, trained) in zip(ROLES, self._totals, strict=True)
            if total
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
