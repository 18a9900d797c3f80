"""The codec: prose, labels, spans, truncation, encoder-decoders; tokens lost and stop tokens are never hidden."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.encode.tags import asked_tokens
from tunesmith.data.encode.tokenize import ROLES, Codec, Example
from tunesmith.errors import DataError, ModelError
from tunesmith.records import Message, Record, Span
from tunesmith.scale.executor import Executor
from tunesmith.testing.tiny import tiny_encoder_tokenizer, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
ENCODER = tiny_encoder_tokenizer()
BOS, EOS = TOKENIZER.bos_token_id, TOKENIZER.eos_token_id


def codec(need: str, family: str = "causal", tokenizer: Any = TOKENIZER, **settings: Any) -> Codec:
    given: dict[str, Any] = {"max_length": 64, "too_long": "truncate", **settings}
    return Codec(tokenizer, need=need, family=family, **given)  # type: ignore[arg-type]


def prose(text: str) -> Record:
    return Record("r", "s:1", text=text)


def chat(*turns: tuple[str, str]) -> Record:
    messages = tuple(Message(role, said, trained=role == "assistant") for role, said in turns)  # type: ignore[arg-type]
    return Record("r", "s:1", messages=messages)


def text_of(example: Example, role: str | None = None) -> str:
    ids = example.ids if role is None else example.ids[example.roles == ROLES.index(role)]
    return str(TOKENIZER.decode(ids.tolist()))


# Prose


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300), st.integers(8, 40))
def test_every_token_of_prose_is_in_exactly_one_piece(text: str, max_length: int) -> None:
    plain = TOKENIZER(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    examples = codec("text", max_length=max_length).encode(prose(text))
    if not plain:
        assert examples == []
        return
    assert [int(token) for example in examples for token in example.ids] == [BOS, *plain, EOS]
    assert all(2 <= len(example.ids) <= max_length for example in examples)
    assert all(example.trained[1:].all() and not example.trained[0] for example in examples)
    assert len({example.id for example in examples}) == len(examples)
    assert {example.cut for example in examples} == {0}


def test_prose_keeps_special_words_as_letters_and_marks_specials() -> None:
    (example,) = codec("text").encode(prose("the token </s> ends a text"))
    assert example.ids.tolist().count(EOS) == 1
    assert [ROLES[role] for role in (example.roles[0], example.roles[1], example.roles[-1])] == [
        "special",
        "text",
        "special",
    ]


def test_long_prose_can_be_dropped_or_refused() -> None:
    long = prose("card " * 100)
    found = codec("text", too_long="drop").encode_many([long])
    assert (found.examples, [drop.reason for drop in found.dropped]) == ([], ["longer than max_length"])
    with pytest.raises(DataError, match="1 row is longer than 64 tokens: s:1"):
        codec("text", too_long="refuse").encode(long)
    assert len(codec("text").encode(long)) > 1


def test_conversations_among_prose_are_learned_whole_as_the_template_writes_them() -> None:
    talk = chat(("user", "what is </s> ?"), ("assistant", "an end"), ("user", "thanks"))
    learn = codec("text")
    written = TOKENIZER.apply_chat_template(
        [{"role": turn.role, "content": turn.content.replace("</s>", "&")} for turn in talk.messages], tokenize=False
    )
    plain = TOKENIZER(written, add_special_tokens=False)["input_ids"]
    marker, letters = (
        TOKENIZER(text, add_special_tokens=False, split_special_tokens=True)["input_ids"] for text in ("&", "</s>")
    )
    (example,) = learn.encode(talk)
    at = next(k for k in range(len(plain)) if plain[k : k + len(marker)] == marker)
    expected = [*plain[:at], *letters, *plain[at + len(marker) :]]
    if expected[0] != BOS:
        expected = [BOS, *expected]
    assert example.ids.tolist()[: len(expected)] == expected
    assert not example.trained[0] and example.trained[1:].all()
    assert "thanks" in text_of(example, "user") and "an end" in text_of(example, "assistant")
    # What is said decides, not what is learned beside it: prose stays prose, and a prompt for it is its own words.
    assert text_of(learn.encode(prose("what is it"))[0], "text") == "what is it"
    assert learn.prompt_ids(prose("what is it")) == learn.encode(prose("what is it"))[0].ids.tolist()[:-1]


def test_a_long_conversation_loses_no_token_of_running_text() -> None:
    talk = chat(*[("user", f"card {number}") if number % 2 else ("assistant", "ok") for number in range(1, 40)])
    pieces = codec("text", max_length=32).encode(talk)
    (whole,) = codec("text", max_length=4096).encode(talk)
    assert len(pieces) > 2
    assert [int(token) for piece in pieces for token in piece.ids] == whole.ids.tolist()
    assert [drop.reason for drop in codec("text", max_length=32, too_long="drop").encode_many([talk]).dropped] == [
        "longer than max_length"
    ]


# Labels


def test_labels_become_indices_and_the_text_is_framed() -> None:
    record = Record("r", "s:1", text="my card", labels=("b",), weight=2.0)
    (example,) = codec("label", labels=("a", "b")).encode(record)
    assert (example.label, example.weight, example.trained.any()) == ((1,), 2.0, False)
    assert (example.ids[0], example.ids[-1]) == (BOS, EOS)
    (example,) = codec("label", "encoder", ENCODER, labels=("a", "b")).encode(record)
    assert example.ids.tolist() == ENCODER("my card")["input_ids"]


def test_a_tokenizer_without_a_beginning_token_gets_none() -> None:
    bare = tiny_tokenizer(bos=False)
    (example,) = codec("label", tokenizer=bare, labels=("a",)).encode(Record("r", "s:1", text="my card", labels=("a",)))
    assert example.ids.tolist() == [*bare("my card")["input_ids"], bare.eos_token_id]


def test_several_labels_and_unknown_ones() -> None:
    both = Record("r", "s:1", text="x", labels=("b", "a"))
    assert codec("label", labels=("a", "b"), multi_label=True).encode(both)[0].label == (1, 0)
    unusable = [
        both,
        Record("s", "s:2", text="x", labels=("c",)),
        prose("x"),
        Record("t", "s:3", text="", labels=("a",)),
    ]
    assert [drop.reason for drop in codec("label", labels=("a", "b")).encode_many(unusable).dropped] == [
        "several labels where one is asked",
        "a label that is not among the model's: c",
        "no label",
        "no token to read",
    ]


def test_long_labelled_texts_lose_their_end() -> None:
    record = Record("r", "s:1", text="card " * 100, labels=("a",))
    whole = len(codec("label", labels=("a",), max_length=999).encode(record)[0].ids)
    (example,) = codec("label", labels=("a",)).encode(record)
    assert (len(example.ids), example.cut) == (64, whole - 64)
    assert (example.ids[0], example.ids[-1]) == (BOS, EOS)
    assert codec("label", labels=("a",), too_long="drop").encode(record) == []


# Spans

WORDS = st.lists(
    st.sampled_from(["Anna", "Berlin", "in", "x", "U.S.", "d'Or", "日本", "çava", "12,5", "-", "e-mail"]), min_size=1
)


@given(WORDS, st.data())
def test_spans_of_words_come_back(words: list[str], data: st.DataObject) -> None:
    text = " ".join(words)
    starts = [sum(len(word) + 1 for word in words[:n]) for n in range(len(words))]
    borders = data.draw(st.sets(st.integers(0, len(words)), max_size=6).map(sorted))
    spans = tuple(
        Span(starts[first], starts[last - 1] + len(words[last - 1]), data.draw(st.sampled_from("xy")))
        for first, last in pairwise(borders)
        if data.draw(st.booleans())
    )
    record = Record("r", "s:1", text=text, spans=spans)
    for family, tokenizer in (("causal", TOKENIZER), ("encoder", ENCODER)):
        tagger = codec("spans", family, tokenizer, labels=("x", "y"), max_length=999)
        (example,) = tagger.encode(record)
        assert example.tags is not None
        assert tagger.spans_of(record, example.tags.tolist()) == spans
        assert not example.bent
        assert example.tags[0] == example.tags[-1] == -100


def test_the_first_token_of_a_word_carries_the_tag() -> None:
    record = Record("r", "s:1", text="Xylophonquartett spielt", spans=(Span(0, 16, "x"),))
    tagger = codec("spans", labels=("x",))
    assert tagger.tag_names == ("O", "B-x", "I-x")
    (example,) = tagger.encode(record)
    assert example.tags is not None
    assert len(example.ids) > 4
    assert [int(tag) for tag in example.tags if tag != -100] == [1, 0]
    assert example.tags[1] == 1


def test_spans_inside_words_are_widened_and_overlaps_lose_the_shorter() -> None:
    tagger = codec("spans", labels=("x", "y"))
    inside = Record("r", "s:1", text="superman flies", spans=(Span(5, 8, "x"),))
    (example,) = tagger.encode(inside)
    assert example.bent
    assert example.tags is not None
    assert tagger.spans_of(inside, example.tags.tolist()) == (Span(0, 8, "x"),)
    nested = Record("r", "s:1", text="Bank of Bern", spans=(Span(0, 12, "x"), Span(8, 12, "y")))
    (example,) = tagger.encode(nested)
    assert example.bent
    assert example.tags is not None
    assert tagger.spans_of(nested, example.tags.tolist()) == (Span(0, 12, "x"),)


def test_tags_that_make_no_sense_still_name_stretches() -> None:
    record = Record("r", "s:1", text="a b c d")
    tagger = codec("spans", "encoder", ENCODER, labels=("x", "y"))
    (example,) = tagger.encode(replace(record, spans=()))
    assert example.tags is not None
    tags = example.tags.copy()
    tags[tags == 0] = [2, 4, 4, 0]  # I-x I-y I-y O
    assert tagger.spans_of(record, tags.tolist()) == (Span(0, 1, "x"), Span(2, 5, "y"))


def test_cut_texts_are_tagged_as_far_as_they_are_read() -> None:
    record = Record("r", "s:1", text="Anna " * 100, spans=tuple(Span(5 * n, 5 * n + 4, "x") for n in range(100)))
    tagger = codec("spans", labels=("x",))
    (example,) = tagger.encode(record)
    assert example.tags is not None
    found = tagger.spans_of(record, example.tags.tolist())
    assert found == record.spans[: len(found)]  # type: ignore[index]
    assert 10 < len(found) < 100
    assert example.cut > 0
    assert [d.reason for d in tagger.encode_many([Record("r", "s:1", text="x", spans=(Span(0, 1, "z"),))]).dropped] == [
        "a span's label is not among the model's"
    ]


# Conversations that are too long


def test_the_oldest_turns_go_first_then_the_beginning_of_the_question() -> None:
    turns = (
        ("system", "Be kind."),
        ("user", "old " * 20),
        ("assistant", "first"),
        ("user", "the card " + "is late " * 3),
        ("assistant", "second"),
    )
    whole = len(codec("chat", max_length=999).encode(chat(*turns))[0].ids)
    (example,) = codec("chat").encode(chat(*turns))
    assert "old" not in text_of(example)
    assert text_of(example, "system") == "Be kind."
    assert text_of(example, "assistant") == "second"
    assert text_of(example, "user").startswith("the card")
    assert example.cut == whole - len(example.ids)
    assert example.ids[-1] == EOS
    assert example.trained[-1]
    (shorter,) = codec("chat", max_length=40).encode(
        chat(("user", "the card " + "is late " * 30 + "now"), ("assistant", "second"))
    )
    assert len(shorter.ids) == 40
    assert shorter.ids[0] == BOS
    assert text_of(shorter, "user").endswith("late now")
    assert "the card" not in text_of(shorter, "user")
    assert text_of(shorter, "assistant") == "second"
    assert (shorter.ids[-1], bool(shorter.trained[-1])) == (EOS, True)


def test_an_answer_that_does_not_fit_is_cut_and_does_not_pretend_to_stop() -> None:
    (example,) = codec("chat").encode(chat(("user", "Hi"), ("assistant", "word " * 200)))
    assert len(example.ids) == 64
    assert example.ids[-1] != EOS
    assert example.trained[-1]
    assert text_of(example, "user") == ""


def test_conversations_can_be_dropped_or_refused() -> None:
    long = chat(("user", "Hi"), ("assistant", "word " * 200))
    found = codec("chat", too_long="drop").encode_many([long, chat(("user", "q"), ("assistant", "a"))])
    assert ([drop.reason for drop in found.dropped], len(found.examples)) == (["longer than max_length"], 1)
    with pytest.raises(DataError, match="longer than 64 tokens"):
        codec("chat", too_long="refuse").encode(long)


def test_unusable_conversations_say_why() -> None:
    found = codec("chat").encode_many(
        [chat(("assistant", "unasked")), Record("r", "s:1", messages=(Message("user", "q"), Message("assistant", "a")))]
    )
    assert [drop.reason for drop in found.dropped] == ["no trained answer to a question"] * 2


def test_the_chosen_side_of_a_preference_is_the_answer() -> None:
    record = Record("r", "s:1", messages=(Message("user", "q"),), chosen=(Message("assistant", "good", trained=True),))
    (example,) = codec("chat").encode(record)
    assert text_of(example, "assistant") == "good"


def test_many_and_one_at_a_time_are_the_same() -> None:
    records = [chat(("user", f"question {n} " * (n % 9)), ("assistant", f"answer {n}")) for n in range(700)]
    encoder, told = codec("chat"), []
    many = encoder.encode_many(records, told.append).examples
    for record, example in zip(records, many, strict=True):
        (one,) = encoder.encode(record)
        assert np.array_equal(one.ids, example.ids)
        assert np.array_equal(one.trained, example.trained)
    assert told == [*range(128, 700, 128), 700]


def test_what_is_left_is_what_those_left_would_have_become() -> None:
    records = [replace(prose(f"word {n} " * (n % 12)), id=f"r{n}") for n in range(60)]
    encoder = codec("text", max_length=12, too_long="truncate")
    whole = encoder.encode_many(records)
    assert len(whole.dropped) == 5 and len(whole.examples) > len(records)
    gone = set(whole.gone.tolist())
    alone = encoder.encode_many([record for n, record in enumerate(records) if n not in gone])
    left = whole.of_those_left(len(records))
    assert left.examples == alone.examples and np.array_equal(left.places, alone.places)
    assert not left.dropped and not len(left.gone) and not len(alone.gone)


@pytest.mark.parametrize("need", ["chat", "text", "spans"])
def test_several_processes_and_one_are_the_same(need: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.scale.executor.LOOK", 0.0)
    records = [
        chat(("user", f"question {n} <|end|> " * (n % 9)), *([("assistant", f"answer {n}")] * (n % 7 > 0)))
        if need == "chat"
        else Record(
            f"r{n}",
            f"s:{n}",
            text=f"Ann of Rome wrote {n} times " * (n % 9 > 0),
            spans=(Span(0, 3, "PER"),) * (n % 9 > 0),
        )
        for n in range(700)
    ]
    encoder = codec(need, labels=("PER",), too_long="drop", max_length=60)
    alone = encoder.encode_many(records)
    with Executor(2, worth=0.0) as executor:
        spread = encoder.encode_many(records, mapper=executor.map)
    assert spread.examples == alone.examples and len(alone.examples)
    assert [(drop.record.id, drop.reason) for drop in spread.dropped] == [
        (drop.record.id, drop.reason) for drop in alone.dropped
    ]
    assert len(alone.dropped) > 50 and (np.diff(alone.gone) > 0).all()
    assert sorted({*alone.gone.tolist(), *alone.places.tolist()}) == list(range(700))
    assert np.array_equal(spread.gone, alone.gone) and np.array_equal(spread.places, alone.places)


# Prompts


def test_prompts_leave_room_for_the_answer() -> None:
    record = chat(("user", "a very long question about a card " * 9), ("assistant", "a"))
    encoder = codec("chat")
    assert len(encoder.prompt_ids(record)) == 64
    prompt = encoder.prompt_ids(record, room=30)
    assert len(prompt) == 34
    assert prompt[0] == BOS
    assert prompt[-1] == TOKENIZER.convert_tokens_to_ids("<|assistant|>")
    with pytest.raises(DataError, match="no room for a prompt"):
        encoder.prompt_ids(record, room=64)
    assert codec("text").prompt_ids(prose("my card"))[0] == BOS
    assert (
        codec("label", "encoder", ENCODER, labels=("a",)).prompt_ids(prose("my card"))
        == ENCODER("my card")["input_ids"]
    )


# Encoder-decoders


def test_an_encoder_decoder_reads_the_prompt_and_says_the_answer() -> None:
    turns = (("user", "q"), ("assistant", "one"), ("user", "r"), ("assistant", "two"))
    encoder = codec("chat", "encoder_decoder", tiny_seq2seq())
    examples = encoder.encode(chat(*turns))
    assert [TOKENIZER.decode(list(example.answer_ids)) for example in examples] == ["one</s>", "two</s>"]  # type: ignore[arg-type]
    assert [example.trained.any() for example in examples] == [False, False]
    assert examples[-1].ids.tolist() == encoder.prompt_ids(chat(*turns))
    assert examples[-1].ids[-1] == EOS
    assert encoder.stop_ids == (EOS,)
    long = chat(("user", "card " * 100), ("assistant", "word " * 100))
    (example,) = encoder.encode(long)
    assert example.answer_ids is not None
    assert (len(example.ids), len(example.answer_ids)) == (64, 64)
    assert example.answer_ids[-1] != EOS
    assert example.cut > 100
    assert codec("chat", "encoder_decoder", tiny_seq2seq(), too_long="drop").encode(long) == []


def tiny_seq2seq() -> Any:
    """A tokenizer that ends each text like T5's."""
    from tokenizers import processors

    tokenizer = tiny_tokenizer(bos=False)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", EOS)]
    )
    return tokenizer


