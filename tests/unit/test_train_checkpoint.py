"""Checkpoints: whole or not there, verified when read, passed over when damaged."""

from __future__ import annotations

import errno
import json
import os
import random
from pathlib import Path

import pytest
import torch

from tunesmith.errors import GateFailed, RunError
from tunesmith.train import checkpoint
from tunesmith.train.checkpoint import Checkpoints, Saved


def saved(step):
    return Saved({"weights/a": torch.full((3, 2), float(step)), "random/torch": torch.arange(5).byte()}, {"at": step})


def filled(folder, steps, best=None):
    said = []
    checkpoints = Checkpoints(folder, warn=said.append)
    for step in steps:
        checkpoints.save(step, saved(step), best=best)
    return checkpoints, said


def test_what_is_saved_comes_back(tmp_path):
    checkpoints, said = filled(tmp_path, [5])
    back = checkpoints.latest()
    assert back.state["at"] == 5 and said == []
    assert torch.equal(back.part("weights")["a"], torch.full((3, 2), 5.0))
    assert back.tensors["random/torch"].dtype == torch.uint8


def test_nothing_saved_is_nothing(tmp_path):
    assert Checkpoints(tmp_path / "none").latest() is None


def test_the_newest_two_are_kept_with_their_best(tmp_path):
    checkpoints, _ = filled(tmp_path, [])
    for step in (1, 2):
        checkpoints.save_best(step, {"a": torch.tensor([float(step)])})
        checkpoints.save(step, saved(step), best=step)
    checkpoints.save(3, saved(3), best=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-00000002", "step-00000002", "step-00000003"]
    assert checkpoints.best(2)["a"] == 2.0


def test_best_weights_stay_until_the_checkpoint_that_names_others_stands(tmp_path):
    checkpoints, _ = filled(tmp_path, [])
    checkpoints.save_best(1, {"a": torch.ones(1)})
    checkpoints.save(1, saved(1), best=1)
    checkpoints.save_best(2, {"a": torch.zeros(1)})  # and then the power fails
    assert Checkpoints(tmp_path).latest().state["best_step"] == 1
    assert Checkpoints(tmp_path).best(1)["a"] == 1.0


def damage_everywhere(sound):
    """Bits flipped at 200 places and files cut at 64, over all bytes of a checkpoint; files lost and exchanged."""
    draw = random.Random(0)
    names = sorted(sound)
    bytes_of = [(name, place) for name in names for place in range(len(sound[name]))]
    for name, place in [*draw.sample(bytes_of, 200 - len(names)), *((name, 0) for name in names)]:
        content = bytearray(sound[name])
        content[place] ^= 1 << draw.randrange(8)
        yield {name: bytes(content)}
    for name, place in [*draw.sample(bytes_of, 64 - len(names)), *((name, len(sound[name]) - 2) for name in names)]:
        yield {name: sound[name][:place]}
    for number, name in enumerate(names):
        yield {name: None}
        yield {name: sound[names[number - 1]], names[number - 1]: sound[name]}


def test_any_damage_is_noticed_and_the_one_before_is_used(tmp_path):
    checkpoints, said = filled(tmp_path, [1, 2])
    folder = tmp_path / "step-00000002"
    sound = {path.name: path.read_bytes() for path in folder.iterdir()}
    cases = list(damage_everywhere(sound))
    assert len(cases) == 200 + 64 + 3 + 3
    for case in cases:
        for name, content in case.items():
            (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
        said.clear()
        assert checkpoints.latest().state["at"] == 1, case
        assert len(said) == 1 and "step-00000002 is damaged" in said[0], case
        for name in case:
            (folder / name).write_bytes(sound[name])
    assert checkpoints.latest().state["at"] == 2


def test_swapped_files_are_noticed(tmp_path):
    checkpoints, said = filled(tmp_path, [1, 2])
    one, two = (tmp_path / f"step-0000000{step}" / "tensors.safetensors" for step in (1, 2))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert checkpoints.latest() is None
    assert [message.rpartition("; ")[2] for message in said] == [
        "going on from the one before",
        "training starts from the beginning",
    ]


def test_damaged_best_weights_are_said(tmp_path):
    checkpoints, said = filled(tmp_path, [])
    checkpoints.save_best(1, {"a": torch.ones(4)})
    file = tmp_path / "best-00000001" / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    assert checkpoints.best(1) is None
    assert "best-00000001" in said[0]


def test_leftovers_of_a_crash_are_cleaned_away(tmp_path):
    checkpoints, said = filled(tmp_path, [1])
    (tmp_path / "step-00000002.unfinished").mkdir()
    (tmp_path / "step-00000002.unfinished" / "tensors.safetensors").write_bytes(b"half")
    assert checkpoints.latest().state["at"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"] and said == []


class Disk:
    """Counts the calls by which a save changes the disk, and makes one of them fail."""

    def __init__(self, patch, failing=None, code=errno.ENOSPC):
        self.calls, self.failing, self.code = [], failing, code
        for place, name in (
            (checkpoint, "save_file"), (os, "fsync"), (os, "open"), (os, "replace"), (os, "rename"), (os, "mkdir"),
            (os, "unlink"), (os, "rmdir"), (Path, "open"),
        ):  # fmt: skip
            patch.setattr(place, name, self.through(getattr(place, name), name))

    def through(self, call, name):
        def counted(*args, **kwargs):
            self.calls.append(name)
            if len(self.calls) - 1 == self.failing:
                raise OSError(self.code, os.strerror(self.code))
            return call(*args, **kwargs)

        return counted


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES], ids=errno.errorcode.get)
def test_whichever_call_of_a_save_fails_the_last_checkpoint_stands(tmp_path, code):
    filled(tmp_path / "sound", [1, 2])
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch)
        Checkpoints(tmp_path / "sound").save(3, saved(3), best=None)
    assert {"save_file", "fsync", "rename", "mkdir", "unlink", "rmdir"} <= set(disk.calls)
    assert disk.calls.count("fsync") == 9, "three files, their folder, two of the files when written, the exchange"
    exchange = max(place for place, name in enumerate(disk.calls) if name == "rename")
    for failing, name in enumerate(disk.calls):
        folder = tmp_path / f"{failing}-{name}"
        checkpoints, said = filled(folder, [1, 2])
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, failing, code)
            try:
                checkpoints.save(3, saved(3), best=None)
                failed = False
            except RunError as error:
                failed = True
                assert os.strerror(code) in error.what and "earlier checkpoints stand" in error.fix
        # Once the new one is in place, what can still fail is writing the exchange through and removing the oldest.
        if name in ("save_file", "fsync", "rename"):
            assert failed, (failing, name)
        if failing > exchange + 2:
            told = ["step-00000001"] if name in ("unlink", "rmdir") else []
            assert not failed and (not told or [text.partition(",")[0] for text in said] == told), (failing, name)
        again, said = filled(folder, [])
        assert again.latest().state["at"] == (2 if failed and failing <= exchange else 3), (failing, name)
        assert said == [] and not list(folder.glob("*.unfinished"))
        again.save(4, saved(4), best=None)
        assert len(list(folder.iterdir())) == 2


def test_a_folder_above_the_newest_step_is_damaged_and_goes(tmp_path):
    checkpoints, _ = filled(tmp_path, [1, 2])
    (tmp_path / "step-00000002" / "state.json").write_text("{")
    assert checkpoints.latest().state["at"] == 1
    checkpoints.save(2, saved(2), best=None)
    assert checkpoints.latest().state["at"] == 2
    (tmp_path / "step-00000009").mkdir()
    checkpoints.save(3, saved(3), best=None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]


def test_a_newer_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    filled(tmp_path, [1])
    monkeypatch.undo()
    with pytest.raises(GateFailed, match="format 99"):
        Checkpoints(tmp_path).latest()


def test_due_by_the_clock(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path, save_every=60.0)
    assert not checkpoints.due
    now[0] += 60.0
    assert checkpoints.due
    checkpoints.save(1, saved(1), best=None)
    assert not checkpoints.due


def test_state_is_strict_json(tmp_path):
    filled(tmp_path, [1])
    json.loads((tmp_path / "step-00000001" / "state.json").read_text(), parse_constant=lambda name: 1 / 0)
