"""Texts are changed and labelled stretches move along."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.rewrite import Edit, edited
from tunesmith.records import Span


def words(text: str, spans: tuple[Span, ...] | None) -> list[str]:
    return [text[span.start : span.end] for span in spans or ()]


def test_stretches_beside_an_edit_keep_their_words_and_those_inside_hold_the_new_ones() -> None:
    text = "Call Anna on 555-1234 in Bern."
    spans = (Span(0, 4, "V"), Span(5, 9, "PER"), Span(13, 21, "TEL"), Span(25, 29, "LOC"))
    said, moved = edited(text, spans, [Edit(5, 9, "<NAME>"), Edit(13, 21, "")])
    assert said == "Call <NAME> on  in Bern."
    assert moved is not None
    assert [(said[s.start : s.end], s.label) for s in moved] == [("Call", "V"), ("<NAME>", "PER"), ("Bern", "LOC")]
    assert edited(text, None, [Edit(0, 4, "Ring")]) == ("Ring Anna on 555-1234 in Bern.", None)


def test_a_stretch_that_an_edit_cuts_is_widened() -> None:
    said, moved = edited("abcdefgh", (Span(2, 5, "x"), Span(5, 8, "y")), [Edit(4, 6, "---")])
    assert said == "abcd---gh"
    assert words(said, moved) == ["cd---", "---gh"]


def test_a_stretch_takes_no_blanks_that_an_edit_puts_at_its_ends() -> None:
    said, moved = edited("to<p>Anna</p>and on", (Span(2, 13, "PER"),), [Edit(2, 5, "\n"), Edit(9, 13, "\n")])
    assert (said, words(said, moved)) == ("to\nAnna\nand on", ["Anna"])
    said, moved = edited("to<b> Anna", (Span(5, 10, "PER"),), [Edit(2, 5, "")])
    assert words(said, moved) == [" Anna"]


@given(st.text("ab", min_size=8, max_size=8), st.sets(st.integers(0, 8), max_size=8), st.data())
def test_edits_are_those_of_a_plain_replacement(text: str, borders: set[int], data: st.DataObject) -> None:
    pairs = zip(sorted(borders)[::2], sorted(borders)[1::2], strict=False)
    edits = [Edit(start, end, data.draw(st.text("xyz", max_size=3))) for start, end in pairs]
    said, _ = edited(text, (), edits)
    plain = text
    for start, end, new in reversed(edits):
        plain = plain[:start] + new + plain[end:]
    assert said == plain
    inside = {place for start, end, _ in edits for place in range(start, end)}
    for start in range(8):
        for end in range(start + 1, 9):
            if not inside & set(range(start, end)):
                _, moved = edited(text, (Span(start, end, "s"),), edits)
                assert words(said, moved) == [text[start:end]]
