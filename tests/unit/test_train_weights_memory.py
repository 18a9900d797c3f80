"""Memory while a training lasts."""

from __future__ import annotations

import gc

from tunesmith.train.weights.memory import garbage_collected, memory_held


def test_garbage_is_collected_once_before_the_first_steps() -> None:
    def collections() -> int:
        count: int = gc.get_stats()[2]["collections"]
        return count

    garbage_collected.cache_clear()
    gc.disable()  # or it might be collected by itself meanwhile
    try:
        before = collections()
        with memory_held():
            once = collections()
        with memory_held():
            again = collections()
    finally:
        gc.enable()
    assert (once, again) == (before + 1, before + 1)
