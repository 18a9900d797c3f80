"""Templates: what becomes of each shape, what a user may write, and what the sandbox refuses."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tunesmith.errors import DataError, NotFound, UserError
from tunesmith.prompts.examples import choose
from tunesmith.prompts.template import MAX_TEMPLATE, answer_of, places, render, template_names, wordings
from tunesmith.records import Message, Record, Span
from tunesmith.spec.sections import Prompt

LABELLED = Record("r", "s:1", text="My card is lost", labels=("card",), slices={"channel": "mail"})
SPANNED = Record(
    "r",
    "s:1",
    text="Anna and Bo in Bern",
    spans=(Span(0, 4, "person"), Span(9, 11, "person"), Span(15, 19, "place")),
    labels=("travel",),
)


def turns(record: Record) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in record.messages]


def one(record: Record, template: str | None = None, system: str | None = None, task: str | None = None) -> Record:
    (rendered,) = render([record], template, system, task, ("card", "loan"))
    return rendered


def test_there_is_a_template_for_every_task() -> None:
    assert template_names() == [
        "answer", "answer_from_context", "chat", "classify", "code", "extract", "generate", "sentiment", "summarize",
        "tag", "translate",
    ]  # fmt: skip


def test_a_label_is_asked_for_and_answered() -> None:
    rendered = one(LABELLED, task="classify", system="You route mail.")
    assert turns(rendered) == [
        ("system", "You route mail."),
        ("user", "My card is lost\n\nWhich of these is it: card, loan?"),
        ("assistant", "card"),
    ]
    assert [turn.trained for turn in rendered.messages] == [False, False, True]
    assert (rendered.shape, rendered.labels, rendered.slices) == ("chat", ("card",), {"channel": "mail"})


def test_many_labels_are_not_listed() -> None:
    (rendered,) = render([LABELLED], None, None, "classify", [f"label {n}" for n in range(21)])
    assert rendered.prompt[0].content == "My card is lost\n\nWhat is it about?"


def test_several_labels_are_one_answer() -> None:
    assert answer_of(Record("r", "s:1", text="x", labels=("a", "b")), ("a", "b")) == "a, b"


def test_spans_become_json_in_a_fixed_order() -> None:
    assert one(SPANNED, task="extract").answer == '{"label": "travel", "person": ["Anna", "Bo"], "place": "Bern"}'
    said = answer_of(SPANNED, ("place", "person"))
    assert said is not None
    assert list(json.loads(said)) == ["label", "place", "person"]
    assert answer_of(Record("r", "s:1", text="nothing", spans=()), ()) == "{}"
    assert answer_of(Record("r", "s:1", text="é", spans=(Span(0, 1, "ü"),)), ()) == '{"ü": "é"}'


def test_a_stretch_called_label_beside_a_label_is_refused() -> None:
    clash = Record("r", "s:1", text="x", spans=(Span(0, 1, "label"),), labels=("a",))
    with pytest.raises(DataError, match="called 'label'"):
        answer_of(clash, ())


def test_single_questions_get_the_template_and_longer_talks_only_the_system_message() -> None:
    single = Record("r", "s:1", messages=(Message("user", "Words."), Message("assistant", "W.", trained=True)))
    assert turns(one(single, task="summarize")) == [("user", "Words.\n\nSummarize this."), ("assistant", "W.")]
    assert turns(one(single, task="chat")) == turns(single)
    talk = Record("r", "s:1", messages=(*single.messages, *single.messages))
    assert turns(one(talk, task="summarize", system="s")) == [("system", "s"), *turns(talk)]
    own = Record("r", "s:1", messages=(Message("system", "own"), *single.messages))
    assert turns(one(own, system="s"))[0] == ("system", "own")


def test_prose_stays_prose() -> None:
    prose = Record("r", "s:1", text="Once upon a time")
    assert one(prose, task="generate", system="s") == prose


def test_without_task_or_template_the_text_is_the_question() -> None:
    assert one(LABELLED).prompt[0].content == "My card is lost"


def test_a_users_template_may_name_columns() -> None:
    written = "[{{ channel | upper }}] {{ text }}{% if labels %} ({% for l in labels %}{{ l }};{% endfor %}){% endif %}"
    assert one(LABELLED, written).prompt[0].content == "[MAIL] My card is lost (card;loan;)"
    assert places(written) == {"channel"}
    assert places("summarize") == places(None, "classify") == places(None, None) == set()


def test_an_unknown_column_lists_those_that_exist() -> None:
    with pytest.raises(UserError, match=r"'chanel', which is no column \(did you mean 'channel'\?\)") as caught:
        one(LABELLED, "{{ chanel }} {{ text }}")
    assert "text, labels, channel" in caught.value.fix


def test_an_unknown_name_lists_the_library() -> None:
    with pytest.raises(NotFound, match=r"no template 'clasify' \(did you mean 'classify'\?\)") as caught:
        places("clasify")
    assert "summarize" in caught.value.fix


REFUSED = {
    "{{ text * 999999999 }}": "uses Mul",
    "{{ text }}{{ 9 ** 9 ** 9 ** 9 }}": "uses Pow",
    "{{ text }}{{ '%999999999d' % 1 }}": "uses Mod",
    "{{ text.__class__.__mro__ }}": "uses Getattr",
    "{{ text['__class__'] }}": "uses Getitem",
    "{{ text }}{{ range(999999999) }}": "uses Call",
    "{{ text }}{{ cycler }}{% macro f() %}{{ f() }}{% endmacro %}": "uses Macro",
    "{{ text | center(999999999) }}": "No filter named 'center'",
    "{% include '/etc/passwd' %}{{ text }}": "uses Include",
    "{% for a in labels %}{% for b in labels %}{{ text }}{% endfor %}{% endfor %}": "loop in a loop",
    "{{ text ~ text }}": "uses Concat",
    "{{ text": "cannot be read",
    "{% set x = text %}": "uses Assign",
    "{{ channel }}": "no place {{ text }}",
    "{{ text }}" + "x" * MAX_TEMPLATE: "longer than 20,000",
}


@pytest.mark.parametrize("written", REFUSED)
def test_the_sandbox_refuses_what_could_reach_or_grow(written: str) -> None:
    with pytest.raises(UserError) as caught:
        places(written)
    assert REFUSED[written] in caught.value.what
    assert caught.value.fix


def test_a_prompt_cannot_grow_without_bound() -> None:
    long = Record("r", "s:1", text="y" * 200_000, labels=("a",))
    with pytest.raises(UserError, match="more than 10,000,000 characters"):
        render([long], "{% for l in labels %}{{ text }}{% endfor %}", None, None, ["x"] * 100)


def test_the_library_says_what_each_template_is_about() -> None:
    from ruamel.yaml import YAML

    import tunesmith.prompts

    for file in (Path(tunesmith.prompts.__file__).parent / "library").iterdir():
        said = YAML(typ="safe", pure=True).load(file.read_text("utf-8"))
        assert set(said) == {"about", "wordings"}
        assert said["about"].endswith(".")
        assert all("{{ text }}" in wording for wording in said["wordings"])
        assert len(set(said["wordings"])) == len(said["wordings"]) >= (1 if file.stem == "chat" else 3)


MANY = [replace(LABELLED, id=f"r{n}", text=f"My card {n} is lost") for n in range(400)]


def asked(records: list[Record], **settings: Any) -> list[str]:
    rendered = render(records, "classify", None, None, ("card", "loan"), **settings)
    return [
        one.prompt[-1].content.replace(record.text or "", "...") for one, record in zip(rendered, records, strict=True)
    ]


def test_rows_are_asked_in_several_wordings_drawn_by_their_ids() -> None:
    ways = Counter(asked(MANY, vary="all"))
    assert len(ways) == len(wordings("classify")) == 6
    assert min(ways.values()) > 400 / 6 / 2
    assert asked(MANY, vary="all") == asked(MANY[::-1], vary="all")[::-1]
    assert asked(MANY, vary="all", seed=1) != asked(MANY, vary="all")
    assert len(set(asked(MANY, vary=3))) == 3
    assert set(asked(MANY, vary=3)) <= set(ways)
    (first,) = set(asked(MANY))
    assert first == "...\n\nWhich of these is it: card, loan?"
    assert first in ways


@pytest.mark.parametrize("name", template_names())
@pytest.mark.parametrize("labels", [(), ("card", "loan"), tuple(f"label {n}" for n in range(21))])
def test_every_wording_of_the_library_can_be_filled(name: str, labels: tuple[str, ...]) -> None:
    rendered = render(MANY[:40], name, None, None, labels, vary="all")
    for one, record in zip(rendered, MANY, strict=False):
        assert record.text in one.prompt[-1].content
        assert one.prompt[-1].content == one.prompt[-1].content.strip()
        assert "\n\n\n" not in one.prompt[-1].content
        assert ("loan" in one.prompt[-1].content) <= (labels == ("card", "loan"))


def test_more_wordings_than_there_are_and_none_to_vary_are_refused() -> None:
    with pytest.raises(UserError, match="has 6 wordings, not 9"):
        asked(MANY, vary=9)
    with pytest.raises(UserError, match="has 1 wording, not 2"):
        render(MANY, "{{ text }}!", None, None, (), vary=2)
    with pytest.raises(ValidationError, match="one wording"):
        Prompt(template="{{ text }}!", wordings="all")


def test_examples_come_before_the_question_and_are_not_trained() -> None:
    shown = [MANY[7], replace(MANY[8], labels=("loan",))]
    (rendered, own) = render([MANY[0], MANY[7]], "classify", "Route.", None, ("card", "loan"), examples=shown)
    question = "My card {} is lost\n\nWhich of these is it: card, loan?"
    assert turns(rendered) == [
        ("system", "Route."),
        ("user", question.format(7)), ("assistant", "card"),
        ("user", question.format(8)), ("assistant", "loan"),
        ("user", question.format(0)), ("assistant", "card"),
    ]  # fmt: skip
    assert [turn.trained for turn in rendered.messages] == [False] * 6 + [True]
    assert rendered.answer == "card"
    assert [turn.content for turn in own.messages if turn.role == "user"] == [question.format(8), question.format(7)]


def test_examples_are_short_rows_of_every_label_drawn_by_their_ids() -> None:
    records = [replace(LABELLED, id=f"r{n}", text="word " * (1 + n % 10), labels=("abc"[n % 3],)) for n in range(300)]
    chosen = choose(records, 6, 0)
    assert sorted(Counter(record.labels[0] for record in chosen).values()) == [2, 2, 2]
    assert max(len(record.text or "") for record in chosen) <= len("word " * 6)
    assert choose(records[::-1], 6, 0) == chosen
    assert choose(records, 6, 1) != chosen
    assert choose(records, 0, 0) == []
    assert len(choose(records[:2], 6, 0)) == 2


ESCAPES = [
    "{{ text }}{{ 9 ** 9 ** 9999999 }}",
    "{{ text }}{{ 'x' * 99999999999 }}",
    "{{ text }}{{ self._TemplateReference__context }}",
    "{{ text }}{{ ''.__class__ }}",
    "{{ text }}{{ labels | attr('__class__') }}",
    "{{ text }}{{ labels | map(attribute='__class__') | list }}",
    "{{ text }}{{ lipsum.__globals__ }}",
    "{{ text }}{{ config }}{{ request.application }}",
    "{{ text }}{{ namespace() }}",
    "{{ text }}{{ labels | tojson | safe | pprint }}",
    "{{ text }}{% import 'os' as os %}",
    "{{ text }}{% from 'x' import y %}",
    "{% extends '/etc/passwd' %}{{ text }}",
    "{{ text }}{% call f() %}{% endcall %}",
    "{{ text }}{% filter upper %}x{% endfilter %}",
    "{{ text }}{{ text[0:9999] }}",
    "{{ text }}{{ {'a': 1} }}",
    "{{ text }}{{ -1 }}{{ 2 // 1 }}",
    "{{ text }}{% do labels.append(1) %}",
    "{{ text }}{% for l in labels recursive %}{{ loop(l) }}{% endfor %}",
    "{{ text | replace('', text) | replace('', text) | format(1) }}",
]


@pytest.mark.parametrize("written", ESCAPES)
def test_known_escapes_from_template_sandboxes_are_refused(written: str) -> None:
    with pytest.raises(UserError):
        render([LABELLED], written, None, None, ("card",))


def test_a_replacement_cannot_grow_without_bound() -> None:
    long = Record("r", "s:1", text="y" * 200_000, labels=("a",))
    for written in ("{{ text | replace('y', text) }}", "{{ text | replace('', text) }}", "{{ labels | join(text) }}"):
        with pytest.raises(UserError, match="more than 10,000,000 characters"):
            render([long], written + "{{ text }}", None, None, ["x"] * 100)
