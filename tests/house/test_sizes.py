"""Files of at most 400 lines, functions of 60 (docstrings not counted), folders of 15 entries."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tunesmith.part import FAMILIES

SOURCE = Path(__file__).parents[2] / "src" / "tunesmith"
FILES = sorted(SOURCE.rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION, LARGEST_FOLDER = 400, 60, 15

FAMILY_FOLDERS = {Path(*family.package.split(".")[1:]) for family in FAMILIES}
"""Folders of parts hold one file a part, however many there are."""
LARGER_FOLDERS = {"models": 21}
"""Folders that may hold more, and how many; to shrink, and not to grow."""


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, its docstring left out."""
    first = function.body[0]
    told = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    docstring = (first.end_lineno or 0) - first.lineno + 1 if told else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    found = [
        f"{node.name} (line {node.lineno}) has {length(node)} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and length(node) > LONGEST_FUNCTION
    ]
    if (lines := text.count("\n")) > LONGEST_FILE:
        found.append(f"the file has {lines} lines; it usually holds two things")
    assert not found, f"{path.relative_to(SOURCE)}: {found}"


def test_folders_are_small() -> None:
    found = {}
    for folder in [path for path in SOURCE.rglob("*") if path.is_dir() and path.name != "__pycache__"]:
        name = str(folder.relative_to(SOURCE))
        entries = [entry for entry in folder.iterdir() if entry.name not in ("__pycache__", "__init__.py")]
        if len(entries) > LARGER_FOLDERS.get(name, LARGEST_FOLDER) and Path(name) not in FAMILY_FOLDERS:
            found[name] = len(entries)
    assert not found


def test_what_may_be_longer_still_is() -> None:
    """An exception that is no longer needed is taken back."""
    for name in LARGER_FOLDERS:
        assert len(list((SOURCE / name).iterdir())) > LARGEST_FOLDER
