"""New training rows: what is changed, what stays, what is left out and why, and how far they lead away."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.methods.augmenting.drift import divergence
from tunesmith.data.methods.augmenting.noise import neighbours
from tunesmith.data.methods.augmenting.words import words_of
from tunesmith.data.passes.curate import StepResult, apply
from tunesmith.data.room import Room
from tunesmith.data.steps import Step
from tunesmith.data.steps._augment import Augment
from tunesmith.data.steps.back_translate import BackTranslate
from tunesmith.data.steps.counterfactual import Counterfactual
from tunesmith.data.steps.mask_fill import MaskFill
from tunesmith.data.steps.ocr_noise import OcrNoise
from tunesmith.data.steps.paraphrase import Paraphrase
from tunesmith.data.steps.synonyms import Synonyms
from tunesmith.data.steps.synthesise import Synthesise
from tunesmith.data.steps.typos import Typos
from tunesmith.data.steps.word_noise import WordNoise
from tunesmith.errors import UserError
from tunesmith.records import Message, Record, Span
from tunesmith.spec.quantity import Share
from tunesmith.testing.material import Doubles

SENTENCES = (
    "the customer purchased a car and wants to return it next week",
    "my parcel was damaged when the driver brought it to the house",
    "the new phone stopped working after a few minutes of use",
    "please tell me when the shop in the city opens on sunday",
    "the waiter forgot our order and the soup was completely cold",
    "i need help because the password of my account was rejected",
    "the hotel room looked dirty and the window did not close",
    "our team started the project in january and finished early",
)
ALL = Share(1.0, "")
EDITS = (Synonyms, WordNoise, Typos, OcrNoise)


def rows(count: int = 8, *labels: str) -> list[Record]:
    return [
        Record(f"r{number}", f"s:{number}", text=SENTENCES[number % 8], labels=(labels or ("a",))[:1])
        for number in range(count)
    ]


def made(result: StepResult) -> list[Record]:
    return [new for new, _ in result.made]


def figures(result: StepResult) -> dict[str, Any]:
    return result.findings.figures


# What all of them do


@pytest.mark.parametrize("step", EDITS)
def test_new_rows_keep_label_and_name_their_parent(step: type[Augment]) -> None:
    given = [replace(row, labels=(row.id,), slices={"channel": "email"}, weight=2.0) for row in rows()]
    result = apply(step(share=ALL, copies=2), given)
    assert len(result.made) >= 3
    parents = {row.id: row for row in given}
    for new in made(result):
        parent = parents[str(new.parent)]
        assert (new.labels, new.slices, new.weight) == (parent.labels, parent.slices, parent.weight)
        assert new.text != parent.text
        assert new.id.startswith(f"{parent.id}+{step(share=ALL).kind}")
    assert len({new.id for new in made(result)}) == len(result.made)
    assert [row for row in result.kept if row.parent is None] == given


def test_no_more_rows_are_made_than_the_share_allows() -> None:
    given = [replace(row, id=f"{row.id}.{n}", text=f"{row.text} {n}") for n in range(5) for row in rows()]
    for share, copies in ((0.5, 1), (0.1, 1), (0.5, 3), (0.0, 1)):
        result = apply(Typos(share=Share(share, ""), copies=copies), given)
        assert len(result.made) <= share * len(given)
        assert len(result.made) >= share * len(given) * 0.7
        most = Counter(new.parent for new in made(result)).most_common(1)
        assert not most or most[0][1] <= copies


def test_a_row_is_varied_in_the_same_way_whatever_rows_are_beside_it() -> None:
    step = Typos(share=ALL)
    alone = {new.id: new for new in made(apply(step, rows(3)))}
    beside = {new.id: new for new in made(apply(step, rows(8)[::-1]))}
    assert alone.items() <= beside.items()
    assert made(apply(step, rows(3), Room(seed=1))) != list(alone.values())


def test_only_rows_of_some_labels_are_varied_and_rare_ones_are_found() -> None:
    given = [*rows(8, "common"), *(replace(row, id=f"x{row.id}", labels=("rare",)) for row in rows(1))]
    given[-1] = replace(given[-1], text="a rare kind of message about billing problems")
    for only in ("rare", ("rare",)):
        assert {new.labels for new in made(apply(Typos(share=ALL, only=only), given))} == {("rare",)}
    with pytest.raises(UserError, match=r"label 'rar' \(did you mean 'rare'\?\)"):
        apply(Typos(only=("rar",)), given)


def test_rows_that_steps_made_are_not_varied_again_and_a_second_use_has_other_ids() -> None:
    once = apply(Typos(share=ALL), rows())
    twice = apply(Typos(share=ALL, layout="qwertz"), once.kept, Room(seed=5))
    assert {new.parent for new in made(twice)} <= {row.id for row in rows()}
    assert figures(twice)["left out"]["a row that a step made"] == len(once.made)
    assert len({row.id for row in twice.kept}) == len(twice.kept)


class Fixed(Augment):
    """Says given texts of every row."""

    reason = "said"
    texts: tuple[str, ...]

    def vary(self, records: Sequence[Record], room: Room) -> Any:
        return ([replace(record, text=text) for text in self.texts] for record in records)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("One  TWO three four five.", "the same as its original"),
        ("one two three four five five", "too much like its original"),
        ("six seven eight nine ten", "too much like another training row"),
        ("a held out row of five", "too much like a held-out row"),
        ("five four three two one", None),
    ],
)
def test_near_copies_of_any_row_are_left_out_and_counted(text: str, why: str | None) -> None:
    given = [
        Record("r1", "s:1", text="one two three four five", labels=("a",)),
        Record("r2", "s:2", text="six seven eight nine ten", labels=("b",)),
    ]
    held_out = [Record("h", "s:3", text="A held-out row of five!", labels=("a",))]
    step = Fixed(texts=(text, text), share=ALL, copies=2, only=("a",), max_likeness=Share(0.8, ""))
    result = apply(step, given, Room(held_out=held_out))
    expected = {"too much like another new row": 1} if why is None else {why: 2}
    assert figures(result)["left out"] == expected
    assert len(result.made) == (why is None)


def test_how_much_alike_is_too_much_is_a_setting_and_what_it_cuts_is_shown() -> None:
    given = [Record("r", "s:1", text="one two three four five six seven eight", labels=("a",))]
    text = "one two three four five six seven nine"  # 13 of 17 words and pairs
    for most, count in ((0.76, 0), (0.77, 1)):
        result = apply(Fixed(texts=(text,), share=ALL, max_likeness=Share(most, "")), given)
        assert len(result.made) == count
    (shown,) = result.findings.distributions
    assert (shown.high, shown.count) == (0.77, 1)
    assert shown.quantiles["p50"] == pytest.approx(13 / 17)


def test_drift_is_told_in_lengths_words_and_classes() -> None:
    given = [Record("r1", "s:1", text="one two", labels=("a",)), Record("r2", "s:2", text="one three", labels=("b",))]
    result = apply(Fixed(texts=("four five six seven",), share=ALL, only=("a",)), given)
    told = figures(result)["drift"]
    assert told["rows"] == {"before": 2, "new": 1}
    assert told["words a row"] == {"before": 2.0, "new": 4.0}
    assert told["vocabulary, divergence in bits"]["new rows"] == 1.0
    assert 0 < told["vocabulary, divergence in bits"]["all rows"] < 1
    assert told["different words"] == {"before": 3, "all": 7}
    assert told["classes"] == {"a": {"before": 1, "after": 2}, "b": {"before": 1, "after": 1}}
    assert told["lengths, largest difference of cumulative shares"] == 1.0
    assert result.findings.examples["new rows"][0]["after"] == "four five six seven"
    json.dumps(result.findings.figures, allow_nan=False)


def test_divergence_agrees_with_scipy() -> None:
    from scipy.spatial.distance import jensenshannon

    p, q = np.array([5, 0, 3, 2]), np.array([1, 4, 0, 9])
    assert divergence(p, q) == pytest.approx(jensenshannon(p, q, base=2) ** 2)
    assert divergence(p, p) == 0
    assert np.isnan(divergence(p, p * 0))


# Labelled stretches and conversations


@pytest.mark.parametrize("step", [*EDITS, MaskFill, Counterfactual])
@settings(max_examples=30)
@given(seed=st.integers(0, 200))
def test_labelled_stretches_keep_their_words(step: type[Augment], seed: int) -> None:
    text = "my husband Peter Schmidt purchased a large car in Berlin and he wants to return it"
    spans = tuple(Span(text.index(word), text.index(word) + len(word), "X") for word in ("Peter Schmidt", "Berlin"))
    given = [Record("r", "s:1", text=text, spans=spans, labels=("a",))]
    more = {"model": "x"} if step is MaskFill else {}
    room = Room(seed=seed, models=Doubles())
    for new in made(apply(step(share=ALL, copies=2, **more), given, room)):
        said = str(new.text)
        assert new.spans is not None
        found = [said[span.start : span.end] for span in new.spans]
        # A swapped name is swapped as a whole; all others leave stretches alone.
        assert found == (["Julia Schmidt", "Berlin"] if "Julia" in said else ["Peter Schmidt", "Berlin"])


@pytest.mark.parametrize("step", [Paraphrase, BackTranslate, Synthesise])
def test_steps_that_cannot_keep_stretches_pass_them_over_and_say_so(step: type[Augment]) -> None:
    given = [Record("r", "s:1", text="Anna lives here", spans=(Span(0, 4, "PER"),), labels=("a",))]
    result = apply(step(model="x", share=ALL), given, Room(models=Doubles()))
    assert result.made == []
    assert "1 rows with labelled stretches were passed over" in result.findings.notes[0]


@pytest.mark.parametrize("step", EDITS)
def test_of_a_conversation_the_question_is_varied_and_what_the_answer_takes_up_stays(step: type[Augment]) -> None:
    turns = (
        Message("system", "help the customer with large cars"),
        Message("user", "the customer purchased a large automobile and wants to return everything quickly"),
        Message("assistant", "the automobile and everything", trained=True),
    )
    given = [Record(f"r{n}", f"s:{n}", messages=turns) for n in range(1)]
    for seed in range(20):
        for new in made(apply(step(share=ALL, change=Share(0.5, "")), given, Room(seed=seed))):
            assert (new.messages[0], new.messages[2]) == (turns[0], turns[2])
            assert new.messages[1] != turns[1]
            assert {"automobile", "everything", "and", "the"} <= set(new.messages[1].content.split())


def test_prose_is_left_alone_but_for_identities() -> None:
    given = [Record("r", "s:1", text="The king met his wife in the old town.")]
    for step in (Typos(share=ALL), Synonyms(share=ALL)):
        result = apply(step, given)
        assert result.made == []
        assert figures(result)["left out"] == {"prose, every word of which is learned": 1}
    assert made(apply(Counterfactual(share=ALL), given))[0].text == "The queen met her husband in the old town."


# Each by itself


def changed_words(new: Record, old: str) -> int:
    return sum(one != other for one, other in zip(str(new.text).split(), old.split(), strict=True))


@pytest.mark.parametrize(("step", "share"), [(Typos, 0.1), (Typos, 0.5), (OcrNoise, 0.1), (OcrNoise, 0.5)])
def test_the_share_of_words_that_is_changed_is_a_setting(step: type[Any], share: float) -> None:
    old = " ".join(SENTENCES)
    (new,) = made(apply(step(share=ALL, change=Share(share, "")), [Record("r", "s:1", text=old, labels=("a",))]))
    assert changed_words(new, old) == round(share * len(words_of(old)))


def test_a_slip_hits_a_key_beside_by_the_layout() -> None:
    assert set(neighbours("qwerty")["g"]) == set("ftyhbv")
    assert set("tu") <= set(neighbours("qwertz")["z"])
    assert "t" not in neighbours("qwerty")["z"]

    def slips(layout: Any) -> list[str]:
        given = [Record("r", "s:1", text="zzzzzzzz", labels=("a",))]
        results = (apply(Typos(layout=layout, share=ALL), given, Room(seed=seed)) for seed in range(12))
        return [str(new.text) for result in results for new in made(result)]

    struck = {layout: set("".join(slips(layout))) - {"z"} for layout in ("qwerty", "qwertz", "azerty")}
    assert all(struck[layout] <= set(neighbours(layout)["z"]) and struck[layout] for layout in struck)


def test_letters_are_misread_as_ones_that_look_alike() -> None:
    text = "modern kind of hole"
    found = {
        str(new.text)
        for seed in range(100)
        for new in made(apply(OcrNoise(share=ALL), [Record("r", "s:1", text=text, labels=("a",))], Room(seed=seed)))
    }
    assert {"modem kind of hole", "rnodern kind of hole", "modern kind of ho1e", "modern kind 0f hole"} <= found
    assert not any("ä" in said or "é" in said for said in found), "no accents are made up"


@pytest.mark.parametrize("operation", ["insert", "swap", "delete"])
def test_word_noise_does_what_it_is_told(operation: Any) -> None:
    old = SENTENCES[0]
    for seed in range(20):
        step = WordNoise(share=ALL, operations=(operation,))
        for new in made(apply(step, [Record("r", "s:1", text=old, labels=("a",))], Room(seed=seed))):
            before, after = Counter(old.split()), Counter(str(new.text).split())
            if operation == "swap":
                assert before == after
            elif operation == "delete":
                assert (before - after).total() == 1 and not after - before
            else:
                assert not before - after
                added = (after - before).total()
                assert added == 1, "one word in ten"


def test_deletions_leave_no_double_blanks_and_never_everything() -> None:
    for seed in range(30):
        step = WordNoise(share=ALL, operations=("delete",), change=Share(1.0, ""))
        for new in made(apply(step, [Record("r", "s:1", text="one two three", labels=("a",))], Room(seed=seed))):
            assert "  " not in str(new.text)
            assert str(new.text).strip()


# With a model


class Said(Doubles):
    """A responder with given answers; it remembers what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = answers, list[tuple[str, int, float, int]]()

    def respond(
        self, conversations: Sequence[Sequence[Message]], *, max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        first = len(self.asked)
        self.asked += [(turns[-1].content, max_tokens, temperature, seed) for turns in conversations]
        return [self.answers[(first + at) % len(self.answers)] for at in range(len(conversations))]


def one(text: str = SENTENCES[0], *labels: str) -> list[Record]:
    return [Record("r", "s:1", text=text, labels=labels or ("complaint",))]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("the client bought 2 cars and will bring them back", "the client bought 2 cars and will bring them back"),
        ('Here is the message:\n"the client bought 2 cars"', "the client bought 2 cars"),
        ("```text\nthe client bought 2 cars\n```", "the client bought 2 cars"),
        ("Paraphrase: the client bought 2 cars", "the client bought 2 cars"),
        ("", "the answer is empty"),
        ("I'm sorry, I cannot help with 2 cars.", "the model declined"),
        ("the client bought two cars", "a number was lost or invented"),
        ("the client bought 2 cars " * 20, "the answer is much longer or shorter"),
    ],
)
def test_of_an_answer_the_text_itself_is_taken_or_it_is_left_out(answer: str, said: str) -> None:
    result = apply(
        Paraphrase(model="m", share=ALL),
        one("the customer purchased 2 cars and returned them"),
        Room(models=Said(answer)),
    )
    if result.made:
        assert made(result)[0].text == said
    else:
        assert figures(result)["left out"] == {said: 1}


