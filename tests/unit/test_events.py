from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.events import Events, Tail, read_events


def test_what_is_sent_is_read_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "run" / "events.jsonl"
    with Events(path) as events:
        sent = [events.send("stage", name="data", done=True), events.send("note", text="schön\nund\u2028gut")]
        assert read_events(path) == sent, "an event is on its way to the disk when send returns"
    assert read_events(path) == sent
    assert read_events(path, "note") == sent[1:]
    assert sent[0]["at"] > 1e9


def test_a_resumed_run_has_the_last_word_on_each_step(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Events(path) as events:
        for step, loss in ((1, 3.0), (2, 2.0), (3, 1.0)):
            events.send("step", stage="train", step=step, loss=loss)
        events.send("validation", stage="train", step=2, loss=9.0)
    with Events(path) as events:  # stopped after step 3, resumed from step 1
        for step, loss in ((2, 2.5), (3, 1.5)):
            events.send("step", stage="train", step=step, loss=loss)
        events.send("step", stage="other", step=3, loss=7.0)
    read = read_events(path, "step")
    assert [(event["stage"], event["step"], event["loss"]) for event in read] == [
        ("train", 1, 3.0),
        ("train", 2, 2.5),
        ("train", 3, 1.5),
        ("other", 3, 7.0),
    ]
    assert len(read_events(path, "validation")) == 1


@pytest.mark.parametrize("torn", [b'{"at": 1, "kind": "st', b"", b"\xff\xfe", b"[1]\n", b'{"a": 1}\n', b"\n\n"])
def test_a_line_torn_by_a_crash_is_skipped_and_the_next_is_whole(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "events.jsonl"
    with Events(path) as events:
        events.send("note", text="before")
    with path.open("ab") as file:
        file.write(torn)
    with Events(path) as events:
        events.send("note", text="after")
    assert [event["text"] for event in read_events(path)] == ["before", "after"]


def test_numbers_that_json_does_not_know_are_words(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Events(path) as events:
        events.send("step", loss=float("nan"), more={"deep": [float("inf"), -float("inf")]})
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
    event = read_events(path)[0]
    assert (event["loss"], event["more"]) == ("nan", {"deep": ["inf", "-inf"]})


def test_text_that_is_no_utf_8_does_not_stop_the_diary(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Events(path) as events:
        events.send("note", text="\ud800 half")
    assert read_events(path)[0]["text"].endswith("half")


def test_no_diary_has_no_events(tmp_path: Path) -> None:
    assert read_events(tmp_path / "none.jsonl") == []


def test_the_last_word_holds_though_the_diary_is_read_for_one_kind_only(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with Events(path) as events:
        events.send("step", stage="train", step=1, loss=1.0)
        events.send("validation", stage="train", step=1, loss=2.0)
    assert len(read_events(path)) == 2
    assert len(read_events(path, "step", "validation")) == 2


def test_a_tail_reads_on_from_where_it_was_and_never_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = Tail(path)
    assert tail.new() == []
    with Events(path) as events:
        first = events.send("note", text="one")
        assert tail.new() == [first] and tail.new() == []
        second = events.send("note", text="two")
    line = json.dumps({"kind": "note", "text": "schön"}, ensure_ascii=False).encode()
    with path.open("ab") as file:
        file.write(line[:-4])
    assert tail.new() == [second]
    with path.open("ab") as file:
        file.write(line[-4:] + b"\n{torn\n[]\n")
    assert tail.new() == [{"kind": "note", "text": "schön"}]
