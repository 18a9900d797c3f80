"""Gibberish and repetition: what nobody wrote to be read is found, and languages, code and emphasis are not hurt."""

from __future__ import annotations

import base64
import pydoc_data.topics as pydoc_topics
import random
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from tunesmith.data.methods.quality import gibberish, repetition
from tunesmith.data.methods.quality.words import words
from tunesmith.data.passes.curate import StepResult, apply
from tunesmith.data.room import Room
from tunesmith.data.steps.gibberish import Gibberish
from tunesmith.data.steps.repetition import Repetition
from tunesmith.records import Message, Record

# Real English that comes with Python: its language reference.
ENGLISH = [
    " ".join(found.split())
    for found in re.split(r"(?<=[.!?])\s+(?=[A-Z])", "\n".join(pydoc_topics.topics.values()))
    if 60 <= len(found) <= 200 and len(re.findall("[^\\w\\s.,]", found)) <= 4
]


def english(count: int, start: int = 0) -> list[str]:
    return ENGLISH[start : start + count]


OTHERS = {
    "German": "Die Bestellung ist leider noch nicht angekommen, obwohl sie schon letzte Woche verschickt wurde.",
    "Spanish": "El pedido todavía no ha llegado, aunque fue enviado la semana pasada y ya está pagado.",
    "Russian": "Заказ до сих пор не пришёл, хотя он был отправлен ещё на прошлой неделе.",
    "Chinese": "订单到现在还没有收到，虽然上个星期就已经寄出了，请帮我查一下 order 的状态。",
    "Hindi": "आदेश अभी तक नहीं पहुंचा है, हालांकि इसे पिछले सप्ताह भेज दिया गया था।",
    "code": "def total(items):\n    return sum(item.price * item.count for item in items if item.count > 0)",
    "emphasis": "NOOOOO why did you do that to me hmmmm shhhh",
    "speech of messages": "pls txt me asap, thx m8, c u l8r at the usual place",
}


def rows(texts: Sequence[str]) -> list[Record]:
    return [Record(f"r{number}", f"rows.jsonl:{number}", text=said) for number, said in enumerate(texts)]


def reasons(result: StepResult) -> list[str]:
    return [drop.reason for drop in result.dropped]


def test_languages_code_and_emphasis_among_many_english_rows_are_kept() -> None:
    result = apply(Gibberish(), rows([*english(300), *OTHERS.values()]))
    assert [drop.record.text for drop in result.dropped] == []


def garbage(kind: str, count: int = 20) -> list[str]:
    draw = random.Random(1)

    def word(letters: str) -> str:
        return "".join(draw.choice(letters) for _ in range(draw.randint(4, 9)))

    make = {
        "random letters": lambda: " ".join(word("abcdefghijklmnopqrstuvwxyz") for _ in range(8)),
        "mashed keys": lambda: " ".join(
            draw.choice(["asdfgh", "qwerty", "asdasdf", "lkjhgf", "sdfjkl"]) for _ in range(4)
        ),
        "no vowels": lambda: " ".join(word("bcdfghklmnprst") + "xk" for _ in range(3)),
        "encoded": lambda: base64.b64encode(draw.randbytes(60)).decode(),
        "hashes": lambda: draw.randbytes(20).hex(),
        "symbols": lambda: "".join(draw.choice("|~^*#%{}[]<>=+;:!") for _ in range(30)),
        "digits": lambda: "".join(draw.choice("0123456789") for _ in range(30)),
        "one letter": lambda: "a" * 30,
    }[kind]
    return [make() for _ in range(count)]


KINDS = ["random letters", "mashed keys", "no vowels", "encoded", "hashes", "symbols", "digits", "one letter"]


@pytest.mark.parametrize("kind", KINDS)
def test_garbage_among_good_rows_is_found(kind: str) -> None:
    good, bad = rows(english(300)), [Record(f"g{n}", "g:1", text=said) for n, said in enumerate(garbage(kind))]
    result = apply(Gibberish(), [*good, *bad])
    assert {drop.record.id for drop in result.dropped} <= {record.id for record in bad}
    assert len(result.dropped) >= 19


