"""Answers in words are read back as the stretches they name."""

from __future__ import annotations

import json

import pytest

from tunesmith.prompts.spans import read_spans
from tunesmith.prompts.template import answer_of
from tunesmith.records import Record, Span

TEXT = "Ann met Bob and Ann in Rome"


def test_an_answer_of_ours_is_read_back_whole() -> None:
    spans = (Span(0, 3, "PER"), Span(8, 11, "PER"), Span(16, 19, "PER"), Span(23, 27, "LOC"))
    answer = answer_of(Record("1", "x:1", text=TEXT, spans=spans), ("LOC", "PER"))
    assert answer is not None
    assert read_spans(TEXT, answer) == spans


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ('{"PER": "Bob", "label": "Ann"}', [(8, 11)]),
        ('{"PER": "Eve"}', []),
        ('{"PER": ["Ann", "Ann", "Ann"]}', [(0, 3), (16, 19)]),
        ('{"PER": ["Ann met", "Ann"]}', [(0, 7), (16, 19)]),
        ('{"PER": 3, "LOC": null, "X": ""}', []),
        ("[1]", []),
        ('{"PER": "Bob"', []),
        ("[" * 100_000, []),
    ],
)
def test_what_does_not_stand_in_the_text_names_nothing(answer: str, found: list[tuple[int, int]]) -> None:
    assert [(span.start, span.end) for span in read_spans(TEXT, answer)] == found


def test_records_without_a_label_have_no_label_key() -> None:
    answer = answer_of(Record("1", "x:1", text=TEXT, spans=(Span(0, 3, "PER"),)), ())
    assert json.loads(answer or "") == {"PER": "Ann"}
