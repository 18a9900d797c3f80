"""The workshop of a request: as many processes as the spec says, or a cluster, and what is kept in the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import MissingDependency
from tunesmith.flow.data import workshop as module
from tunesmith.flow.data.workshop import workshop
from tunesmith.flow.request import make_request


def request(folder: Path, *changes: str) -> Any:
    (folder / "rows.jsonl").write_text("".join(f'{{"text": "text {n}", "label": "{n % 2}"}}\n' for n in range(30)))
    (folder / "spec.yaml").write_text("name: shop\ndata: {sources: [rows.jsonl]}\n")
    return make_request(folder / "spec.yaml", changes, folder)


def test_as_many_processes_as_the_spec_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    plain = module.Executor
    monkeypatch.setattr(module, "Executor", lambda count: counts.append(count) or plain(count))
    with workshop(request(tmp_path, "scale.workers=3"), lambda *told: None):
        pass
    with workshop(request(tmp_path), lambda *told: None):
        pass
    assert counts == [3, module.threads()]


def test_steps_go_to_the_cluster_and_reading_stays_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    class Far:
        def __init__(self, address: str, cores: int) -> None:
            asked.append((address, cores))

        def __enter__(self) -> Far:
            return self

        def __exit__(self, *error: object) -> None:
            asked.append(("left", 0))

        def map(self, function: Any, items: Any) -> Any:
            return map(function, items)

    monkeypatch.setattr(module, "Cluster", Far)
    with workshop(request(tmp_path, "scale.cluster=ray://head:10001", "scale.workers=2"), lambda *told: None) as shop:
        assert shop.mapper is not None and shop.reader is not None
        assert shop.mapper.__self__.__class__ is Far and shop.reader.__self__.__class__ is not Far  # type: ignore[attr-defined]
    assert asked == [("ray://head:10001", 2), ("left", 0)]


def test_a_cluster_without_ray_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(MissingDependency, match="ray"),
        workshop(request(tmp_path, "scale.cluster=local"), lambda *a: None),
    ):
        pass


def test_what_is_kept_is_not_for_git(tmp_path: Path) -> None:
    with workshop(request(tmp_path), lambda *told: None) as shop:
        assert shop.cache.root == tmp_path / ".tunesmith" / "data"
    assert (tmp_path / ".tunesmith" / ".gitignore").read_text() == "*\n"
