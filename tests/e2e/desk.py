"""A small job that can be learned in seconds: colours named in short messages, on a tiny model."""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tunesmith.testing.tiny import tiny_model

PATIENCE = 600.0
"""Seconds that a command may take; loaded machines are slow."""

COLOURS = {"red": "warm", "orange": "warm", "yellow": "warm", "blue": "cold", "green": "cold", "teal": "cold"}


def write_rows(path: Path, count: int = 240, seed: int = 0) -> Path:
    """Labelled rows with a slice `channel`; every tenth row is said twice and one is empty."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        colour = draw.choice(list(COLOURS))
        rows.append(
            {"text": f"item {number} is {colour}", "label": COLOURS[colour], "channel": draw.choice(["email", "chat"])}
        )
        if number % 10 == 9:
            rows.append(rows[-1])
    rows.append({"text": "", "label": "warm", "channel": "chat"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


SPEC = """\
name: colours
goal:
  task: classify
  targets:
    - {metric: accuracy, at_least: %(bound)s}
data:
  sources: [rows.jsonl]
  split: {train: 0.5, validation: 0.2, test: 0.3}
base: {model: ./base}
train: {duration: %(duration)s, batch: 16 rows, optimizer: {kind: adamw, lr: 3e-3}}
evaluate: {slices: [channel]}
"""


def make_desk(folder: Path, *, bound: float = 0.8, duration: str = "8 epochs") -> Path:
    """Rows, base and spec in `folder`; returns the spec's path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "rows.jsonl")
    tiny_model(folder / "base")
    spec = folder / "colours.yaml"
    spec.write_text(SPEC % {"bound": bound, "duration": duration}, "utf-8")
    return spec


def command(*arguments: object) -> list[str]:
    """The command line of a verb, run by this Python."""
    return [sys.executable, "-c", "from tunesmith.cli.app import main; main()", *map(str, arguments)]


@cache
def _server() -> subprocess.Popen[str]:
    """Importing takes seconds, so one process does it for all commands of this one."""
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("server.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "140"},
    )


def tunesmith(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a verb as a user would, in a process of its own."""
    server = _server()
    assert server.stdin and server.stdout
    with tempfile.TemporaryDirectory() as folder:
        said = {name: str(Path(folder, name)) for name in ("stdout", "stderr")}
        asked = {"arguments": [*map(str, arguments)], "folder": str(cwd), **said}
        print(json.dumps(asked), file=server.stdin, flush=True)
        answered, *_ = select.select([server.stdout], [], [], PATIENCE)
        if not answered:
            # Its answer would be taken for that of the next command.
            server.kill()
            _server.cache_clear()
            raise AssertionError(f"{arguments} took more than {PATIENCE} s")
        code = int(server.stdout.readline())
        texts = [Path(name).read_text("utf-8") for name in said.values()]
    return subprocess.CompletedProcess(["tunesmith", *asked["arguments"]], code, *texts)
