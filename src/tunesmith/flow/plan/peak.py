"""The most that this process holds from now on, by the system's own count."""

from __future__ import annotations

from pathlib import Path

from tunesmith.flow.environment import on_gpu
from tunesmith.train.weights.memory import return_free_memory

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """Begins when it is made: on a GPU torch's count, on Linux the kernel's high-water mark (VmHWM), begun anew."""

    def __init__(self) -> None:
        self._able = True
        if on_gpu():
            import torch

            torch.cuda.reset_peak_memory_stats()
            return
        return_free_memory()
        try:
            _CLEAR.write_text("5")  # proc(5): resets the peak resident set
        except OSError:
            self._able = False

    def read(self) -> int | None:
        """Bytes; None where the system does not say."""
        if on_gpu():
            import torch

            return int(torch.cuda.max_memory_reserved())
        if not self._able:
            return None
        found = [line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM")]
        return int(found[0].split()[1]) * 1024 if found else None
