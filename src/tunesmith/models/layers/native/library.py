"""The kernels in C, compiled where they run, and the BLAS whose products they share out.

They are compiled once a machine, by its C compiler, for its processor, and kept in the user's cache. They use the
OpenMP threads that torch has started: threads of their own would fight torch's, which wait spinning, for the cores.
Products that are not theirs are those of the OpenBLAS that numpy's wheels bring. Where any of it is missing, torch
computes alone.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import torch

FLAGS = ("-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-fPIC")
SECONDS = 60
"""How long a compiler may take; it takes one or two."""
MOST_THREADS = 64
"""OpenBLAS has room for the callers of its own limit, and ends the program of more."""

NUMBERS, COUNT, SCALAR, FLAG = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_int
ARGUMENTS: dict[str, list[Any]] = {
    "product": [NUMBERS, FLAG, FLAG, *3 * [COUNT], SCALAR, *2 * [NUMBERS, COUNT], SCALAR, NUMBERS, COUNT, FLAG],
    "product_of_few": [*3 * [COUNT], SCALAR, *2 * [NUMBERS, COUNT], SCALAR, NUMBERS, COUNT, NUMBERS, FLAG],
    "sum_of_products": [*3 * [COUNT], NUMBERS, FLAG, NUMBERS, COUNT, FLAG],
    "lora_forward": [*3 * [COUNT], NUMBERS, COUNT, *2 * [NUMBERS], COUNT, NUMBERS, FLAG],
    "lora_backward": [*3 * [COUNT], NUMBERS, COUNT, *5 * [NUMBERS], COUNT, *2 * [NUMBERS], FLAG],
    "gate_forward": [COUNT, COUNT, *2 * [NUMBERS, COUNT], NUMBERS, FLAG],
    "gate_backward": [COUNT, COUNT, *2 * [NUMBERS, COUNT], *3 * [NUMBERS], FLAG],
    "norm_forward": [COUNT, COUNT, SCALAR, *4 * [NUMBERS], FLAG],
    "norm_backward": [COUNT, COUNT, *6 * [NUMBERS], FLAG],
    "rotate": [*3 * [COUNT], *3 * [NUMBERS], FLAG, NUMBERS, FLAG],
    "attention_forward": [*8 * [NUMBERS], FLAG],
    "attention_backward": [*12 * [NUMBERS], FLAG],
}


class Missing(Exception):
    """Why there are no kernels here, in words that go on after "kernels in C are not used: "."""


class Library:
    """The kernels, ready to be called.

    Raises:
        Missing: something they need is not there.
    """

    def __init__(self) -> None:
        openmp, blas = _openmp(), _blas()
        self.sgemm = _product_of(blas)
        # The kernels name OpenMP's functions without saying whose: they shall be torch's.
        ctypes.CDLL(openmp, mode=ctypes.RTLD_GLOBAL)
        try:
            self._kernels = ctypes.CDLL(str(_compiled()))
        except OSError as error:
            raise Missing(f"what the compiler made does not load ({error})") from None
        for name, arguments in ARGUMENTS.items():
            kernel = getattr(self._kernels, name)
            kernel.argtypes, kernel.restype = arguments, None

    @property
    def threads(self) -> int:
        """As many as torch uses."""
        return min(torch.get_num_threads(), MOST_THREADS)

    def call(self, name: str, *arguments: Any) -> None:
        """Runs a kernel."""
        getattr(self._kernels, name)(*arguments, self.threads)


_USED: list[Library] = []
"""The library, as often as `used` is entered."""
_ONE_THREAD: list[Any] = []
"""What holds BLAS to one thread, while it is entered at all."""
_ENTERING = threading.Lock()


def in_use() -> Library | None:
    """The kernels, while they are used."""
    return _USED[-1] if _USED else None


@contextmanager
def used(found: Library) -> Iterator[None]:
    """Lets products, attention, norms and gates be computed by the kernels.

    OpenBLAS, numpy's products too, computes with one thread meanwhile: threads are shared out by the kernels. Several
    threads of a program may be in it at once, and leave in any order.
    """
    from threadpoolctl import threadpool_limits

    with _ENTERING:
        if not _USED:
            _ONE_THREAD.append(threadpool_limits(1, user_api="blas"))
        _USED.append(found)
    try:
        yield
    finally:
        with _ENTERING:
            _USED.pop()
            if not _USED:
                _ONE_THREAD.pop().restore_original_limits()


@cache
def library() -> tuple[Library | None, str]:
    """The kernels and nothing, or None and why there are none."""
    try:
        return Library(), ""
    except Missing as missing:
        return None, str(missing)


def _openmp() -> str:
    """The OpenMP that torch's operators run on."""
    torch.zeros(1 << 16).add_(1)  # so that its threads are there before others begin any
    try:
        mapped = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        raise Missing(f"they are for Linux, and this is {platform.system()}") from None
    paths = {line.split(maxsplit=5)[-1] for line in mapped if "libgomp" in line}
    home = Path(torch.__file__).parent
    ours = [path for path in sorted(paths) if Path(path).is_relative_to(home) or "torch.libs" in path]
    if not ours:
        raise Missing("this torch does not bring GNU's OpenMP")
    return ours[0]


