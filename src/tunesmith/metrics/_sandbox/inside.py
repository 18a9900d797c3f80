"""What runs one program, locked in: a script of its own, started by `run`, standard library only.

Its arguments are, as JSON: the folder to work in, limits, and the number of the pipe to answer through. Its standard
input holds a secret in the first line and the program after it. When the program has run to its very end the secret
goes into the pipe: printing `passed`, or ending the process early with success, says nothing.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import sysconfig
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/dev/urandom", "/dev/zero")
"""What programs may read beside Python's own files."""


def main() -> None:
    """Reads, locks itself in, runs."""
    told = json.loads(sys.argv[1])
    secret, _, program = sys.stdin.buffer.read().partition(b"\n")
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    lock_in = beside("kernel").lock_in
    limit(told)
    python = [sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib"), *sys.path]
    lock_in([path for path in (*python, *SYSTEM) if path], told["folder"])
    failed = ""
    try:
        run(program)
    except BaseException as error:
        failed = f"{type(error).__name__}: {error}"[:300]
    os.write(told["pipe"], failed.encode("utf-8", "replace") if failed else secret)
    # Threads of the program may still run, and what it registered for the end must not.
    os._exit(0)


def beside(name: str) -> Any:
    """The module in the file beside this one; the package it belongs to stays out of here."""
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def limit(told: dict[str, int]) -> None:
    """Bounds what the process may take: CPU seconds, memory, the size of a file, open files; it leaves no core dump."""
    megabyte = 1_000_000
    for kind, most in (
        (resource.RLIMIT_CPU, told["seconds"]),
        (resource.RLIMIT_AS, told["memory"] * megabyte),
        (resource.RLIMIT_FSIZE, told["disk"] * megabyte),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        # Beyond its CPU time a program is told first, so that it is seen what ended it, and killed a second later.
        later = bound + 1 if kind == resource.RLIMIT_CPU and hard == resource.RLIM_INFINITY else bound
        resource.setrlimit(kind, (bound, later))


def run(program: bytes) -> None:
    """As Python runs a script."""
    sys.argv = ["program.py"]
    exec(compile(program, "program.py", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})


if __name__ == "__main__":
    main()
