"""Every bad input gives one clear error or a counted drop, never a traceback, never half a run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.bad_inputs.make import CASES, Case, write
from tunesmith.cli.app import app
from tunesmith.testing.tiny import tiny_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base") / "tiny")


def place(case: Case, folder: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(case, folder)
    (folder / "tiny").symlink_to(base)
    monkeypatch.chdir(folder)


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.refused])
@pytest.mark.parametrize("verb", ["check", "run"])
def test_one_clear_error(name: str, verb: str, tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(CASES[name], tmp_path, base, monkeypatch)
    result = CliRunner().invoke(app, [verb, "spec.yaml"])
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert result.exit_code == 2, result.output
    assert CASES[name].refused in result.stderr
    assert result.stderr.count("error: ") == 1
    assert "fix: " in result.stderr
    assert not [folder for folder, _, _ in os.walk("runs") if (Path(folder) / "manifest.json").exists()]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.refused])
def test_counted(name: str, tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    place(case, tmp_path, base, monkeypatch)
    result = CliRunner().invoke(app, ["check", "spec.yaml", "--json"])
    assert result.exit_code == 0, result.output
    assert "Traceback" not in result.output
    ledger = json.loads(result.stdout)["ledger"]
    assert {each["reason"]: each["count"] for each in ledger["dropped"]} == case.dropped
    assert {each["reason"]: each["count"] for each in ledger["changed"]} == case.changed
    assert ledger["rows"]["kept"] >= 30
    assert ledger["rows"]["read"] == ledger["rows"]["kept"] + ledger["rows"]["dropped"]
    assert not Path("runs").exists()
