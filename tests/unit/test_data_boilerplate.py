"""Lines that many rows share are counted and removed; what is alone, code, or labelled stays."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.methods.quality.lines import frequent
from tunesmith.data.passes.curate import apply
from tunesmith.data.room import Room
from tunesmith.data.steps.boilerplate import Boilerplate
from tunesmith.records import Message, Record, Span

STEP = Boilerplate(min_rows=5)


def mail(number: int, body: str) -> Record:
    footer = f"Best regards\nSent from my iPhone\nPage {number} of 90 pages\n\n"
    said = f"We use cookies to improve your visit.\n\n{body}\n\n{footer}"
    return Record(f"m{number}", f"mail.jsonl:{number}", text=said)


def test_headers_and_footers_go_and_are_shown_with_their_rows() -> None:
    rows = [mail(n, f"My order {n} is late and I wait for it.\nGive {'ring' * n}!") for n in range(1, 8)]
    rows.append(mail(8, ""))
    room = Room()
    result = apply(STEP, rows, room)
    assert result.kept[0].text == "Give ring!\n\nBest regards"
    shown = room.findings.examples["lines removed"]
    assert {(row["line"], row["rows"]) for row in shown} >= {
        ("We use cookies to improve your visit.", 8),
        ("Sent from my iPhone", 8),
        ("Page 1 of 90 pages", 8),
        ("My order 1 is late and I wait for it.", 7),
    }
    (distribution,) = room.findings.distributions
    assert (distribution.what, distribution.high, distribution.cut) == ("rows that share a line", 4, 4)
    assert Counter(change.reason for change in result.changed) == {"lines of many rows removed": 8}


def test_what_few_rows_share_stays() -> None:
    rows = [mail(n, f"word{'x' * n} and so on it goes") for n in range(1, 8)]
    assert apply(Boilerplate(min_rows=8), rows).changed == []
    assert apply(Boilerplate(min_rows=2, min_share=0.9), rows).changed
    assert apply(Boilerplate(min_rows=2, min_share=0.9), [*rows, Record("o", "o:1", text="a\nb")]).changed == []
    kept = apply(Boilerplate(min_rows=5, min_words=4), rows).kept[0].text or ""
    assert "Page 1" in kept
    assert "Sent from my iPhone" not in kept


def test_only_lines_code_and_labelled_lines_stay() -> None:
    code = (
        "def f(items):\n    for item in items:\n        print(item, end)\nimport some other thing\nreturn the first one"
    )
    rows = [Record(f"c{n}", f"c:{n}", text=code.rpartition("\n")[0]) for n in range(9)]
    rows += [Record(f"o{n}", f"o:{n}", text="Thank you so much for it") for n in range(9)]
    assert apply(STEP, rows).changed == []
    said = "Anna signs this letter\nand so on"
    rows = [Record(f"s{n}", f"s:{n}", text=said, spans=(Span(0, 4, "PER"),)) for n in range(9)]
    for record in apply(STEP, rows).kept:
        assert record.text is not None
        assert record.spans
        assert record.text[: record.spans[0].end] == "Anna"


def test_a_row_of_nothing_else_is_dropped() -> None:
    rows = [
        Record(f"r{n}", f"r:{n}", text="All rights are reserved here\nPlease read the terms first") for n in range(6)
    ]
    assert {drop.reason for drop in apply(STEP, rows).dropped} == {"nothing but lines of many rows"}


def test_turns_are_left_alone_unless_named() -> None:
    def chat(n: int) -> Record:
        asked = f"Question {'q' * n} please do tell\nSent from my iPhone"
        turns = (Message("user", asked), Message("assistant", f"Answer {'a' * n}\nGlad to be of help", trained=True))
        return Record(f"c{n}", f"c:{n}", messages=turns)

    rows = [chat(n) for n in range(1, 9)]
    room = Room()
    assert apply(STEP, rows, room).changed == []
    assert room.findings.notes == ["no row has a text; `of` says where lines are counted"]
    after = apply(Boilerplate(min_rows=5, of=("prompt",)), rows).kept[0].messages
    assert [turn.content for turn in after] == ["Question q please do tell", "Answer a\nGlad to be of help"]
    after = apply(Boilerplate(min_rows=5, of=("answer",)), rows).kept[0].messages
    assert [turn.content for turn in after] == ["Question q please do tell\nSent from my iPhone", "Answer a"]


@given(st.lists(st.sets(st.integers(0, 2**64 - 1) | st.integers(0, 5), max_size=6), max_size=12), st.integers(2, 4))
def test_counting_in_two_passes_is_counting(rows: list[set[int]], least: int) -> None:
    numbers, counts = frequent(lambda: (np.array(sorted(row), dtype=np.uint64) for row in rows), least)
    plain = Counter(number for row in rows for number in row)
    assert dict(zip(numbers.tolist(), counts.tolist(), strict=True)) == {n: c for n, c in plain.items() if c >= least}


@given(
    st.lists(st.sampled_from(["Sent from my iPhone", "", "Anna came by", "two of them"]), min_size=2, max_size=6),
    st.data(),
)
def test_stretches_keep_their_words(lines: list[str], data: st.DataObject) -> None:
    said = "\n".join(lines)
    start = data.draw(st.integers(0, max(0, len(said) - 1)))
    end = data.draw(st.integers(start, len(said)))
    spans = (Span(start, end, "x"),) if said[start:end].strip() else ()
    rows = [Record("r", "s:1", text=said, spans=spans), *(mail(n, "x") for n in range(9))]
    result = apply(STEP, rows)
    for record in result.kept[:1]:
        if record.id == "r":
            assert record.text is not None
            found = [record.text[span.start : span.end].strip() for span in record.spans or ()]
            assert found == [said[span.start : span.end].strip() for span in spans]
