"""Cleaning and exact duplicates: what is dropped or changed, why, and that spans keep their words."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.passes.curate import StepResult, apply
from tunesmith.data.steps.clean import Clean
from tunesmith.data.steps.exact_dedup import ExactDedup
from tunesmith.records import Message, Record, Span


def label(number: int, text: str, *labels: str) -> Record:
    return Record(f"r{number}", f"rows.jsonl:{number}", text=text, labels=labels or ("a",))


def chat(number: int, question: str, answer: str) -> Record:
    turns = (Message("user", question), Message("assistant", answer, trained=True))
    return Record(f"r{number}", f"rows.jsonl:{number}", messages=turns)


def reasons(result: StepResult) -> dict[str, str]:
    return {drop.record.id: drop.reason for drop in result.dropped}


def test_empty_rows_are_dropped_with_their_reason() -> None:
    result = apply(
        Clean(),
        [label(1, " \n"), label(2, "x"), chat(3, "", "a"), chat(4, "q", "\t"), chat(5, "q", "a"), label(6, "\x00\x1b")],
    )
    assert reasons(result) == {"r1": "empty text", "r3": "empty prompt", "r4": "empty answer", "r6": "empty text"}
    assert [record.id for record in result.kept] == ["r2", "r5"]


def test_damaged_characters_are_repaired_and_counted() -> None:
    result = apply(Clean(), [label(1, "schÃ¶n \x1b[1m"), label(2, "schön “gut” • €"), chat(3, "naÃ¯ve", "x\x00y")])
    assert [record.text or record.messages[1].content for record in result.kept] == [
        "schön [1m",
        "schön “gut” • €",
        "xy",
    ]
    assert Counter((change.after.id, change.reason) for change in result.changed) == {
        ("r1", "broken encoding repaired"): 1,
        ("r1", "control characters removed"): 1,
        ("r3", "broken encoding repaired"): 1,
        ("r3", "control characters removed"): 1,
    }


def test_repairs_can_be_switched_off() -> None:
    rows = [label(1, "schÃ¶n\x00")]
    assert apply(Clean(fix_encoding=False), rows).kept[0].text == "schÃ¶n"
    assert apply(Clean(remove_controls=False), rows).kept[0].text == "schön\x00"
    assert apply(Clean(fix_encoding=False, remove_controls=False), rows).changed == []


@given(st.lists(st.sampled_from(["Anna", " ", "\x00", "Ã¶", "b", "\x07\x07"]), max_size=12), st.data())
def test_spans_keep_their_words_when_text_is_repaired(parts: list[str], data: st.DataObject) -> None:
    borders = [sum(map(len, parts[:n])) for n in range(len(parts) + 1)]
    chosen = data.draw(st.lists(st.tuples(st.sampled_from(borders), st.sampled_from(borders)), max_size=3))
    spans = tuple(Span(min(pair), max(pair), "x") for pair in chosen if pair[0] != pair[1])
    text = "".join(parts)
    result = apply(Clean(), [Record("r", "s:1", text=text, spans=spans)])
    for record in result.kept:
        assert record.text is not None
        assert record.spans is not None
        words = [record.text[span.start : span.end] for span in record.spans]
        before = [text[span.start : span.end].replace("\x00", "").replace("\x07", "") for span in spans]
        assert words == [word.replace("Ã¶", "ö") for word in before if word]


def test_copies_are_dropped_and_contradictions_counted_apart() -> None:
    rows = [label(1, "Hi  there"), label(2, "Hi there\n"), label(3, "Hi there", "b"), label(4, "hi there")]
    result = apply(ExactDedup(), rows)
    assert [record.id for record in result.kept] == ["r1", "r4"]
    assert reasons(result) == {
        "r2": "same content as an earlier row",
        "r3": "same text as an earlier row, another label",
    }


@pytest.mark.parametrize(
    ("ignore", "kept"),
    [((), 4), (("whitespace",), 3), (("case",), 3), (("punctuation",), 3), (("case", "whitespace", "punctuation"), 1)],
)
def test_what_two_rows_may_differ_in_is_a_setting(ignore: tuple[str, ...], kept: int) -> None:
    rows = [label(1, "Hi there"), label(2, "Hi  there"), label(3, "hi there"), label(4, "Hi there.")]
    if ignore == ("punctuation",):
        rows[3] = label(4, "Hi there ")  # a full stop becomes a blank, which counts here
        rows[0] = label(1, "Hi there.")
    assert len(apply(ExactDedup(ignore=ignore), rows).kept) == kept


def test_spans_that_differ_contradict_and_other_answers_do_not() -> None:
    one = Record("r1", "s:1", text="Anna", spans=(Span(0, 4, "PER"),))
    other = Record("r2", "s:2", text="Anna", spans=(Span(0, 4, "LOC"),))
    assert reasons(apply(ExactDedup(), [one, other])) == {"r2": "same text as an earlier row, another label"}
    assert apply(ExactDedup(), [chat(1, "q", "a"), chat(2, "q", "b")]).dropped == []


@given(st.lists(st.sampled_from(["a", "b", "a ", "", "\x00", "Ã¶"]), max_size=20))
def test_no_step_loses_or_invents_a_row(texts: list[str]) -> None:
    rows = [label(number, text) for number, text in enumerate(texts)]
    for step in (Clean(), ExactDedup()):
        result = apply(step, rows)
        kept, dropped = [record.id for record in result.kept], [drop.record.id for drop in result.dropped]
        assert sorted(kept + dropped) == sorted(record.id for record in rows)
        assert kept == [record.id for record in rows if record.id in set(kept)]
        assert apply(step, result.kept).dropped == []
