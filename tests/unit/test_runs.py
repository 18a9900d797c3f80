from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.errors import GateFailed, NotFound
from tunesmith.runs import (
    Run,
    file_digest,
    find_run,
    fingerprint,
    list_runs,
    new_run,
    read_json,
    whole_folder,
    write_bytes,
    write_json,
    write_text,
)


class Crash(Exception):
    pass


def test_writes_make_their_folders_and_leave_nothing_behind(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.txt", "schön")
    write_json(tmp_path / "a" / "c.json", {"x": [1, None, "é"]})
    assert (tmp_path / "a" / "b.txt").read_bytes() == "schön".encode()
    assert read_json(tmp_path / "a" / "c.json") == {"x": [1, None, "é"]}
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == ["b.txt", "c.json"]


def test_a_crash_while_writing_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_bytes(path, b"old")
    for call in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            holder = os if call == "fsync" else Path

            def crash(*_: object) -> None:
                raise Crash

            patch.setattr(holder, call, crash)
            with pytest.raises(Crash):
                write_bytes(path, b"new")
        assert path.read_bytes() == b"old"
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_json_without_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_a_folder_is_whole_or_as_before(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with whole_folder(target) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "a").write_text("1")
        assert not target.exists()
    with pytest.raises(Crash), whole_folder(target) as folder:
        (folder / "b").write_text("2")
        raise Crash
    assert [str(file.relative_to(target)) for file in sorted(target.rglob("*"))] == ["inner", "inner/a"]
    with whole_folder(target) as folder:
        assert list(folder.iterdir()) == [], "what a crash left is not taken over"
        (folder / "b").write_text("2")
    assert [file.name for file in target.iterdir()] == ["b"]
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("crash_at", [1, 2])
def test_a_crash_while_folders_are_exchanged_loses_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    target = tmp_path / "model"
    with whole_folder(target) as folder:
        (folder / "a").write_text("old")
    renames = []

    def crash(self: Path, to: Path, rename: Callable[[Path, Path], Path] = Path.rename) -> Path:
        renames.append(to)
        if len(renames) == crash_at:
            raise Crash
        return rename(self, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", crash)
        with pytest.raises(Crash), whole_folder(target) as folder:
            (folder / "a").write_text("new")
    with pytest.raises(Crash), whole_folder(target):
        assert (target / "a").read_text() == "old", "brought back"
        raise Crash
    assert (target / "a").read_text() == "old"
    with whole_folder(target) as folder:
        (folder / "a").write_text("new")
    assert (target / "a").read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_fingerprints_name_content() -> None:
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert fingerprint({"a": 1}) != fingerprint({"a": "1"})
    assert fingerprint([1, 2]) != fingerprint([2, 1])
    assert fingerprint({"a": Path("x")}) == fingerprint({"a": Path("x")})
    assert len(fingerprint("\ud800")) == 16


def test_the_digest_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def begin(folder: Path) -> None:
    write_json(folder / "spec.json", {})


def make_run(root: Path, name: str = "triage") -> Run:
    return new_run(root, name, begin)


def test_a_run_begins_whole_or_not_at_all(tmp_path: Path) -> None:
    def crash(folder: Path) -> None:
        begin(folder)
        raise Crash

    with pytest.raises(Crash):
        new_run(tmp_path, "triage", crash)
    assert list(tmp_path.iterdir()) == []
    assert [file.name for file in make_run(tmp_path).path.iterdir()] == ["spec.json"]
    with pytest.raises(Crash):
        new_run(tmp_path, "triage", crash)
    assert [str(run) for run in list_runs(tmp_path)] == ["triage/1"]


def test_runs_are_numbered_and_listed_in_order(tmp_path: Path) -> None:
    for _ in range(11):
        make_run(tmp_path)
    make_run(tmp_path, "other")
    (tmp_path / "triage" / "notes").mkdir()
    (tmp_path / "triage" / "²").mkdir()
    (tmp_path / "stray.txt").write_text("")
    assert [str(run) for run in list_runs(tmp_path)] == ["other/1", *(f"triage/{n}" for n in range(1, 12))]
    assert [run.number for run in list_runs(tmp_path, "triage")] == list(range(1, 12))
    assert list_runs(tmp_path / "none") == []
    assert str(make_run(tmp_path)) == "triage/12"


def make_twenty(root: Path) -> None:
    for _ in range(20):
        make_run(root)


def test_two_processes_never_get_the_same_number(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    others = [context.Process(target=make_twenty, args=(tmp_path,)) for _ in range(3)]
    for other in others:
        other.start()
    make_twenty(tmp_path)
    for other in others:
        other.join()
        assert other.exitcode == 0
    assert [run.number for run in list_runs(tmp_path)] == list(range(1, 81))
    assert [entry.name for entry in (tmp_path / "triage").iterdir() if not entry.name.isdigit()] == []


@pytest.mark.parametrize("reference", ["triage", "triage/2", "run:triage/2", "run:triage", "triage/"])
def test_runs_are_found_by_name(tmp_path: Path, reference: str) -> None:
    make_run(tmp_path)
    make_run(tmp_path)
    assert find_run(tmp_path, reference).number == 2


def test_runs_are_found_by_folder(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert str(find_run(tmp_path, str(run.path))) == "triage/1"


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "triag",
        "triage/3",
        "triage/x",
        "../triage",
        "/",
        "..",
        ".",
        "triage/../triage/1",
        "triage/1/2",
        "x" * 300,
        "x" * 300 + "/1",
        "triage/²",
        "a\0b/1",
        "/triage/1",
    ],
)
def test_a_run_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, reference: str) -> None:
    make_run(tmp_path / "runs")
    (tmp_path / "triage" / "1").mkdir(parents=True)  # beside the root, and not to be found
    (tmp_path / "triage" / "1" / "spec.json").write_text("{}")
    with pytest.raises(NotFound, match="triage/1"):
        find_run(tmp_path / "runs", reference)


def test_a_stage_is_done_when_inputs_and_files_are_the_same(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert not run.stage_done("data", "abc")
    write_text(run / "data" / "train.txt", "rows")
    write_text(run / "card.md", "card")
    run.finish_stage("data", "abc", ["data", "card.md"], {"rows": 4})
    assert run.stage_done("data", "abc")
    assert run.stage_result("data") == {"rows": 4}
    assert not run.stage_done("data", "abd")
    (run / "data" / "train.txt").write_text("ro")
    assert not run.stage_done("data", "abc"), "a file was cut"
    (run / "data" / "train.txt").unlink()
    assert not run.stage_done("data", "abc"), "a file is gone"


def test_a_stage_marker_torn_or_foreign_means_not_done(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "stages").mkdir()
    for content in (b"", b'{"stage": "data"', b"[]", b"{}", b"\xff"):
        (run / "stages" / "data.json").write_bytes(content)
        assert not run.stage_done("data", "abc")


def test_a_stage_is_borrowed_from_an_earlier_run(tmp_path: Path) -> None:
    first, second = make_run(tmp_path), make_run(tmp_path)
    write_text(first / "data" / "train.txt", "rows")
    first.finish_stage("data", "abc", ["data"], {"rows": 4})
    assert second.borrow_stage("data", "other") is None
    assert second.borrow_stage("model", "abc") is None
    lender = second.borrow_stage("data", "abc")
    assert str(lender) == "triage/1"
    assert second.stage_done("data", "abc")
    assert (second / "data" / "train.txt").read_text() == "rows"
    write_text(second / "data" / "train.txt", "mine")
    assert (first / "data" / "train.txt").read_text() == "rows", "copied, not linked"


def test_the_manifest_is_written_last_and_names_every_file(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_text(run / "model" / "a.bin", "weights")
    write_text(run / "checkpoints" / "1" / "a.bin", "passing")
    assert not run.complete
    run.finish()
    assert run.complete
    files = read_json(run / "manifest.json")["files"]
    assert set(files) == {"spec.json", "model/a.bin"}
    assert files["model/a.bin"] == {"sha256": file_digest(run / "model" / "a.bin"), "bytes": 7}


def hold(path: str, ready: object) -> None:
    with Run(Path(path)).locked():
        ready.set()  # type: ignore[attr-defined]
        time.sleep(60)


def test_a_run_has_one_worker_and_a_dead_one_does_not_count(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    other = context.Process(target=hold, args=(str(run.path), ready))
    other.start()
    assert ready.wait(30)
    with pytest.raises(GateFailed, match=f"process {other.pid}"), run.locked():
        pass
    assert other.pid is not None
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    with run.locked():
        pass
    with run.locked():
        pass


def test_writing_without_space_says_so_and_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_bytes(path, b"old")
    (tmp_path / "a.json.unfinished").mkdir()  # the temporary name cannot be opened
    with pytest.raises(OSError):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
