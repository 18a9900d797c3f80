"""What asking a model takes: time, of rows asked one at a time, and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tunesmith.records import Prediction, Record

if TYPE_CHECKING:
    import torch

Done = Callable[[int], None]
Ask = Callable[[Sequence[Record], Done], list[Prediction]]
"""Answers records, telling how many are answered."""

_MEMORY = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""What makes Linux forget the most memory a process has had (proc(5))."""


def _spaced(total: int, count: int) -> list[int]:
    """`count` places spread evenly over `total`; all when they are fewer."""
    return sorted({int(place) for place in np.linspace(0, total - 1, min(count, total)).round()}) if total else []


def timed(made: Sequence[Prediction], records: Sequence[Record], ask: Ask, alone: int, after: Done) -> list[Prediction]:
    """The predictions with the time that some of them take when nothing else is asked.

    Args:
        made: of the records, in their order.
        ask: answers records.
        alone: how many, evenly spaced, are asked again one at a time; the first is asked once before, to warm up.
        after: told how many are done.
    """
    found = list(made)
    places = _spaced(len(records), alone)
    if places:
        ask([records[places[0]]], lambda done: None)
    for done, place in enumerate(places, 1):
        started = time.perf_counter()
        said = ask([records[place]], lambda done: None)[0]
        seconds = time.perf_counter() - started
        found[place] = replace(found[place], seconds=seconds, measured={**found[place].measured, **said.measured})
        after(done)
    return found


class Peak:
    """The most memory since it was made: of a GPU where the model lies on one, else of this process.

    Args:
        device: where the model lies.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._known = device, True
        if device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(device)
            return
        try:
            _RESET.write_text(_RESET_PEAK)
        except OSError:  # another system than Linux, or one that does not let it be forgotten
            self._known = False

    def megabytes(self) -> float | None:
        """None where this system does not say."""
        if self._device.type == "cuda":
            import torch

            return float(torch.cuda.max_memory_allocated(self._device)) / 1e6
        if not self._known:
            return None
        lines = _MEMORY.read_text().splitlines()
        return next(float(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))