def _blas() -> str:
    """The OpenBLAS that numpy has loaded."""
    import numpy as np
    from threadpoolctl import threadpool_info

    places = (Path(np.__file__).parent, Path(np.__file__).parent.with_name("numpy.libs"))
    for found in threadpool_info():
        path = Path(found["filepath"])
        if found["internal_api"] == "openblas" and any(path.is_relative_to(place) for place in places):
            return str(path)
    raise Missing("this numpy does not bring OpenBLAS")


def _product_of(blas: str) -> ctypes.c_void_p:
    """Its `cblas_sgemm` for numbers of 64 bits."""
    opened = ctypes.CDLL(blas)
    for name in ("scipy_cblas_sgemm64_", "cblas_sgemm64_"):
        if hasattr(opened, name):
            return ctypes.cast(getattr(opened, name), ctypes.c_void_p)
    raise Missing("numpy's OpenBLAS has no cblas_sgemm64_")


def _compiled() -> Path:
    """The kernels for this processor by this compiler, from the cache, or compiled into it."""
    # Clang's code calls an OpenMP of its own, so GCC comes first.
    compiler = shutil.which(os.environ.get("CC", "gcc")) or shutil.which("cc")
    if compiler is None:
        raise Missing("there is no C compiler (gcc); with one, training on this machine is faster")
    written = {file.name: file.read_text() for file in _written().iterdir() if file.name.endswith((".c", ".h"))}
    version = _run(compiler, "--version").splitlines()[:1]
    decides = repr((sorted(written.items()), FLAGS, compiler, version, _processor()))
    name = hashlib.sha256(decides.encode()).hexdigest()[:24]
    for folder in _folders():
        kept = folder / f"kernels-{name}.so"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not _is_ours(folder):
                continue
            if kept.exists():
                return kept
            with tempfile.TemporaryDirectory(dir=folder) as work:
                return _compile(compiler, written, Path(work)).replace(kept)
        except OSError:  # a folder that cannot be written
            continue
    raise Missing("no folder for them can be written")


def _written() -> Traversable:
    """Where the kernels are written."""
    return files("tunesmith.models.layers.native").joinpath("kernels")


def _compile(compiler: str, written: Mapping[str, str], work: Path) -> Path:
    for name, text in written.items():
        (work / name).write_text(text)
    made = []
    for source in sorted(work.glob("*.c")):
        made.append(str(source.with_suffix(".o")))
        _run(compiler, *FLAGS, "-c", str(source), "-o", made[-1])
    # Linked without OpenMP: its names are left open until torch's is there.
    _run(compiler, "-shared", *made, "-o", str(work / "kernels.so"), "-lm")
    return work / "kernels.so"


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise Missing(f"{command[0]} took more than {SECONDS} seconds") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise Missing(f"{command[0]} does not compile them ({said[0]})")
    return done.stdout


def _is_ours(folder: Path) -> bool:
    """Whether nobody else can put code there, which would then be run."""
    status = folder.stat()
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _folders() -> list[Path]:
    """Where they may be kept: the user's cache, or a folder for temporary files."""
    found = [Path(tempfile.gettempdir()) / f"tunesmith-kernels-{os.getuid()}"]
    with suppress(RuntimeError):  # a user who has no home
        cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        found.insert(0, Path(cache_home) / "tunesmith")
    return found


def _processor() -> str:
    """What `-march=native` depends on."""
    described = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    wanted = ("vendor_id", "cpu family", "model", "stepping", "flags", "CPU implementer", "CPU part", "Features")
    return "\n".join(line for line in described if line.split("\t")[0].split(":")[0].strip() in wanted)