def test_a_paraphrase_is_asked_for_with_text_and_label() -> None:
    models = Said("a wholly different wording of this complaint", "yet another one about that very matter")
    step = Paraphrase(model="m", share=ALL, copies=2, temperature=0.3, max_tokens=9, only=("complaint",))
    result = apply(step, [*one(), *rows(2)[1:]], Room(models=models))
    assert [new.text for new in made(result)] == list(models.answers)
    (first, max_tokens, temperature, seed), (_, _, _, other) = models.asked
    assert SENTENCES[0] in first and "complaint" in first
    assert (max_tokens, temperature) == (9, 0.3)
    assert seed != other, "each copy is drawn anew"


def test_back_translation_goes_through_another_language_and_back() -> None:
    models = Said("der Kunde kaufte ein Auto", "the client bought an auto and brings it back")
    step = BackTranslate(model="m", share=ALL, pivots=("German",), language="English")
    result = apply(step, one(), Room(models=models))
    assert made(result)[0].text == models.answers[1]
    there, back = models.asked
    assert "into German" in there[0] and SENTENCES[0] in there[0]
    assert "into English" in back[0] and models.answers[0] in back[0]


def test_copies_go_through_different_languages() -> None:
    models = Said("one two three four five")
    apply(
        BackTranslate(model="m", share=ALL, copies=2, pivots=("German", "Thai")),
        [*one(), *rows(1)],
        Room(models=models),
    )
    asked = " ".join(text for text, *_ in models.asked)
    assert "into German" in asked and "into Thai" in asked