# What cannot be used


def test_unusable_tokenizers_are_refused_with_the_remedy() -> None:
    for family, tokenizer, said in (
        ("encoder", ENCODER, "cannot answer"),
        ("causal", tiny_tokenizer(chat=False), "no chat template"),
        ("causal", with_template("{{ messages[0]['content'] }}"), "leaves words out"),
        ("causal", with_template("{{ raise_exception('never') }}"), "fails on one question"),
    ):
        with pytest.raises(ModelError, match=said) as caught:
            codec("chat", family, tokenizer)
        assert caught.value.fix
    with pytest.raises(DataError, match="leaves no room"):
        codec("text", max_length=7)


def with_template(template: str) -> Any:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def test_a_template_that_ends_no_answer_is_said() -> None:
    endless = with_template("{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}")
    assert any("does not end an answer" in note for note in codec("chat", tokenizer=endless).notes)
    assert codec("chat").notes == ()


def test_a_span_may_end_before_a_comma() -> None:
    record = Record("r", "s:1", text="Anna, go (Bern)", spans=(Span(0, 4, "x"), Span(10, 14, "x")))
    tagger = codec("spans", labels=("x",))
    (example,) = tagger.encode(record)
    assert example.tags is not None
    assert tagger.spans_of(record, example.tags.tolist()) == record.spans
    assert not example.bent


def test_prose_begins_as_the_template_or_the_tokenizer_begins() -> None:
    def first(tokenizer: Any) -> int:
        return int(codec("text", tokenizer=tokenizer).encode(prose("my card"))[0].ids[0])

    from tokenizers import processors

    silent = tiny_tokenizer()
    silent.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    assert first(silent) == BOS, "the template writes one"
    silent.chat_template = silent.chat_template.replace("{{ bos_token }}", "")
    assert first(silent) != BOS, "it has the token, and nothing writes it"
    alone = tiny_tokenizer()
    alone.chat_template = silent.chat_template
    assert first(alone) == BOS, "the tokenizer writes one"


def test_the_asked_tokens_are_those_that_begin_words() -> None:
    offsets = np.array([[0, 2], [2, 4], [4, 5], [5, 8], [8, 9], [8, 9], [9, 12]])
    assert asked_tokens("Anna, go日U.S", offsets) == [(0, 0, 4), (2, 4, 5), (3, 6, 8), (4, 8, 9), (6, 9, 12)]
    assert asked_tokens("Anna, go", offsets[:2]) == [(0, 0, 4)]
