"""Canaries: planted in the form of the rows they stand behind, and told from rows that are nobody's secret."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.data.methods.canaries import canary, frame, is_canary
from tunesmith.data.passes.curate import apply
from tunesmith.data.room import Room
from tunesmith.data.steps.canaries import Canaries
from tunesmith.evaluate.privacy.exposure import alternatives, planted
from tunesmith.records import Message, Record, Span
from tunesmith.testing.material import RECORDS

CHAT = Record(
    "c",
    "rows:1",
    messages=(
        Message("system", "Be kind."),
        Message("user", "Hello?"),
        Message("assistant", "Hi.", trained=True),
        Message("user", "And now?"),
        Message("assistant", "Bye.", trained=True),
    ),
    references=("Cheers.",),
    slices={"channel": "email"},
    weight=3.0,
)
FORMS = {
    "chat": CHAT,
    "label": Record("l", "rows:2", text="It has not arrived.", labels=("delivery",), votes={"anna": "billing"}),
    "spans": Record("s", "rows:3", text="Anna lives in Bern.", spans=(Span(0, 4, "PER"), Span(14, 18, "LOC"))),
    "text": Record("t", "rows:4", text="Prose."),
    "pair": Record(
        "p", "rows:5", messages=(Message("user", "Hello?"),), chosen=(Message("assistant", "Hi."),),
        rejected=(Message("assistant", "No."),),
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", FORMS)
def test_a_canary_has_the_form_of_its_row_and_none_of_its_words(shape: str) -> None:
    form = FORMS[shape]
    made, other = (canary(form, np.random.default_rng(seed)) for seed in (0, 1))
    assert made.shape == shape and made == canary(form, np.random.default_rng(0)) != other
    assert "access code" in made.content() and made.labels == form.labels and made.slices == form.slices
    for word in ("Hello", "Hi.", "Bye", "Anna", "arrived", "Prose", "Cheers"):
        assert word not in str(made.to_json())
    assert frame(made) == frame(other) == frame(canary(made, np.random.default_rng(2)))
    for span in made.spans or ():
        assert (made.text or "")[span.start : span.end].isalpha() and span.label == "PER"
    if shape == "chat":
        assert [turn.role for turn in made.messages] == ["system", "user", "assistant"] and made.messages[-1].trained
        assert made.weight == 1.0 and made.answer.split()[4] in made.prompt[-1].content


def test_count_and_copies_say_how_many_are_planted() -> None:
    room = Room(seed=3)
    found = apply(Canaries(count=5, copies=3), RECORDS, room)
    rows = [record for record, _ in found.made]
    assert len(rows) == 15 and len({row.content() for row in rows}) == 5 and all(map(is_canary, rows))
    assert [row for row in found.kept if row.parent is None] == RECORDS and not any(map(is_canary, RECORDS))
    assert "15 rows say 5 made-up secrets" in found.findings.notes[0]
    assert [row.content() for row, _ in apply(Canaries(count=5), RECORDS, Room(seed=4)).made] != [
        row.content() for row, _ in apply(Canaries(count=5), RECORDS, room).made
    ]
    many = apply(Canaries(count=40, copies=1), RECORDS, room)
    assert len({record.id for record in many.kept}) == len(many.kept) == len(RECORDS) + 40
    augmented = Record("r1+typos", "rows:1", text="x", parent="r1")
    assert not is_canary(augmented)


def test_what_a_canary_is_compared_with_was_not_planted() -> None:
    kept = apply(Canaries(count=6, copies=2), RECORDS, Room(seed=1)).kept
    canaries, rows = planted(kept)
    others = alternatives(canaries, 20, 0)
    assert len(canaries) == 6 and rows == 12 and set(others) == {frame(record) for record in canaries}
    drawn = [record.content() for found in others.values() for record in found]
    assert len(set(drawn)) == len(drawn) == 20 * len(others)
    assert not {record.content() for record in canaries} & set(drawn)
