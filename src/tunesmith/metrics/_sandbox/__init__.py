"""Runs programs that nobody has read, each in a process of its own that the kernel has locked in.

What is locked stands in `kernel`; how a program runs, and how it is known to have run to its end, in `inside`. The
parent bounds the time by the wall and the room on disk, and ends the whole process group in the end.

Where the kernel cannot do it the programs are not run: `run` raises. What no sandbox of this kind can tell apart is a
program that was written to fool this one: it shares its interpreter with the tests, and could change what they see.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tunesmith.errors import UserError
from tunesmith.metrics._sandbox.kernel import missing

_INSIDE = Path(__file__).with_name("inside.py")
_LOOKS = 0.05
"""Seconds between two looks at the clock and at the disk."""
_MOST_SAID = 4096


@dataclass(frozen=True)
class Limits:
    """What a program may take."""

    seconds: int = 3
    """CPU time; by the wall it may take three times as long, and two seconds more, since others compute beside it."""
    memory: int = 1000
    """MB of address space."""
    disk: int = 16
    """MB in its folder, which is deleted."""


@dataclass(frozen=True)
class Outcome:
    """How a program ended."""

    passed: bool
    """Whether it ran to its very end."""
    why: str
    """What stopped it, in words; empty where nothing did."""


def check_machine() -> None:
    """Refuses machines that cannot lock a program in.

    Raises:
        UserError: this is one.
    """
    if lacks := missing():
        raise UserError(
            f"programs that a model wrote are only run where they can be locked in: {lacks}",
            where="pass_at_k",
            fix="evaluate on 64-bit Linux from 5.13 on, or take another metric for code, such as exact_match or chrf",
        )


def run(program: str, limits: Limits) -> Outcome:
    """Runs a Python program with the packages of this environment.

    Args:
        program: its source.
        limits: what it may take.

    Raises:
        UserError: this machine cannot lock it in.
    """
    check_machine()
    with tempfile.TemporaryDirectory(prefix="tunesmith-", ignore_cleanup_errors=True) as folder:
        return _run_in(os.path.realpath(folder), program, limits)


def _run_in(folder: str, program: str, limits: Limits) -> Outcome:
    secret = secrets.token_hex(32)
    reads, writes = os.pipe()
    told = json.dumps({"folder": folder, "pipe": writes, **asdict(limits)})
    process = subprocess.Popen(
        [sys.executable, "-P", "-s", "-B", str(_INSIDE), told],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        # Nothing of this process's environment; sets keep one order, so that a program passes always or never.
        env={"PYTHONHASHSEED": "0", "HOME": folder, "TMPDIR": folder, "OMP_NUM_THREADS": "1"},
        pass_fds=(writes,),
        start_new_session=True,
    )
    os.close(writes)
    with contextlib.suppress(BrokenPipeError), process.stdin as given:  # type: ignore[union-attr]
        given.write(f"{secret}\n{program}".encode("utf-8", "replace"))
    try:
        said, why = _heard(process, reads, folder, limits)
    finally:
        os.close(reads)
        _end(process)
    if said == secret:
        return Outcome(True, "")
    return Outcome(False, why or said or _how_it_ended(process.returncode))


def _heard(process: subprocess.Popen[bytes], reads: int, folder: str, limits: Limits) -> tuple[str, str]:
    """(what the process said, why it was not heard out)."""
    most = time_by_the_wall(limits.seconds)
    last = time.monotonic() + most
    said = b""
    while True:
        if select.select([reads], [], [], _LOOKS)[0]:
            more = os.read(reads, _MOST_SAID)
            said += more
            if not more or len(said) > _MOST_SAID:
                return said.decode("utf-8", "replace")[:_MOST_SAID], ""
        elif time.monotonic() > last:
            return "", f"it ran longer than {most:g} seconds"
        if _taken(folder) > limits.disk * 1_000_000:
            return "", f"it wrote more than {limits.disk} MB"


def time_by_the_wall(seconds: int) -> float:
    """How long a program of so much CPU time may be about, since others compute beside it."""
    return 3.0 * seconds + 2


def _taken(folder: str) -> int:
    """Bytes in a folder and below; at least a block for whatever stands there."""
    taken = 0
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            try:
                taken += max(4096, os.lstat(os.path.join(place, name)).st_size)  # noqa: PTH118  os.walk gives strings
            except OSError:  # gone meanwhile
                continue
    return taken


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and whatever it could have started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _how_it_ended(code: int) -> str:
    if code == -signal.SIGXCPU:
        return "it took more CPU time than it may"
    return f"it was ended by {signal.Signals(-code).name}" if code < 0 else "it ended before its tests had run"