def test_new_rows_are_written_after_examples_and_owe_themselves_to_the_first() -> None:
    answer = json.dumps(["my invoice is wrong", "why was i charged twice", "", "x" * 5000])
    models = Said(f"Sure!\n```json\n{answer}\n```")
    given = rows(8, "billing")
    result = apply(Synthesise(model="m", share=ALL, copies=4, examples=3, max_tokens=99), given, Room(models=models))
    assert [new.text for new in made(result)] == ["my invoice is wrong", "why was i charged twice"]
    assert {new.labels for new in made(result)} == {("billing",)}
    assert figures(result)["left out"]["the answer is empty"] == 2
    assert figures(result)["left out"]["the answer is much longer or shorter"] == 2
    assert figures(result)["left out"]["too much like another new row"] == 2
    asked, max_tokens, *_ = models.asked[0]
    assert sum(text in asked for text in SENTENCES) == 3
    assert "billing" in asked and max_tokens == 99
    parent = next(row for row in given if row.id == made(result)[0].parent)
    assert asked.index(str(parent.text)) == min(asked.index(text) for text in SENTENCES if text in asked)


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ('["one text", "two text"]', ["one text", "two text"]),
        ("1. one text\n2) two text", ["one text", "two text"]),
        ('- "one text"\n- two text', ["one text", "two text"]),
        ("no list at all", None),
        ('["one", 2]', None),
        ("[" * 3000, None),
        ('{"texts": 1}', None),
    ],
)
def test_lists_are_read_and_anything_else_is_left_out(answer: str, texts: list[str] | None) -> None:
    result = apply(Synthesise(model="m", share=ALL, copies=2), one() + rows(2)[1:], Room(models=Said(answer)))
    if texts is None:
        assert figures(result)["left out"]["the answer is no list of texts"] == 1
    else:
        assert [new.text for new in made(result)] == texts


