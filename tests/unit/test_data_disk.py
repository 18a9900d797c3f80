"""Rows on disk: files of values, sequences that point into them, examples, the cache, passes that are broken off."""

from __future__ import annotations

import gc
import json
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.disk.cache import Cache
from tunesmith.data.disk.examples import ExamplesWriter
from tunesmith.data.disk.rendered import Rendered
from tunesmith.data.disk.spool import Spool, SpoolWriter, joined
from tunesmith.data.disk.tables import spooled
from tunesmith.data.disk.temporary import TemporaryFolder
from tunesmith.data.encode.example import Example
from tunesmith.data.passes.curate import apply, write
from tunesmith.data.passes.stage import Stage
from tunesmith.data.passes.workshop import Workshop
from tunesmith.data.prepare import collect
from tunesmith.data.room import Room
from tunesmith.data.steps import KEEP, Outcome, RowStep, change, drop
from tunesmith.errors import Error
from tunesmith.records import Record
from tunesmith.spec.sections import Data


def rows(count: int) -> list[Record]:
    return [
        Record(f"r{n}", f"rows.jsonl:{n}", text=f"text number {n} " * (n % 7), labels=("ab"[n % 2],))
        for n in range(count)
    ]


@given(st.lists(st.recursive(st.none() | st.integers() | st.text(), st.lists), max_size=20), st.randoms())
def test_what_is_appended_is_read_in_any_order(values: list[Any], draw: Any) -> None:
    folder = TemporaryFolder()
    path = folder.path / "a.spool"
    writer = SpoolWriter(path)
    placed = [(writer.append(value), value) for value in values]
    writer.close()
    spool = Spool(path)
    assert list(spool.values()) == values
    draw.shuffle(placed)
    assert [spool.read(offset) for offset, _ in placed] == [value for _, value in placed]


def test_a_spool_goes_on_behind_what_is_good(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "a.spool")
    writer.append("one")
    good = writer.size
    writer.append("half written")
    writer.close()
    writer = SpoolWriter(tmp_path / "a.spool", good)
    writer.append("two")
    writer.close()
    assert list(Spool(tmp_path / "a.spool").values()) == ["one", "two"]


def test_records_are_a_sequence_that_can_be_taken_apart_and_put_together() -> None:
    given_rows = rows(30)
    records = spooled(given_rows)
    assert records == given_rows
    assert list(records[3:9:2]) == given_rows[3:9:2]
    assert records[-1] == given_rows[-1]
    order = np.random.default_rng(0).permutation(30)
    shuffled = records.take(order)
    assert [record.id for record in shuffled] == [f"r{n}" for n in order]
    assert shuffled.rows.tolist() == order.tolist()
    others = spooled(rows(5))
    both = joined([records[:2], others, records[28:]])
    assert [record.id for record in both] == ["r0", "r1", "r0", "r1", "r2", "r3", "r4", "r28", "r29"]
    assert joined([]) == []


def test_records_can_be_sent_to_another_process() -> None:
    assert len(bytes(ForkingPickler.dumps(spooled(rows(1000))[:100]))) < 5000


def test_a_temporary_file_goes_with_the_records() -> None:
    records = spooled(rows(3))
    folder = records.spools[0].path.parent
    part = records[1:]
    del records
    gc.collect()
    assert list(part) == rows(3)[1:]
    del part
    gc.collect()
    assert not folder.exists()


def example(number: int, **more: Any) -> Example:
    ids = np.arange(number % 9, dtype=np.int32)
    return Example(f"e{number}", ids, ids % 2 == 1, (ids % 5).astype(np.uint8), **more)


def test_examples_come_back_as_they_were() -> None:
    tags = np.arange(4, dtype=np.int32) - 100
    made = [
        *(example(number, weight=0.5 + number) for number in range(30)),
        example(4, tags=tags, label=(3, 1), cut=7, bent=True),
        example(2, answer_ids=np.array([5, 6, 7], np.int32)),
        example(3, answer_ids=np.zeros(0, np.int32)),
    ]
    writer = ExamplesWriter()
    for one in made:
        writer.append(one)
    kept = writer.finish()
    assert len(kept) == len(made)
    assert kept.num_tokens.tolist() == [one.num_tokens for one in made]
    for place in [*range(len(made)), *np.random.default_rng(0).permutation(len(made)).tolist()]:
        read, one = kept[place], made[place]
        for name in ("id", "weight", "label", "cut", "bent"):
            assert getattr(read, name) == getattr(one, name)
        for name in ("ids", "trained", "roles", "tags", "answer_ids"):
            was, now = getattr(one, name), getattr(read, name)
            assert (was is None) == (now is None)
            if was is not None:
                assert was.dtype == now.dtype and was.tolist() == now.tolist()


def test_what_is_rendered_is_made_when_it_is_asked_for() -> None:
    asked: list[int] = []

    def loud(records: Any) -> list[Record]:
        asked.append(len(records))
        return [Record(record.id, record.source, text=(record.text or "").upper()) for record in records]

    made = Rendered(rows(600), loud)
    assert len(made) == 600 and not asked
    assert made[5].text == (rows(6)[5].text or "").upper()
    assert asked == [1]
    assert [record.id for record in made[10:13]] == ["r10", "r11", "r12"]
    assert [record.id for record in made] == [f"r{n}" for n in range(600)]
    assert max(asked) <= 256


