from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.records import Message, Prediction, Record, Span

ASKED = (Message("system", "be kind"), Message("user", "hi"), Message("assistant", "hello", trained=True))


@pytest.mark.parametrize(
    ("record", "shape"),
    [
        (Record("1", "a:1", messages=ASKED), "chat"),
        (Record("1", "a:1", messages=ASKED[:2], chosen=ASKED[2:], rejected=ASKED[2:]), "pair"),
        (Record("1", "a:1", text="t", labels=("x",)), "label"),
        (Record("1", "a:1", text="t", labels=("x",), spans=(Span(0, 1, "P"),)), "spans"),
        (Record("1", "a:1", text="t", spans=()), "spans"),
        (Record("1", "a:1", text="t"), "text"),
    ],
)
def test_shape(record: Record, shape: str) -> None:
    assert record.shape == shape
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_prompt_and_answer_split_at_the_last_trained_message() -> None:
    more = (*ASKED, Message("user", "and?"), Message("assistant", "that is all"))
    assert Record("1", "a:1", messages=more).answer == "hello"
    assert Record("1", "a:1", messages=more).prompt == ASKED[:2]
    twice = (*ASKED, Message("user", "and?"), Message("assistant", "that is all", trained=True))
    assert Record("1", "a:1", messages=twice).answer == "that is all"
    assert Record("1", "a:1", messages=twice).prompt == twice[:-1]
    untrained = tuple(Message(turn.role, turn.content) for turn in more)
    assert Record("1", "a:1", messages=untrained).answer == "that is all"
    assert Record("1", "a:1", text="t").answer == ""
    assert Record("1", "a:1", text="t").prompt == ()


def test_a_label_is_single_or_none() -> None:
    assert Record("1", "a:1", text="t", labels=("x",)).label == "x"
    assert Record("1", "a:1", text="t", labels=("x", "y")).label is None


def test_content_holds_the_words_and_not_the_labels() -> None:
    assert Record("1", "a:1", text="t", labels=("x",)).content() == Record("2", "b:1", text="t").content()
    assert Record("1", "a:1", messages=ASKED).content() == "system: be kind\nuser: hi\nassistant: hello"
    assert Record("1", "a:1", messages=ASKED[:2]).content() != Record("1", "a:1", messages=ASKED).content()
    one = Record("1", "a:1", messages=ASKED[:2], chosen=ASKED[2:], rejected=(Message("assistant", "no"),))
    other = Record("1", "a:1", messages=ASKED[:2], chosen=(Message("assistant", "no"),), rejected=ASKED[2:])
    assert one.content() != other.content()


def test_json_leaves_out_what_is_empty() -> None:
    assert Record("1", "a:1", text="t").to_json() == {"id": "1", "source": "a:1", "text": "t"}
    assert Record("1", "a:1", text="t", spans=()).to_json()["spans"] == []


messages = st.builds(
    Message, st.sampled_from(["system", "user", "assistant", "tool"]), st.text(max_size=5), st.booleans()
)
turns = st.lists(messages, max_size=3).map(tuple)
texts = st.text(max_size=5)
names = st.lists(texts, max_size=2).map(tuple)
records = st.builds(
    Record,
    id=texts,
    source=texts,
    messages=turns,
    text=st.none() | texts,
    labels=names,
    spans=st.none() | st.lists(st.builds(Span, st.integers(0), st.integers(0), texts), max_size=2).map(tuple),
    chosen=turns,
    rejected=turns,
    slices=st.dictionaries(texts, texts, max_size=2),
    references=names,
    weight=st.floats(0, 10),
)


@given(record=records)
def test_every_record_survives_json(record: Record) -> None:
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_a_prediction_counts_the_expected_answer_among_the_right_ones() -> None:
    record = Record("1", "a:1", messages=ASKED, references=("hey",))
    assert Prediction(record, output="hi", expected="hello").references == ("hello", "hey")
