"""What is dear to compute is computed once: a run measures the same rows for the comparison and for the verdict."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_MOST = 200_000
"""Values kept; beyond it the oldest go."""


def remembered(kept: dict[K, V], keys: Sequence[K], compute: Callable[[list[K]], Sequence[V]]) -> list[V]:
    """The value of each key; only those that `kept` lacks are computed, together and each once.

    Args:
        kept: grows by what is computed.
        keys: in any order, repeated or not.
        compute: the values of keys, in their order.
    """
    lacking = [key for key in dict.fromkeys(keys) if key not in kept]
    if lacking:
        kept.update(zip(lacking, compute(lacking), strict=True))
    found = [kept[key] for key in keys]
    for key in list(kept)[: max(0, len(kept) - _MOST)]:
        del kept[key]
    return found
