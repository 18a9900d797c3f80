"""What a result depends on beside spec and data: the machine and the packages."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("tunesmith", "torch", "transformers", "peft", "tokenizers", "safetensors", "numpy", "pyarrow")
"""Packages whose version can change a number."""


def threads() -> int:
    """How many threads compute: `OMP_NUM_THREADS`, or every core this process may use.

    Sums are rounded in an order that depends on it, so it is part of what names a training stage.
    """
    written = os.environ.get("OMP_NUM_THREADS", "")
    return int(written) if written.isdigit() and int(written) > 0 else len(os.sched_getaffinity(0))


def use_threads() -> None:
    """Sets torch to `threads()`, so that a run computes alike wherever it is started from."""
    import torch

    torch.set_num_threads(threads())


def versions() -> dict[str, str]:
    """The version of each package that can change a number."""
    return {name: version(name) for name in PACKAGES}


def environment() -> dict[str, Any]:
    """Machine and packages, for `environment.json` and the report."""
    import psutil
    import torch

    cuda = torch.cuda.is_available()
    return {
        "tunesmith": version("tunesmith"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "bf16": fast_bf16(),
        "packages": versions(),
    }


def cpu_name() -> str:
    """The processor's own name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def fast_bf16() -> bool:
    """Whether this machine multiplies bf16 matrices faster than fp32 ones."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    flags = torch.cpu.get_capabilities()
    return bool(flags.get("avx512_bf16") or flags.get("amx_tile"))


class Meter:
    """Counts what is taken of the machine, from when it is made."""

    def __init__(self) -> None:
        self._began, self._busy = time.monotonic(), _busy_seconds()

    def read(self) -> dict[str, float]:
        """What was taken so far: seconds, those in which a core was busy, the most memory; on a GPU its rated watts."""
        watts = _gpu_watts() if on_gpu() else None
        return {
            "seconds": round(time.monotonic() - self._began, 1),
            "cpu_seconds": round(_busy_seconds() - self._busy, 1),
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
            **({} if watts is None else {"gpu_watts": watts}),
        }


def _busy_seconds() -> float:
    """Processor time of this process and of those it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _gpu_watts() -> float | None:
    """The power that the GPUs in use may draw, as NVIDIA's own tool says; None where it says nothing."""
    import torch

    asked = ["nvidia-smi", "--query-gpu=power.limit", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout.split()
        limits = [float(each) for each in said]
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return sum(limits) / len(limits) * torch.cuda.device_count() if limits else None


def memory_mb() -> float:
    """What this process holds now, in MB: of the GPU's memory where it computes on one, else of the machine's."""
    import psutil
    import torch

    if torch.cuda.is_available() and (held := torch.cuda.memory_allocated()):
        return held / 1e6
    return float(psutil.Process().memory_info().rss) / 1e6


def free_memory() -> int:
    """Bytes a training can still take: of the GPU where there is one."""
    import psutil
    import torch

    return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else int(psutil.virtual_memory().available)


def on_gpu() -> bool:
    """Whether trainings compute on a GPU, whose memory is then what `free_memory` counts."""
    import torch

    return bool(torch.cuda.is_available())


def spare_memory(taken: int) -> int:
    """Bytes of the machine's own memory that are left beside a training that takes so many of `free_memory`."""
    import psutil

    left = int(psutil.virtual_memory().available)
    return left if on_gpu() else left - taken
