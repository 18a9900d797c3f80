"""Columns are recognised by name and content, or mapped; rows become records or say why not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tunesmith.data.read.row import to_record
from tunesmith.data.read.shape import recognise
from tunesmith.data.read.values import BadRow
from tunesmith.data.readers import Row
from tunesmith.errors import DataError
from tunesmith.records import Message, Record, Span


def rows(*values: dict[str, Any]) -> list[Row]:
    return [Row(each, f"rows.jsonl:{number}") for number, each in enumerate(values, 1)]


def one(value: dict[str, Any], *, task: str | None = None, slices: tuple[str, ...] = (), **written: str) -> Record:
    """The record of a single row."""
    (row,) = rows(value)
    return to_record(row, recognise([row], written or None, task), slices)


def said(record: Record) -> list[tuple[str, str, bool]]:
    return [(turn.role, turn.content, turn.trained) for turn in record.messages]


CHATS: dict[str, tuple[dict[str, Any], list[tuple[str, str, bool]]]] = {
    "alpaca": (
        {"instruction": "Translate", "input": "one", "output": "eins"},
        [("user", "Translate\n\none", False), ("assistant", "eins", True)],
    ),
    "alpaca without input": (
        {"instruction": "Count", "input": "", "output": "1"},
        [("user", "Count", False), ("assistant", "1", True)],
    ),
    "prompt and completion": (
        {"prompt": "p", "completion": "c", "system": "s"},
        [("system", "s", False), ("user", "p", False), ("assistant", "c", True)],
    ),
    "question and answer": (
        {"question": "q?", "context": "Some words of context.", "answer": "a"},
        [("user", "Some words of context.\n\nq?", False), ("assistant", "a", True)],
    ),
    "squad": (
        {"question": "q?", "answers": {"text": ["a", "b"], "answer_start": [1, 2]}},
        [("user", "q?", False), ("assistant", "a", True)],
    ),
    "document and summary": ({"article": "d", "highlights": "s"}, [("user", "d", False), ("assistant", "s", True)]),
    "source and target": ({"source": "one", "target": "eins"}, [("user", "one", False), ("assistant", "eins", True)]),
    "description and code": (
        {"text": "d", "code": "c", "tests": ["t"]},
        [("user", "d", False), ("assistant", "c", True)],
    ),
    "openai messages": (
        {"messages": [{"role": "developer", "content": "s"},
                      {"role": "user", "content": [{"type": "text", "text": "q"}]},
                      {"role": "assistant", "content": "a"}]},
        [("system", "s", False), ("user", "q", False), ("assistant", "a", True)],
    ),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "system": "s"},
        [("system", "s", False), ("user", "q", False), ("assistant", "a", True)],
    ),
    "messages as JSON text": (
        {"messages": json.dumps([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}])},
        [("user", "q", False), ("assistant", "a", True)],
    ),
    "an answer of weight 0 is not trained": (
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 0},
                      {"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]},
        [("user", "q", False), ("assistant", "a", False), ("user", "q", False), ("assistant", "b", True)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHATS)
def test_conversations_are_recognised(name: str) -> None:
    value, expected = CHATS[name]
    record = one(value)
    assert record.shape == "chat"
    assert said(record) == expected


def test_further_answers_are_references() -> None:
    assert one({"question": "q", "answers": ["a", "b", "a"]}).references == ("b",)
    assert one({"document": "d", "summaries": ["s", "t"]}).references == ("t",)


def test_labels() -> None:
    assert one({"id": 7, "text": "t", "label": 3.0}) == Record("7", "rows.jsonl:1", text="t", labels=("3",))
    assert one({"sentence": "t", "Intent": " a "}).labels == ("a",)
    assert one({"text": "t", "labels": ["a", "b", "a"]}).labels == ("a", "b")
    assert one({"text": "t", "label": True}).labels == ("true",)


def test_the_task_decides_between_two_readings() -> None:
    value = {"instruction": "i i i", "text": "t t t", "response": "r", "category": "c"}
    assert one(value).shape == "chat"
    assert one(value, task="classify").labels == ("c",)
    spans = {"text": "Anna", "label": "greet", "spans": [{"start": 0, "end": 4, "label": "PER"}]}
    assert one(spans).shape == "spans"
    assert one(spans, task="classify").shape == "label"


def test_the_only_prose_beside_a_label_is_the_text() -> None:
    found = rows(
        *({"claim": f"claim number {n} says this", "label": "ab"[n % 2], "rater": f"r{n % 3}"} for n in range(9))
    )
    assert recognise(found, None, None).columns == {"text": "claim", "label": "label"}


def test_spans() -> None:
    value = {"text": "Anna in Bern", "spans": [{"start": 8, "end": 12, "label": "LOC", "text": "Bern"}, [0, 4, "PER"]]}
    assert one(value).spans == (Span(0, 4, "PER"), Span(8, 12, "LOC"))
    assert one({**value, "label": "travel"}).labels == ("travel",)
    assert one({"text": "Anna", "spans": []}, text="text", spans="spans").spans == ()


@pytest.mark.parametrize(
    ("tags", "notes"),
    [
        (["B-PER", "I-PER", "O", "B-LOC", "B-LOC"], 0),
        (["I-PER", "I-PER", "O", "I-LOC", "B-LOC"], 2),
        (["B-PER", "E-PER", "O", "S-LOC", "S-LOC"], 0),
        (["B-PER", "L-PER", "O", "U-LOC", "U-LOC"], 0),
    ],
)
def test_tagged_words_in_every_scheme_give_the_same_spans(tags: list[str], notes: int) -> None:
    (row,) = rows({"tokens": ["Anna", "Roth", "in", "Bern", "Genf"], "ner_tags": tags})
    noted: list[str] = []
    record = to_record(row, recognise([row], None, None), (), 1.0, noted.append)
    assert record.text == "Anna Roth in Bern Genf"
    assert record.spans == (Span(0, 9, "PER"), Span(13, 17, "LOC"), Span(18, 22, "LOC"))
    assert len(noted) == notes


def test_preferences_in_three_forms() -> None:
    turns = "\n\nHuman: q\n\nAssistant: a\n\nHuman: r\n\nAssistant: "
    expected = ((Message("user", "q"), Message("assistant", "a"), Message("user", "r")), "good", "bad")
    as_text = one({"chosen": turns + "good", "rejected": turns + "bad"})
    before = [{"role": turn.role, "content": turn.content} for turn in expected[0]]
    as_lists = one(
        {
            "chosen": [*before, {"role": "assistant", "content": "good"}],
            "rejected": [*before, {"role": "assistant", "content": "bad"}],
        }
    )
    with_prompt = one({"prompt": turns.rstrip(" "), "chosen": "good", "rejected": "bad"})
    for record in (as_text, as_lists, with_prompt):
        assert record.shape == "pair"
        assert (record.messages, record.chosen[-1].content, record.rejected[-1].content) == expected
    plain = one({"prompt": "q", "chosen": "good", "rejected": "bad"})
    assert said(plain) == [("user", "q", False)]
    assert plain.chosen == (Message("assistant", "good", trained=True),)


def test_prose() -> None:
    assert one({"text": "words", "title": "t"}).shape == "text"
    assert one({"line": "several words in one line"}).text == "several words in one line"


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "label is None": ({"text": "t", "label": None}, "label is missing"),
    "label is NaN": ({"text": "t", "label": float("nan")}, "label is missing"),
    "label is NULL": ({"text": "t", "label": "NULL"}, "label is missing"),
    "no label": ({"text": "t"}, "label is missing"),
    "text is missing": ({"label": "a"}, "text is missing"),
    "text is a list": ({"text": ["t"], "label": "a"}, "text is not a text"),
    "half a character": ({"text": "t \ud83d", "label": "a"}, "half a character (a lone surrogate)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_rows_of_labelled_texts_say_why(name: str) -> None:
    value, reason = BAD[name]
    found = recognise(rows({"text": "good", "label": "a"}), None, None)
    with pytest.raises(BadRow) as caught:
        to_record(rows(value)[0], found)
    assert caught.value.reason == reason


BAD_SHAPES: list[tuple[dict[str, str], dict[str, Any], str]] = [
    ({"messages": "m"}, {"m": []}, "a conversation without messages"),
    ({"messages": "m"}, {"m": [{"role": "user", "content": "q"}]}, "a conversation without an answer"),
    ({"messages": "m"}, {"m": [{"role": "bird", "content": "q"}]}, "a message of an unknown role"),
    ({"messages": "m"}, {"m": ["q"]}, "a message is not {role, content}"),
    ({"messages": "m"}, {"m": [{"role": "assistant", "content": None}]}, "content is missing"),
    ({"messages": "m"}, {"m": [{"role": "user", "content": [{"type": "image"}]}]},
     "a message with something other than text"),
    ({"prompt": "p", "answer": "a"}, {"p": "q", "a": []}, "answer is missing"),
    ({"chosen": "c", "rejected": "r"}, {"c": "same", "r": "same"},
     "chosen and rejected are the same, or one is only the beginning of the other"),
    ({"chosen": "c", "rejected": "r"}, {"c": "one", "r": "two"}, "a preference without a prompt"),
    ({"text": "t", "spans": "s"}, {"t": "abc", "s": [{"start": 2, "end": 9, "label": "x"}]}, "a span outside its text"),
    ({"text": "t", "spans": "s"}, {"t": "abc", "s": [{"start": 0, "end": 1, "label": "x", "text": "b"}]},
     "a span does not hold the text it says"),
    ({"text": "t", "spans": "s"}, {"t": "abc", "s": [{"label": "x"}]}, "a span without start and end"),
    ({"text": "t", "spans": "s"}, {"t": "abc", "s": ["x"]}, "a span is not {start, end, label}"),
    ({"text": "t", "spans": "s"}, {"t": "abc", "s": "nothing"}, "spans are not a list"),
    ({"tokens": "t", "tags": "g"}, {"t": ["a", "b"], "g": ["O"]}, "tokens and tags differ in number"),
    ({"tokens": "t", "tags": "g"}, {"t": "a b", "g": ["O"]}, "tokens or tags are not a list"),
    ({"tokens": "t", "tags": "g"}, {"t": ["a", ""], "g": ["O", "O"]}, "an empty token"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "value", "reason"), BAD_SHAPES)
def test_bad_rows_of_other_shapes_say_why(written: dict[str, str], value: dict[str, Any], reason: str) -> None:
    (row,) = rows(value)
    with pytest.raises(BadRow) as caught:
        to_record(row, recognise([row], written, None))
    assert caught.value.reason == reason


def test_a_written_map_wins_and_the_reason_says_so() -> None:
    (row,) = rows({"text": "q", "label": "a", "n": 3})
    found = recognise([row], {"prompt": "text", "answer": "label", "id": "n"}, None)
    assert found.why == "as its map says: columns 'text', 'label' and 'n'"
    assert said(to_record(row, found)) == [("user", "q", False), ("assistant", "a", True)]
    assert to_record(row, found).id == "3"


@pytest.mark.parametrize(
    ("written", "what"),
    [
        ({"txt": "text"}, "no role 'txt' (did you mean 'text'?)"),
        ({"text": "body"}, "there is no column 'body'"),
        ({"text": "txet"}, "(did you mean 'text'?)"),
        ({"label": "label"}, "do not make a row"),
        ({"text": "text", "chosen": "label"}, "do not make a row"),
    ],
)
def test_a_wrong_map_is_refused_with_the_remedy(written: dict[str, str], what: str) -> None:
    with pytest.raises(DataError) as caught:
        recognise(rows({"text": "q", "label": "a"}), written, None)
    assert what in caught.value.what
    assert caught.value.fix


def test_what_is_not_recognised_lists_the_columns_and_offers_maps() -> None:
    found = rows(*({"first": f"some words here {n}", "second": f"einige Wörter {n}", "doc": "x"} for n in range(9)))
    with pytest.raises(DataError) as caught:
        recognise(found, None, None)
    assert "'first', 'second' and 'doc'" in caught.value.what
    assert "the likeliest is columns 'first' and 'second': prompts and responses, 50% sure" in caught.value.what
    assert "map: {prompt: first, answer: second}" in caught.value.fix
    with pytest.raises(DataError, match="a label is needed"):
        recognise(found, None, "classify")


def test_a_guess_by_content_is_offered_and_not_taken() -> None:
    found = rows(*({"text": f"words number {n} here", "level": "ab"[n % 2]} for n in range(12)))
    assert recognise(found, None, None).shape == "text"
    with pytest.raises(DataError) as caught:
        recognise(found, None, "classify")
    assert "map: {text: text, label: level}" in caught.value.fix
    assert "50% sure" in caught.value.what


TELLING: list[tuple[dict[str, Any], str | None, dict[str, str]]] = [
    ({"en": "good morning to you", "de": "guten Morgen an dich"}, None, {"prompt": "en", "answer": "de"}),
    ({"text_fr": "bonjour à vous tous", "text_en": "hello to all of you"}, None,
     {"prompt": "text_en", "answer": "text_fr"}),
    ({"translation": {"de": "guten Morgen an dich", "en": "good morning to you"}}, None,
     {"prompt": "translation.en", "answer": "translation.de"}),
    ({"German": "guten Morgen an dich", "French": "bonjour à vous tous"}, None,
     {"prompt": "German", "answer": "French"}),
    ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
      "prompt": "q", "chosen": "good one", "rejected": "bad one"}, None,
     {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}),
    ({"text": "some words here", "label": 3, "label_text": "card"}, None, {"text": "text", "label": "label_text"}),
    ({"review_body": "some words here", "stars": 4}, None, {"text": "review_body", "label": "stars"}),
    ({"question": "what is it?", "answer": "that", "document": "long words here", "summary": "words"}, "summarize",
     {"prompt": "document", "answer": "summary"}),
    ({"question": "what is it?", "answer": "that", "document": "long words here", "summary": "words"}, "answer",
     {"prompt": "question", "answer": "answer"}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "task", "columns"), TELLING)
def test_columns_of_data_in_the_wild(value: dict[str, Any], task: str | None, columns: dict[str, str]) -> None:
    found = recognise(rows(value), None, task)
    assert found.columns == columns
    assert to_record(rows(value)[0], found).content()


def test_how_sure_a_reading_is_and_what_comes_next() -> None:
    only = recognise(rows({"text": "some words here", "label": "a"}), None, None)
    assert (only.sure, only.others) == (0.97, ())
    assert only.said() == "columns 'text' and 'label': texts with a label (97% sure)"
    claim = recognise(rows(*({"claim": f"a claim number {n}", "label": "ab"[n % 2]} for n in range(9))), None, None)
    assert claim.sure == 0.85
    half = recognise(rows({"prompt": "p q r", "answer": "s"}, {"prompt": ["p"], "answer": "s"}), None, None)
    assert half.sure == round(0.97 * 0.85, 2)
    both = recognise(rows({"instruction": "i i i", "response": "r", "text": "t t t", "category": "c"}), None, None)
    assert both.shape == "chat"
    assert 0.7 < both.sure < 0.9
    assert both.others[0].columns == {"text": "text", "label": "category"}
    assert "; less likely columns 'text' and 'category': texts with a label (" in both.said()
    assert recognise(rows({"a": "x", "b": "y"}), {"text": "a", "label": "b"}, None).said().startswith("as its map says")


def test_a_column_inside_of_objects_can_be_mapped() -> None:
    good, bare = rows({"data": {"body": "words", "kind": "a"}}, {"data": None})
    found = recognise([good, bare], {"text": "data.body", "label": "data.kind"}, None)
    assert (to_record(good, found).text, to_record(good, found).labels) == ("words", ("a",))
    with pytest.raises(BadRow, match="is missing"):
        to_record(bare, found)
    with pytest.raises(DataError, match=r"no column 'data.boddy' \(did you mean 'data.body'\?\)"):
        recognise([good], {"text": "data.boddy"}, None)


def test_nests_and_numbered_tags_are_refused_clearly() -> None:
    with pytest.raises(DataError, match="'paragraphs' holds nested objects"):
        recognise(rows({"title": "t", "paragraphs": [{"qas": []}]}), None, None)
    with pytest.raises(DataError, match="are numbers"):
        recognise(rows({"tokens": ["a"], "ner_tags": [0]}), None, None)
    with pytest.raises(DataError, match="no row that can be read"):
        recognise([], None, None)


def test_slices_are_texts() -> None:
    value = {"text": "t", "label": "a", "n": 3, "tags": ["x", "y"], "none": None}
    assert one(value, slices=("n", "tags", "none", "missing")).slices == {"n": "3", "tags": "x, y", "none": "(missing)"}