def test_every_bound_of_gibberish_can_be_moved() -> None:
    off = {"max_strange": 1.0, "min_likelihood": -9.0, "max_symbols": 1.0, "max_digits": 1.0, "max_inner_capitals": 1.0}
    bad = {
        "words that are none": "asdfgh qwerty zxcvbn",
        "letters that make no words": garbage("random letters", 1)[0],
        "mostly symbols": "??!! :-) ;-( !!",
        "mostly digits": "12345 67890 1",
        "encoded data": "aTaXeRaNeTiRoLeNaTeRiSaTo",
    }
    some = rows([*english(260), *bad.values()])

    def found(**settings: float) -> dict[str, str | None]:
        return {drop.reason: drop.record.text for drop in apply(Gibberish.model_validate(settings), some).dropped}

    assert found(**off) == {}
    for (name, reason), value in zip(zip(off, bad, strict=True), (0.5, 0.2, 0.6, 0.8, 0.18), strict=True):
        assert found(**{**off, name: value}) == {reason: bad[reason]}
    short = rows(["?!?", "?!?!?"])
    assert reasons(apply(Gibberish(), short)) == ["mostly symbols"]
    assert reasons(apply(Gibberish(min_characters=3), short)) == ["mostly symbols"] * 2


def test_distributions_and_the_rows_nearest_to_a_bound_are_shown() -> None:
    room = Room()
    apply(Gibberish(), rows([*english(300), "asdfgh qwerty zxcvbn"]), room)
    shown = {found.what: found for found in room.findings.distributions}
    assert shown["share in strange words"].high == 0.4
    assert (shown["share in strange words"].cut, shown["likelihood of the letters"].cut) == (1, 0)
    assert 0.9 < shown["likelihood of the letters"].quantiles["p50"] < 1.1
    near = room.findings.examples["share in strange words: the rows nearest to its bounds"]
    assert [row["dropped"] for row in near] == [True, False, False, False, False, False]
    assert near[0]["text"] == "asdfgh qwerty zxcvbn"
    assert set(room.findings.figures["scripts"]) == {"latin"}


def test_few_rows_are_judged_by_words_and_symbols_alone() -> None:
    room = Room()
    result = apply(Gibberish(), rows(["xq vbz wqk jjx qpw zzk hgq vvb", "fine so far", "asdfgh zxcvb"]), room)
    assert reasons(result) == ["words that are none"]
    assert room.findings.notes == ["too few words to learn how letters follow each other: rows are judged without"]


def test_likelihood_is_of_the_order_of_letters_and_no_text_speaks_for_itself() -> None:
    odd = "zqxv wkjq zqxv wkjq zqxv wkjq zqxv wkjq"
    letters = gibberish.learned([*english(600), odd])
    assert gibberish.likelihood(odd, letters) < 0.2
    heard = gibberish.learned([*english(600), *[odd] * 20])
    assert gibberish.likelihood(odd, heard) > 0.5
    assert 0.8 < gibberish.likelihood(english(1, start=700)[0], letters) < 1.2
    assert np.isnan(gibberish.likelihood("too short", letters))
    assert np.isnan(gibberish.likelihood(OTHERS["Russian"], letters))


@pytest.mark.parametrize(
    "word", ["asdfgh", "qwerty", "jkljkl", "poiuyt", "aaaaaaaaaaaa", "xkcdzt", "x7f9q2k1v8z3", "sdfjkl"]
)
def test_strange_words(word: str) -> None:
    assert gibberish.is_strange(word)


@pytest.mark.parametrize(
    "word",
    [
        "strengths",
        "Donaudampfschiff",
        "HTTPS",
        "rhythm",
        "shhhhh",
        "Hmmmm",
        "flasks",
        "were",
        "property",
        "COVID19",
        "utf8",
    ],
)
def test_words_that_only_look_strange(word: str) -> None:
    assert not gibberish.is_strange(word)


# Repetition


