"""A small job that can be learned in seconds: colours named in short messages, on a tiny model."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

from tunesmith.testing.tiny import tiny_model

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


def tunesmith(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a verb as a user would, in its own process."""
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "140"},
        check=False,
    )
