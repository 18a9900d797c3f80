"""Markup becomes plain text; code, formulas and comparisons stay; stretches keep their words; hostile text is no
harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.methods.quality.html import scan
from tunesmith.data.methods.quality.syntax import latex, markdown
from tunesmith.data.passes.curate import apply
from tunesmith.data.rewrite import edited
from tunesmith.data.room import Room
from tunesmith.data.steps.markup import Markup
from tunesmith.records import Message, Record, Span

PAGE = """<!DOCTYPE html>
<html><head><title>My page</title><style>body{color:red}</style>
<script>if (a<b) { document.write("<p>no</p>"); }</script></head>
<body class="x">
  <h1>Hello &amp; welcome</h1>
  <p>This is <b>bold</b> and
     <a href="http://x.y/?a=1&amp;b=2">a link</a>.</p><p>Second&nbsp;paragraph<br>with a line</p>
  <ul><li>one</li>
  <li>two</li></ul>
  <table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>
  <pre>def f():
    return 1 &lt; 2</pre>
  <!-- a comment --> <p>end
</body></html>"""
PLAIN = """My page

Hello & welcome

This is bold and a link.

Second paragraph
with a line

- one
- two

a\tb
c\td

def f():
    return 1 < 2

end"""


def stripped(said: str, **settings: object) -> str:
    (record,) = apply(Markup.model_validate(settings), [Record("r", "s:1", text=said)]).kept
    return record.text or ""


def test_a_page_becomes_the_text_that_is_read() -> None:
    assert stripped(PAGE) == PLAIN


@pytest.mark.parametrize(
    "said",
    [
        "a < b and c > d",
        "if i<p then x>y",
        "a <b and c> d",
        "List<String> x = new List<>();",
        "Dear <your name>, <NAME> wrote",
        "Use the <b> tag to make text bold.",
        "<think>ok</think> <|im_end|> <tool_call>{}</tool_call>",
        "Write `<b>x</b>` and ```\n<p>code &amp; more</p>\n``` here",
        "R&D at AT&T; x &bogus; y",
        "<!-- is how a comment begins",
        "$a < b$ and $c > d$",
    ],
)
def test_what_is_no_markup_stays(said: str) -> None:
    assert stripped(said) == said


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ("line1<br>\nline2<br/>line3", "line1\nline2\nline3"),
        ("Hi <b>there</b>\n  indented", "Hi there\n  indented"),
        ("<?xml version='1.0'?><note><to>Tove</to><body>Hi</body></note>", "Tove\nHi"),
        ("<P>Shouted</P><SCRIPT>x()</Script >now", "Shouted\n\nnow"),
        ("U &lt;#&gt; &amp; me &#39;s &#x41;", "U <#> & me 's A"),
        ("<p>never closed <script> x", "never closed\nx"),
    ],
)
def test_small_pieces_of_markup(said: str, plain: str) -> None:
    assert stripped(said, min_share=0.0) == plain


def test_tags_stay_in_texts_that_are_about_them_and_the_share_is_shown() -> None:
    rows = [Record("r1", "s:1", text="<b>x</b> " + "a long text " * 100), Record("r2", "s:2", text="<p>page</p>")]
    room = Room()
    result = apply(Markup(), rows, room)
    assert [change.after.id for change in result.changed] == ["r2"]
    (shown,) = room.findings.distributions
    assert (shown.what, shown.high, shown.cut) == ("share of HTML", 0.01, 1)
    assert len(apply(Markup(min_share=0.001), rows).changed) == 2


def test_prose_with_a_piece_of_html_keeps_its_lines() -> None:
    prose = "\n".join(f"line {n}" for n in range(9))
    assert stripped(f"{prose}\n<p>see <b>this</b></p>\n{prose}") == f"{prose}\n\nsee this\n\n{prose}"


def test_a_row_of_nothing_but_markup_is_dropped() -> None:
    (drop,) = apply(Markup(), [Record("r", "s:1", text="<script>var x = 1;</script><br>")]).dropped
    assert drop.reason == "nothing but markup"


def test_latex_and_markdown_go_and_formulas_and_code_stay() -> None:
    tex = r"\section{Intro} We \emph{show} $a \textbf{b}$ \cite{x}. \begin{align}\emph{y}\end{align} 5\% {kept}"
    assert stripped(tex) == "Intro\n We show $a \\textbf{b}$ . \\begin{align}\\emph{y}\\end{align} 5% {kept}"
    assert stripped(r"use \textbf{x} for that") == r"use \textbf{x} for that"
    assert stripped(tex, formats=("html",)) == tex
    page = "# Title\n\nSome **bold [link](http://a.b)**, *so* 2*3*4 `**code**`\n> quote\n---\n![alt](x.png)"
    assert stripped(page) == page
    assert stripped(page, formats=("markdown",)) == "Title\n\nSome bold link, so 2*3*4 `**code**`\nquote\n\nalt"


def test_turns_are_stripped_too() -> None:
    turns = (Message("user", "<p>Hello</p>"), Message("assistant", "Hi <b>you</b>", trained=True))
    (record,) = apply(Markup(), [Record("r", "s:1", messages=turns)]).kept
    assert [turn.content for turn in record.messages] == ["Hello", "Hi you"]


PIECES = [
    "Anna",
    " ",
    "\n  ",
    "<p>",
    "</p>",
    "<b>",
    "</b>",
    "<br/>",
    "<script>x</script>",
    "<!-- c -->",
    "&amp;",
    "bc",
    "</td>",
]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=14), st.data())
def test_stretches_keep_their_words(parts: list[str], data: st.DataObject) -> None:
    said = "<div>" + "".join(parts) + "</div>"
    borders = [5 + sum(map(len, parts[:n])) for n in range(len(parts) + 1)]
    start, end = sorted(data.draw(st.lists(st.sampled_from(borders), min_size=2, max_size=2, unique=True)))
    result = apply(Markup(), [Record("r", "s:1", text=said, spans=(Span(start, end, "x"),))])

    def meant(some: str) -> str:
        for piece in PIECES:
            if piece.startswith("<"):
                some = some.replace(piece, " ")
        return "".join(some.replace("&amp;", "&").split())

    for record in result.kept:
        assert record.text is not None
        found = ["".join(record.text[s.start : s.end].split()) for s in record.spans or ()]
        assert found in ([meant(said[start:end])], [])
        assert found or not meant(said[start:end])


@pytest.mark.parametrize(
    "piece",
    [
        "<a ",
        '<a "',
        "<a '\"",
        "<!--",
        "<script>",
        "<svg><style>",
        "&",
        "<",
        "<![CDATA[",
        "<a b=",
        "`",
        "\\[",
        "\\emph{",
        "{",
        "$",
        "**a",
        "[a](",
        "- ",
        "\\begin{align}",
        "\\cite[a]",
    ],
)
def test_hostile_text_takes_no_longer_than_other_text(piece: str) -> None:
    """Would take minutes if any part were searched for again from every place."""
    said = piece * (200_000 // len(piece))
    for find in (latex, markdown, lambda text: scan(text).edits(len(text))):
        assert len(edited(said, None, find(said))[0]) <= len(said) + 1