# The cache ----------------------------------------------------------------------------------------


def test_a_folder_is_found_again_when_it_was_filled_to_the_end(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    with pytest.raises(ZeroDivisionError), cache.filling("key") as folder:
        (folder / "half").write_text("1")
        raise ZeroDivisionError
    assert cache.find("key") is None
    with cache.filling("key") as folder:
        assert (folder / "half").exists(), "what was begun is there to go on from"
    found = cache.find("key")
    assert found is not None and (found / "half").read_text() == "1"
    second = Cache(tmp_path / "cache")
    assert not second.kept and second.find("key") is None, "two processes do not share it"
    cache.close()
    assert Cache(tmp_path / "cache").find("key") is not None


def test_what_was_used_longest_ago_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    cache = Cache(tmp_path)
    for age, name in enumerate(("new", "old", "older")):
        with cache.filling(name) as folder:
            (folder / "rows").write_bytes(b"x" * 1000)
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    monkeypatch.setattr("tunesmith.data.disk.cache.MOST_BYTES", 2500)
    cache.close()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["new", "old"]


# Passes -------------------------------------------------------------------------------------------


class Sort(RowStep):
    """Drops, changes and keeps by turns."""

    stop_at: int = 10**9
    """Breaks off at this row."""

    def look(self, record: Record) -> Outcome:
        number = int(record.id[1:])
        if number == self.stop_at:
            raise KeyboardInterrupt
        if number % 3 == 0:
            return drop("divisible", f"{number} / 3")
        if number % 3 == 1:
            return change(Record(record.id, record.source, text="changed", labels=record.labels), "one", "left over")
        return KEEP


def test_a_pass_on_disk_says_what_one_in_memory_says(tmp_path: Path) -> None:
    given_rows = rows(50)
    records = spooled(given_rows)
    write(Sort(), records, Room(), tmp_path, 51)
    stage, plain = Stage(tmp_path, records.spools), apply(Sort(), given_rows)
    assert stage.kept == plain.kept
    assert list(stage.dropped()) == plain.dropped and list(stage.changed()) == plain.changed
    assert stage.books.lost.total() == 17 and len(stage.put_right) == 17
    assert [tally.count for tally in stage.books.dropped.values()] == [17]


def test_a_broken_off_pass_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.data.passes.curate.SAVE_EVERY", 10)
    records = spooled(rows(50))
    with pytest.raises(KeyboardInterrupt):
        write(Sort(stop_at=37), records, Room(), tmp_path, 51)
    assert json.loads((tmp_path / "state.json").read_text())["done"] == 30
    looked: list[str] = []
    plain = Sort.look
    monkeypatch.setattr(Sort, "look", lambda self, record: looked.append(record.id) or plain(self, record))
    write(Sort(), records, Room(), tmp_path, 51)
    assert looked == [f"r{n}" for n in range(30, 50)], "finished rows are not looked at again"
    monkeypatch.undo()
    stage, whole = Stage(tmp_path, records.spools), apply(Sort(), rows(50))
    assert stage.kept == whole.kept and list(stage.dropped()) == whole.dropped
    assert stage.books.lost.total() == len(whole.dropped)


@pytest.mark.parametrize(
    "said", [[KEEP], [KEEP] * 3, [KEEP, change(Record("x", "s:1"), "why")], [KEEP, change(Record("r1", "s:1"))]]
)
def test_a_step_that_breaks_its_contract_is_named(tmp_path: Path, said: list[Outcome]) -> None:
    class Wrong(Sort):
        """Says what it is told to."""

        def apply(self, records: Any, room: Room) -> Any:
            return iter(said)

    with pytest.raises(Error, match="the step"):
        apply(Wrong(), rows(2))
    with pytest.raises(Error, match="the step"):
        write(Wrong(), spooled(rows(2)), Room(), tmp_path, 3)


def test_the_second_time_nothing_is_read_or_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.dumps({"text": f"my card number {n % 40}", "label": "ab"[n % 2]}) for n in range(50)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    data = Data.model_validate({"sources": ["rows.jsonl"]})

    def refuse(*given: Any, **named: Any) -> None:
        raise ZeroDivisionError

    def collected(contents: str, data: Data = data) -> dict[str, Any]:
        cache = Cache(tmp_path / "cache")
        found = collect(data, shop=Workshop(folder=tmp_path, contents=[contents], cache=cache))
        cache.close()
        said = found.ledger.to_json()
        return {**said, "texts": [[record.text for record in records] for records in found.splits.values()]}

    first = collected("a")
    with monkeypatch.context() as patch:
        patch.setattr("tunesmith.data.prepare.gather", refuse)
        patch.setattr("tunesmith.data.prepare.write", refuse)
        assert collected("a") == first
        with pytest.raises(ZeroDivisionError):
            collected("another content")
    other = Data.model_validate({"sources": ["rows.jsonl"], "steps": [{"kind": "exact_dedup", "ignore": []}]})
    assert collected("a", other)["rows"]["dropped"] == 10
    assert [step["step"] for step in first["steps"]] == ["clean", "exact_dedup"]
    assert [step["dropped"] for step in first["steps"]] == [0, 10]