def counted(said: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(said[place : place + n]) for place in range(len(said) - n + 1))


def test_ratios_are_those_of_a_plain_count() -> None:
    draw = random.Random(2)
    for _ in range(30):
        said = [draw.choice(["a", "bb", "ccc", "dddd", "e"]) for _ in range(60)]
        total = sum(map(len, said))
        most = 0.0
        for n in (2, 3, 4):
            runs = counted(said, n)
            top = max(runs.values())
            longest = max(sum(map(len, run)) for run, count in runs.items() if count == top)
            most = max(most, top * longest / total / (1.2 - 0.1 * n) if top > 1 else 0.0)
        assert repetition.common_ngrams(said) == pytest.approx(min(1.0, most))
        most = 0.0
        for n in range(5, 11):
            seen: set[tuple[str, ...]] = set()
            covered: set[int] = set()
            for place in range(len(said) - n + 1):
                run = tuple(said[place : place + n])
                covered |= set(range(place, place + n)) if run in seen else set()
                seen.add(run)
            most = max(most, sum(len(said[place]) for place in covered) / total / (1 - (n - 5) / 15))
        assert repetition.duplicate_ngrams(said) == pytest.approx(min(1.0, most))


def test_lines_and_compression() -> None:
    assert repetition.duplicate_lines("ab\n\n ab \ncd\n") == pytest.approx(2 / 6)
    assert repetition.duplicate_lines("") == 0.0
    assert repetition.compressed_share("word " * 1000) < 0.02
    assert repetition.compressed_share("") == 1.0
    assert repetition.common_ngrams([]) == repetition.duplicate_ngrams(["a"]) == 0.0


LOOP = "and then he said that he would come back to the shop on the next day with all of it, "
PAGE = " ".join(english(30, start=600))


def test_loops_are_dropped_and_pages_sums_and_code_are_kept() -> None:
    lines = "\n".join(
        f"{sentence}\nAll of the rights are reserved to the owner and the owners of this page"
        for sentence in english(8, start=500)
    )
    bad = rows([LOOP * 5, "yes no " * 60, PAGE[:300] + LOOP * 8, lines])
    good = rows([PAGE, OTHERS["code"] * 1, "ha ha ha ha ha", "buy now " * 10])
    result = apply(Repetition(), [*bad, *good])
    assert [drop.record.text for drop in result.dropped] == [record.text for record in bad]
    assert reasons(result)[-1] == "repeats its lines"


def test_every_bound_of_repetition_can_be_moved() -> None:
    off = {"duplicate_lines": 1.0, "common_ngrams": 1.0, "duplicate_ngrams": 1.0, "compressed": 0.0}
    said = "\n".join([LOOP] * 8)
    assert apply(Repetition(**off), rows([said])).dropped == []
    for name, reason in {
        "duplicate_lines": "repeats its lines",
        "common_ngrams": "repeats a few words",
        "duplicate_ngrams": "repeats its sentences",
        "compressed": "compresses to almost nothing",
    }.items():
        strict = 0.01 if name != "compressed" else 0.9
        assert reasons(apply(Repetition(**{**off, name: strict}), rows([said]))) == [reason]
    assert apply(Repetition(min_words=500), rows([said])).dropped == []


def test_the_answer_that_loops_drops_the_chat_and_a_bad_rejected_one_does_not() -> None:
    asked = Message("user", "Tell me about it.")
    loop, fine = Message("assistant", LOOP * 9, trained=True), Message("assistant", "Gladly.", trained=True)
    chat = Record("c", "s:1", messages=(asked, loop))
    pair = Record("p", "s:2", messages=(asked,), chosen=(fine,), rejected=(loop,))
    assert [drop.record.id for drop in apply(Repetition(), [chat, pair]).dropped] == ["c"]


def test_words_of_every_script() -> None:
    assert words("Don't stop: état-major, 3 Äpfel!") == ["Don't", "stop", "état-major", "3", "Äpfel"]
    assert words("我们 go 家") == ["我", "们", "go", "家"]