class Filling(Doubles):
    """Fills every place with the same words."""

    def fill(self, words: Sequence[Sequence[str]], places: Sequence[int], count: int) -> list[list[tuple[str, float]]]:
        self.seen = [(list(said), place, count) for said, place in zip(words, places, strict=True)]
        return [
            [(said[place], 0.9), ("red", 0.06), ("green", 0.03), ("...", 0.01)][:count] for said, place in self.seen_()
        ]

    def seen_(self) -> list[tuple[list[str], int]]:
        return [(said, place) for said, place, _ in self.seen]


def test_hidden_words_are_filled_with_other_words_by_their_probability() -> None:
    text = "Purple cars, blue houses; yellow trees."
    drawn: Counter[str] = Counter()
    for seed in range(60):
        models = Filling()
        (new,) = made(apply(MaskFill(model="m", share=ALL, top=3), one(text), Room(seed=seed, models=models)))
        ((said, place, count),) = models.seen
        assert said == ["Purple", "cars", ",", "blue", "houses", ";", "yellow", "trees", "."]
        assert count == 4
        added = set(str(new.text).lower().replace(",", "").replace(".", "").replace(";", "").split()) & {"red", "green"}
        drawn.update(added)
        assert len(added) == 1
        assert (said[place] == "Purple") == str(new.text).startswith(("Red", "Green")), "the case is kept"
    assert drawn["red"] > drawn["green"] > 0
    (new,) = made(apply(MaskFill(model="m", share=ALL, top=1), one(text), Room(models=Filling())))
    assert "red" in str(new.text).lower()


def test_how_many_words_are_hidden_is_a_setting() -> None:
    models = Filling()
    apply(
        MaskFill(model="m", share=ALL, change=Share(0.5, "")),
        one("purple cars blue houses yellow trees"),
        Room(models=models),
    )
    assert len(models.seen) == 3


@pytest.mark.parametrize("step", [Paraphrase, BackTranslate, Synthesise, MaskFill])
def test_the_models_that_are_asked_are_named(step: type[Any]) -> None:
    assert step(model="https://host/v1#m").models() == ("https://host/v1#m",)


@pytest.mark.parametrize("step", [*EDITS, Counterfactual])
def test_rows_on_disk_in_other_processes_give_the_same(step: type[Step], tmp_path: Any) -> None:
    from multiprocessing.reduction import ForkingPickler

    given = rows()
    seen = []

    def through_pickle(function: Any, records: Sequence[Record]) -> Any:
        import multiprocessing.reduction as reduction

        again = reduction.ForkingPickler.loads(ForkingPickler.dumps((function, list(records[0 : len(records)]))))
        seen.append(len(again[1]))
        return map(*again)

    assert apply(step(share=ALL), given, Room(mapper=through_pickle)) == apply(step(share=ALL), given)
    assert seen
