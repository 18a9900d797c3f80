"""Length, language and relevance: what is measured, what is cut, and what is shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.feature_extraction.text import TfidfVectorizer

from tunesmith.data.methods.quality import relevance
from tunesmith.data.methods.quality.said import answered, asked, judged
from tunesmith.data.passes.curate import StepResult, apply
from tunesmith.data.room import Room
from tunesmith.data.steps.language import Language
from tunesmith.data.steps.length import Length
from tunesmith.data.steps.relevance import Relevance
from tunesmith.errors import DataError, UserError
from tunesmith.records import Message, Record
from tunesmith.testing.material import Doubles


def text(number: int, said: str) -> Record:
    return Record(f"r{number}", f"rows.jsonl:{number}", text=said, labels=("a",))


def chat(number: int, question: str, answer: str) -> Record:
    turns = (Message("system", "Be brief."), Message("user", question), Message("assistant", answer, trained=True))
    return Record(f"r{number}", f"rows.jsonl:{number}", messages=turns)


def dropped(result: StepResult) -> dict[str, str]:
    return {drop.record.id: drop.reason for drop in result.dropped}


def room(folder: Path = Path()) -> Room:
    return Room(models=Doubles(), folder=folder)


# Length


def test_lengths_of_rows_prompts_and_answers_are_bounded_apart() -> None:
    rows = [text(1, "one two three four"), text(2, "one"), chat(3, "one two", "one two three"), chat(4, "one", "one")]
    assert dropped(apply(Length(lowest=2, highest=5), rows, room())) == {"r2": "row too short", "r3": "row too long"}
    assert dropped(apply(Length(of="answer", lowest=2), rows, room())) == {"r4": "answer too short"}
    assert dropped(apply(Length(of="prompt", highest=2), rows, room())) == {"r1": "prompt too long"}
    assert dropped(apply(Length(), rows, room())) == {}


@pytest.mark.parametrize(("unit", "count"), [("tokens", 3), ("words", 4), ("characters", 11)])
def test_units_count_what_they_are_called(unit: str, count: int) -> None:
    found = room()
    apply(Length.model_validate({"unit": unit}), [text(1, "a bb, 我们 dd")], found)
    (shown,) = found.findings.distributions
    expected = {"tokens": 4, "words": 5, "characters": 11}[unit]
    assert (shown.what, shown.quantiles["p50"]) == (f"{unit} of the row", expected)


def test_tokens_of_many_rows_stay_with_their_rows() -> None:
    rows = [text(n, "word " * (n % 7)) for n in range(2500)]
    assert len(apply(Length(lowest=3), rows, room()).dropped) == sum(n % 7 < 3 for n in range(2500))


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="highest 2 is below lowest 3"):
        Length(lowest=3, highest=2)


def test_what_is_judged_asked_and_answered() -> None:
    said = Message("user", "Q"), Message("assistant", "A")
    pair = Record("p", "s:1", messages=said[:1], chosen=said[1:], rejected=(Message("assistant", "B"),))
    assert (judged(pair), asked(pair), answered(pair)) == (("Q", "A"), ("Q",), ("A",))
    assert (judged(chat(1, "q", "a")), asked(text(1, "t")), answered(text(1, "t"))) == (("q", "a"), ("t",), ())


# Language

SAID = {
    "en": "The parcel has still not arrived, although it was sent last week.",
    "de": "Das Paket ist immer noch nicht angekommen, obwohl es letzte Woche verschickt wurde.",
    "fr": "Le colis n'est toujours pas arrivé, bien qu'il ait été envoyé la semaine dernière.",
    "es": "El paquete todavía no ha llegado, aunque fue enviado la semana pasada.",
    "ru": "Посылка до сих пор не пришла, хотя её отправили на прошлой неделе.",
    "zh": "包裹到现在还没有收到，虽然上个星期就已经寄出了，请帮我查一下，谢谢你们的帮助。",
}


def test_other_languages_are_dropped_and_counted() -> None:
    rows = [Record(name, "s:1", text=said) for name, said in SAID.items()]
    found = room()
    assert dropped(apply(Language(), rows, found)) == dict.fromkeys(["de", "fr", "es", "ru", "zh"], "another language")
    assert found.findings.figures["languages"] == dict.fromkeys(SAID, 1)
    (shown,) = found.findings.distributions
    assert (shown.what, shown.cut) == ("probability of en", 5)
    assert shown.low == pytest.approx(0.02)
    assert dropped(apply(Language(keep=("de", "fr")), rows)).keys() == {"en", "es", "ru", "zh"}


def test_short_rows_code_and_links_are_no_reason_to_drop() -> None:
    rows = [
        text(1, "Danke!"),
        text(2, "Danke schön, sehr nett"),
        text(3, "def total(items):\n    for item in items:\n        x = prices[item] + 3\n    return x"),
        text(4, "1234 5678 90 0x7f3a 99.5"),
        text(5, "Here is the code we have used so far:\n```\nwenn nicht alles gut ist dann ende\n```"),
    ]
    found = room()
    assert dropped(apply(Language(), rows, found)) == {}
    assert found.findings.notes == ["3 rows are too short to tell their language, and are kept"]
    assert dropped(apply(Language(min_letters=15), rows)) == {"r2": "another language"}


def test_how_sure_it_must_be_is_a_setting() -> None:
    rows = [text(1, "la casa blanca and the white house in the night")]
    shown = room()
    apply(Language(), rows, shown)
    p = shown.findings.distributions[0].quantiles["p50"]
    assert 0.02 < p < 0.999
    assert dropped(apply(Language(confidence=0.0005), rows)) == {"r1": "another language"}


def test_an_unknown_language_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="no language 'eng'") as caught:
        apply(Language(keep=("eng",)), [text(1, "x")])
    assert "de" in caught.value.fix


# Relevance

SEEDS = ("My card has not arrived.", "The parcel with my new card is late.", "When will the card be delivered?")
ROWS = [
    text(1, "The new card has still not arrived, when will it be delivered?"),
    text(2, "I like to cook pasta with tomatoes."),
    text(3, "my parcel is late"),
    text(4, ""),
]


def test_nothing_is_dropped_before_it_is_said_where() -> None:
    found = room()
    assert apply(Relevance(seeds=SEEDS), ROWS, found).dropped == []
    (shown,) = found.findings.distributions
    assert (shown.what, shown.count, shown.low, shown.high) == ("similarity to the seeds", 4, None, None)
    assert len(found.findings.notes) == 1


def test_far_rows_are_dropped_by_threshold_or_by_share() -> None:
    by_threshold = dropped(apply(Relevance(seeds=SEEDS, at_least=0.2), ROWS, room()))
    assert by_threshold == {"r2": "far from the seeds", "r4": "far from the seeds"}
    assert dropped(apply(Relevance(seeds=SEEDS, best=0.5), ROWS, room())).keys() == {"r2", "r4"}
    assert dropped(apply(Relevance(seeds=SEEDS, best=0.25), ROWS, room())).keys() == {"r2", "r3", "r4"}
    both = Relevance(seeds=SEEDS, at_least=0.2, best=0.9)
    assert dropped(apply(both, ROWS, room())).keys() == {"r2", "r4"}


def test_similarities_are_those_of_scikit_learn() -> None:
    texts = ["red blue green gold", "red blue white", "red black", "green green red grey", ""]
    seeds = ["red green grey", "blue blue black"]
    model = TfidfVectorizer(sublinear_tf=True).fit(texts)
    compared = relevance.compared_with(seeds, texts)
    expected = (model.transform(texts) @ model.transform(seeds).T).toarray().max(axis=1)
    np.testing.assert_allclose([relevance.similarity(said, compared) for said in texts], expected, atol=1e-6)


def test_seeds_come_from_a_file_and_a_model_compares_meanings(tmp_path: Path) -> None:
    lines = [json.dumps({"text": said, "label": "a"}) for said in SEEDS]
    (tmp_path / "seeds.jsonl").write_text("\n".join(lines) + "\n")
    from_file = apply(Relevance(seeds="seeds.jsonl", at_least=0.2), ROWS, room(tmp_path))
    assert dropped(from_file).keys() == {"r2", "r4"}
    step = Relevance(seeds=SEEDS, model="reference", at_least=0.9)
    assert step.models() == ("reference",)
    assert Relevance(seeds=SEEDS).models() == ()
    found = room()
    result = apply(step, ROWS, found)
    embedded = Doubles().embed([row.text or "" for row in ROWS]) @ Doubles().embed(SEEDS).T
    assert dropped(result).keys() == {
        row.id for row, best in zip(ROWS, embedded.max(axis=1), strict=True) if best < 0.9
    }
    with pytest.raises(DataError, match="there are no seeds"):
        apply(Relevance(seeds=(" ",)), ROWS, room())
    many = room()
    apply(Relevance(seeds=tuple(f"seed {n}" for n in range(501))), ROWS, many)
    assert many.findings.notes[0] == "500 of 501 seeds are compared with, evenly spread over all"
