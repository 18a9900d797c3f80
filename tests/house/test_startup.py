"""`tunesmith --help` starts at once, and imports neither torch nor pandas."""

from __future__ import annotations

import os
import subprocess
import sys

HELP = "import sys; sys.argv = ['tunesmith', '--help']; from tunesmith.cli.app import main; main()"
HEAVY = ("torch", "pandas", "transformers", "peft", "datasets", "pyarrow", "sacrebleu", "ftfy", "numpy")
MODULES = f"""
import atexit, sys
atexit.register(lambda: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr))
{HELP}
"""


def processor_seconds(code: str) -> float:
    """Time of the processor that a fresh interpreter takes: unlike the clock, it does not count waiting for others."""
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", code],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, used = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return used.ru_utime + used.ru_stime


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", MODULES], capture_output=True, text=True, check=True)
    assert "verdict" in done.stdout or "run" in done.stdout
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_help_takes_less_than_a_third_of_a_second() -> None:
    """The best of five, held against an interpreter that does nothing: a busy machine slows both alike."""
    bare = min(processor_seconds("pass") for _ in range(5))
    helped = min(processor_seconds(HELP) for _ in range(5))
    assert helped < max(0.3, 12 * bare), f"{helped:.2f} s, where Python alone takes {bare:.3f} s"
