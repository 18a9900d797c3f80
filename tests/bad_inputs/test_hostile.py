"""Hostile files, all read in one process of bounded memory: one named error or counted rows, soon, and no harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bad_inputs.hostile import HOSTILE, SECONDS

PEAK = 500
"""MiB that the process may hold at most, its libraries among them."""


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What came of each, by name, with what lies in the folders afterwards."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.bad_inputs.hostile", str(folder / "cases")],
        env={**os.environ, "TMPDIR": str(folder / "tmp"), "HOME": str(folder)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = {said["name"]: said for said in map(json.loads, done.stdout.splitlines())}
    left = sorted(str(path.relative_to(folder)) for path in folder.iterdir())
    found[""] = {"left": left, "tmp": list((folder / "tmp").iterdir())}
    return found


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("name", HOSTILE)
def test_one_named_error_or_counted_rows(name: str, came: dict[str, dict[str, Any]]) -> None:
    case, found = HOSTILE[name], came[name]
    assert "raised" not in found, found
    assert found["seconds"] < SECONDS
    assert found["peak"] < PEAK
    if case.refused:
        assert case.refused in found["refused"]
        assert found["fix"]
        return
    assert not found["refused"]
    assert found["broken"] == case.broken
    assert (found["rows"], found["noted"]) == (case.rows, case.noted)
    if case.values is not None:
        assert found["values"] == {key: str(value) for key, value in case.values.items()}


def test_nothing_is_written_outside_and_copies_are_gone(came: dict[str, dict[str, Any]]) -> None:
    assert came[""] == {"left": ["cases", "tmp"], "tmp": []}
    assert not Path("/tmp/rows.jsonl").exists()
