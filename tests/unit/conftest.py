"""Tiny bases, made once, for the tests of adapters."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.testing.tiny import SHAPES, tiny_model


@pytest.fixture(scope="session")
def tiny_bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bases")
    for shape in SHAPES:
        tiny_model(folder / shape, shape)
    return folder


@pytest.fixture
def bench(tmp_path: Path, tiny_bases: Path) -> Path:
    """A workspace of its own that sees the tiny bases, each named by its shape."""
    for shape in SHAPES:
        (tmp_path / shape).symlink_to(tiny_bases / shape)
    return tmp_path
