"""Cleaning: placeholders, invisible characters, forms, lost characters and blanks; stretches keep their words."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.methods.quality.characters import broken_share, collapsing, without_invisible
from tunesmith.data.passes.curate import StepResult, apply
from tunesmith.data.rewrite import edited
from tunesmith.data.room import Room
from tunesmith.data.steps.clean import Clean
from tunesmith.records import Message, Record, Span


def text(number: int, said: str) -> Record:
    return Record(f"r{number}", f"rows.jsonl:{number}", text=said, labels=("a",))


def chat(number: int, question: str, answer: str) -> Record:
    turns = (Message("user", question), Message("assistant", answer, trained=True))
    return Record(f"r{number}", f"rows.jsonl:{number}", messages=turns)


def reasons(result: StepResult) -> dict[str, str]:
    return {drop.record.id: drop.reason for drop in result.dropped}


def cleaned(said: str, **settings: object) -> str | None:
    return apply(Clean.model_validate(settings), [text(1, said)]).kept[0].text


def test_placeholders_are_dropped_and_answers_that_may_be_right_are_kept() -> None:
    rows = [
        text(1, " N/A\n"),
        text(2, "[deleted]"),
        text(3, "Lorem  ipsum dolor sit amet, consectetur"),
        text(4, "none of it came"),
        chat(5, "null", "What do you mean?"),
        chat(6, "Which order?", "[removed]"),
        chat(7, "Which order number is named?", "None"),
        chat(8, "Is lorem ipsum Latin?", "Nearly."),
    ]
    assert reasons(apply(Clean(), rows)) == {
        "r1": "placeholder instead of a text",
        "r2": "placeholder instead of a text",
        "r3": "placeholder instead of a text",
        "r5": "placeholder instead of a prompt",
        "r6": "placeholder instead of an answer",
    }
    own = Clean(placeholders=("tba",), answer_placeholders=("none",))
    assert reasons(apply(own, [*rows, text(9, "TBA")])) == {
        "r7": "placeholder instead of an answer",
        "r9": "placeholder instead of a text",
    }


def test_what_cannot_be_seen_goes_and_what_shapes_letters_stays() -> None:
    assert cleaned("\ufeffpass\u200bword \u202eevil\u202c soft\xadly x\u200dy a\u200e") == "password evil softly xy a"
    assert cleaned("hi\U000e0068\U000e0069\U000e007f") == "hi"
    for kept in (
        "👩\u200d🔬",  # a scientist: two emoji joined
        "می\u200cخواهم",  # Persian needs its non-joiner
        "क्\u200dष",
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # the flag of Scotland
        "שלום\u200f!",
    ):
        assert without_invisible(kept) == kept
    assert cleaned("pass\u200bword", remove_invisible=False) == "pass\u200bword"


def test_forms_are_one() -> None:
    two = unicodedata.normalize("NFD", "schön")
    assert cleaned(two) == "schön" != two
    assert cleaned("x² ﬁne ＡＢ") == "x² ﬁne ＡＢ"
    assert cleaned("x² ﬁne ＡＢ", normalize="NFKC") == "x2 fine AB"
    assert cleaned(two, normalize="none") == two


def test_quotation_marks_of_windows_are_repaired_and_not_removed() -> None:
    assert cleaned("that\x92s \x93it\x94") == "that’s “it”"


def test_halves_of_pairs_are_joined_or_marked_whatever_is_set() -> None:
    assert cleaned("\ud83d\ude00 fine") == "😀 fine"
    lone = cleaned("a word and another \ud83d", fix_encoding=False)
    assert lone is not None
    assert lone.encode("utf-8") == "a word and another \ufffd".encode()


def test_rows_of_lost_characters_are_dropped_and_their_share_is_shown() -> None:
    rows = [text(1, "M\ufffdnchen, " + "a good row " * 5), text(2, "\ufffd\ufffd\ufffd no"), text(3, "plain")]
    room = Room()
    result = apply(Clean(), rows, room)
    assert reasons(result) == {"r2": "too many lost characters"}
    (shown,) = room.findings.distributions
    assert (shown.what, shown.high, shown.count, shown.cut) == ("share of lost characters", 0.05, 3, 1)
    assert apply(Clean(max_broken=0.6), rows).dropped == []
    assert broken_share(["ab", "\ufffd\udc00"]) == 0.5


def test_blanks_collapse_only_when_asked_and_code_keeps_its_indentation() -> None:
    said = "  def f(x):\xa0\n    return  x \t\r\n\r\n\r\n\r\nDone.  \n"
    assert cleaned(said) == said
    assert cleaned(said, collapse_whitespace=True) == "  def f(x):\n    return x\n\nDone."
    assert cleaned("\n\n a\u3000b", collapse_whitespace=True) == " a b"


@given(st.text(" \t\n\r\xa0ab", max_size=30))
def test_collapsing_twice_is_collapsing_once(said: str) -> None:
    once = edited(said, None, collapsing(said))[0]
    assert once.split() == said.split()
    assert edited(once, None, collapsing(once)) == (once, None)
    assert "\n\n\n" not in once
    assert once == once.rstrip()


PIECES = ["Anna", " ", "  ", "\u200b", "o\u0308", "\n\n\n", "b", "\xa0", "\x07"]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=14), st.data())
def test_stretches_keep_their_words_through_every_repair(parts: list[str], data: st.DataObject) -> None:
    said = "".join(parts)
    borders = [sum(map(len, parts[:n])) for n in range(len(parts) + 1)]
    start, end = sorted(data.draw(st.lists(st.sampled_from(borders), min_size=2, max_size=2, unique=True)))
    step = Clean(collapse_whitespace=True)
    result = apply(step, [Record("r", "s:1", text=said, spans=(Span(start, end, "x"),))])

    def meant(words: str) -> list[str]:
        for old, new in (("\u200b", ""), ("o\u0308", "ö"), ("\x07", "")):
            words = words.replace(old, new)
        return words.split()

    for record in result.kept:
        assert record.text is not None
        assert record.text.split() == meant(said)
        found = [record.text[span.start : span.end].split() for span in record.spans or ()]
        assert found == [meant(said[start:end])] or (not found and not meant(said[start:end]))


@pytest.mark.parametrize("side", ["messages", "chosen", "rejected"])
def test_every_turn_is_repaired(side: str) -> None:
    turns = {"messages": (Message("user", "q"),), "chosen": (Message("assistant", "a"),)}
    turns["rejected"] = (Message("assistant", "b"),)
    turns[side] = (*turns[side], Message("assistant", "x\u200by\x07", trained=True))
    (record,) = apply(Clean(), [Record("r", "s:1", **turns)]).kept
    assert getattr(record, side)[-1].content == "xy"
