"""Near copies, copies by meaning and rows of evaluation sets: which rows go, and what is told of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tunesmith.data.passes.curate import StepResult, apply
from tunesmith.data.passes.workshop import Workshop
from tunesmith.data.room import Room
from tunesmith.data.steps.decontaminate import OWN, Decontaminate
from tunesmith.data.steps.exact_dedup import ExactDedup
from tunesmith.data.steps.meaning_dedup import MeaningDedup
from tunesmith.data.steps.near_dedup import NearDedup
from tunesmith.errors import DataError
from tunesmith.records import Message, Record
from tunesmith.testing.material import Doubles

LONG = "the parcel with the green lamp was left at the back door of the house next to ours on a rainy friday evening"
TWENTY = LONG.split()


def label(number: int, text: str, *labels: str, **slices: str) -> Record:
    return Record(f"r{number}", f"rows.jsonl:{number}", text=text, labels=labels or ("a",), slices=slices)


def chat(number: int, question: str, answer: str, system: str = "") -> Record:
    turns = (Message("user", question), Message("assistant", answer, trained=True))
    first = (Message("system", system),) if system else ()
    return Record(f"r{number}", f"rows.jsonl:{number}", messages=first + turns)


def altered(*places: int) -> str:
    """LONG with other words in some places. One leaves a similarity of 0.74, at an end 0.91."""
    return " ".join(f"x{place}" if place in places else word for place, word in enumerate(TWENTY))


def kept(result: StepResult) -> list[str]:
    return [record.id for record in result.kept]


def told(result: StepResult) -> dict[str, tuple[str, str]]:
    return {drop.record.id: (drop.reason, drop.detail) for drop in result.dropped}


# Near copies ------------------------------------------------------------------------------------


def test_near_copies_go_and_name_the_row_that_stays() -> None:
    rows = [label(1, LONG), label(2, "quite another thing"), label(3, altered(0)), label(4, f"{LONG.upper()}!")]
    result = apply(NearDedup(), rows)
    assert kept(result) == ["r1", "r2"]
    assert told(result) == {
        "r3": ("nearly the same words as another row", "of rows.jsonl:1, 0.91 alike"),
        "r4": ("same words as another row", "of rows.jsonl:1, 1.00 alike"),
    }


def test_threshold_and_words_say_how_alike_copies_are() -> None:
    rows = [label(1, LONG), label(2, altered(0)), label(3, altered(10))]
    assert kept(apply(NearDedup(threshold=0.95), rows)) == ["r1", "r2", "r3"]
    assert kept(apply(NearDedup(threshold=0.8), rows)) == ["r1", "r3"]
    assert kept(apply(NearDedup(threshold=0.7), rows)) == ["r1"]
    assert kept(apply(NearDedup(threshold=0.7, words=5), rows)) == ["r1", "r3"]
    assert kept(apply(NearDedup(threshold=0.8, words=1), rows)) == ["r1"]


def test_a_chain_of_copies_leaves_no_row_that_is_unlike_what_stays() -> None:
    """The first is like the second and the second like the third, but the first is not like the third."""
    rows = [label(1, LONG), label(2, altered(0, 1)), label(3, altered(0, 1, 20, 21))]
    assert kept(apply(NearDedup(threshold=0.75), rows)) == ["r1", "r3"]
    assert kept(apply(NearDedup(threshold=0.75), [rows[1], rows[0], rows[2]])) == ["r2"]


def test_prompt_answer_or_all_of_it_is_compared() -> None:
    rows = [
        chat(1, LONG, "It is on its way."),
        chat(2, altered(0), "We do not know anything about that."),
        chat(3, "Where is it?", "It is on its way!"),
        chat(4, altered(21), "It is on its way."),
    ]
    assert kept(apply(NearDedup(threshold=0.75, compare="prompt"), rows)) == ["r1", "r3"]
    assert kept(apply(NearDedup(threshold=0.75, compare="answer"), rows)) == ["r1", "r2"]
    assert kept(apply(NearDedup(threshold=0.75, compare="content"), rows)) == ["r1", "r2", "r3"]


def test_chosen_answers_of_pairs_are_compared_as_answers() -> None:
    def pair(number: int, chosen: str, rejected: str) -> Record:
        sides = {"chosen": (Message("assistant", chosen),), "rejected": (Message("assistant", rejected),)}
        return Record(f"r{number}", f"p:{number}", messages=(Message("user", f"question {number}"),), **sides)

    rows = [pair(1, LONG, "no"), pair(2, altered(0), "never"), pair(3, "no", LONG)]
    assert kept(apply(NearDedup(compare="answer"), rows)) == ["r1", "r3"]
    assert kept(apply(NearDedup(compare="content", threshold=1), rows)) == ["r1", "r2", "r3"]


def test_a_system_turn_that_all_rows_have_makes_none_alike() -> None:
    rows = [chat(1, "How far is the moon?", "far", LONG), chat(2, "Who was Ada Lovelace?", "a writer", LONG)]
    assert kept(apply(NearDedup(threshold=0.3), rows)) == ["r1", "r2"]


def test_of_copies_the_first_the_longest_or_the_highest_stays() -> None:
    rows = [
        label(1, LONG, day="2024-03-01", score="0.5"),
        label(2, f"{LONG} indeed", day="2024-11-20T08:00:00+01:00", score="-1"),
        label(3, altered(0), day="2023-12-31", score="1e1"),
        label(4, LONG, day="unknown", score=""),
    ]
    assert kept(apply(NearDedup(), rows)) == ["r1"]
    assert kept(apply(NearDedup(keep="longest"), rows)) == ["r2"]
    assert kept(apply(NearDedup(keep="highest", by="score"), rows)) == ["r3"]
    newest = apply(NearDedup(keep="highest", by="day"), rows)
    assert kept(newest) == ["r2"]
    assert "1 of 4 rows that are alike have no number or date in 'day'" in newest.findings.notes
    assert NearDedup(keep="highest", by="day").columns() == ("day",) and NearDedup().columns() == ()


def test_a_column_without_any_number_is_an_error_and_so_is_a_rule_without_column() -> None:
    with pytest.raises(DataError, match="no row has a number or a date in the column 'day'"):
        apply(NearDedup(keep="highest", by="day"), [label(1, LONG, day="x"), label(2, LONG)])
    for wrong in ({"keep": "highest"}, {"by": "day"}):
        with pytest.raises(ValidationError, match="go together"):
            NearDedup(**wrong)


def test_rows_held_out_by_their_source_stay_rather_than_longer_ones() -> None:
    rows = [label(1, LONG), label(2, f"{LONG} indeed"), label(3, f"{LONG} it really was")]
    step = NearDedup(keep="longest")
    assert kept(apply(step, rows, Room(num_held_out=2))) == ["r2"]
    assert kept(apply(step, rows, Room(num_held_out=0))) == ["r3"]


def test_copies_with_another_label_stay_and_are_shown_unless_told_otherwise() -> None:
    rows = [label(1, LONG, "a"), label(2, altered(0), "b"), label(3, LONG, "b"), label(4, LONG, "a")]
    result = apply(NearDedup(), rows)
    assert kept(result) == ["r1", "r2"]
    assert "1 rows stay that are like a row with another label" in result.findings.notes
    shown = result.findings.examples["alike, with different labels"]
    assert [(row["row"], row["shown"][0]["row"], row["shown"][0]["labels"]) for row in shown] == [
        ("rows.jsonl:1", "rows.jsonl:2", ["b"])
    ]
    result = apply(NearDedup(across_labels=True), rows)
    assert kept(result) == ["r1"]
    assert told(result)["r2"][0] == "nearly the same words as another row, another label"
    assert told(result)["r4"][0] == "same words as another row"
    assert "alike, with different labels" not in result.findings.examples


def test_what_was_found_is_told() -> None:
    rows = [label(1, LONG), label(2, altered(0)), label(3, altered(10)), label(4, "else"), label(5, LONG)]
    found = apply(NearDedup(threshold=0.8), rows).findings
    assert found.figures["near copies"] == found.figures["near copies"] | {
        "groups": 1,
        "largest_group": 3,
        "rows_alike": 3,
        "copies": 2,
        "of": 1,
    }
    [measured] = found.distributions
    assert measured.what == "similarity to the nearest row" and measured.cut == 3
    most = found.examples["rows with most copies"]
    assert [(row["row"], row["copies"]) for row in most] == [("rows.jsonl:1", 2)]
    assert [copy["row"] for copy in most[0]["shown"]] == ["rows.jsonl:2", "rows.jsonl:5"]
    assert most[0]["shown"][0]["difference"] == "[-the-] {+x0+} parcel with the ..."
    [least] = found.examples["copies that are least like the row that stays"]
    assert least["shown"][0]["row"] == "rows.jsonl:2" and least["shown"][0]["similarity"] == 0.909
    assert "2 of 5 rows are copies of 1 others" in found.notes


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["a b", "a  b", "a b c d", "A b", "", "?", "! ?", "b a", "a b c e"]), max_size=9))
def test_what_exact_dedup_drops_goes_too_and_one_of_each_stays(texts: list[str]) -> None:
    rows = [label(number, text) for number, text in enumerate(texts)]
    exact, near = apply(ExactDedup(), rows), apply(NearDedup(threshold=1), rows)
    assert {drop.record.id for drop in exact.dropped} <= {drop.record.id for drop in near.dropped}
    words = [(record.text or "").lower().split() for record in near.kept]
    assert len({tuple(said) for said in words}) == len(words)
    assert {tuple(text.lower().split()) for text in texts} == {tuple(said) for said in words}


def test_many_equal_rows_leave_one() -> None:
    rows = [label(number, altered(0) if number % 2 else LONG) for number in range(300)]
    assert kept(apply(NearDedup(), rows)) == ["r0"]


# By meaning -------------------------------------------------------------------------------------


class Compass:
    """Vectors by the number of degrees that a text says."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embedder(self, reference: str) -> Compass:
        self.asked.append(reference)
        return self

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        angles = np.radians([float(text.split()[0]) for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def meaning(step: MeaningDedup, rows: list[Record]) -> StepResult:
    return apply(step, rows, Room(models=Compass()))  # type: ignore[arg-type]


def test_rows_of_the_same_meaning_go() -> None:
    rows = [label(1, "0"), label(2, "90"), label(3, "15 more"), label(4, "100"), label(5, "200", "b"), label(6, "200")]
    result = meaning(MeaningDedup(model="bundled", threshold=0.95), rows)
    assert kept(result) == ["r1", "r2", "r5", "r6"]
    assert told(result) == {
        "r3": ("same meaning as another row", "of rows.jsonl:1, 0.97 alike"),
        "r4": ("same meaning as another row", "of rows.jsonl:2, 0.98 alike"),
    }
    assert kept(meaning(MeaningDedup(model="bundled", threshold=0.98), rows)) == ["r1", "r2", "r3", "r5", "r6"]
    assert kept(meaning(MeaningDedup(model="bundled", keep="longest"), rows)) == ["r3", "r4", "r5", "r6"]
    across = meaning(MeaningDedup(model="bundled", across_labels=True), rows)
    assert told(across)["r6"][0] == "same meaning as another row, another label"


def test_the_model_is_asked_by_its_reference() -> None:
    compass = Compass()
    step = MeaningDedup(model="run:judge/3")
    apply(step, [label(1, "0")], Room(models=compass))  # type: ignore[arg-type]
    assert compass.asked == ["run:judge/3"] and step.models() == ("run:judge/3",)


def test_answers_alone_can_be_compared_by_meaning() -> None:
    rows = [chat(1, "0", "45"), chat(2, "90", "45"), chat(3, "0", "180")]
    assert kept(meaning(MeaningDedup(model="m", compare="answer"), rows)) == ["r1", "r3"]
    assert kept(meaning(MeaningDedup(model="m", compare="prompt"), rows)) == ["r1", "r2"]


# Evaluation sets --------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        {"question": f"On Monday {LONG}. Where is it?", "choices": {"text": ["here", "there"]}, "answer": 1},
        {"question": "How many moons does the planet Mars have today?", "answer": "it has two of them"},
        {"question": "Who was Ada Lovelace?", "answer": "i do not know that"},
        {"question": "Hi there", "answer": "no"},
    ]
    (tmp_path / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    (tmp_path / "more.csv").write_text('text,label\n"one two three four five six seven eight nine ten",x\n')
    return tmp_path


def clean(step: Decontaminate, rows: list[Record], folder: Path, held_out: Sequence[Record] = ()) -> StepResult:
    return apply(step, rows, Room(folder=folder, held_out=held_out))


def test_training_rows_that_stand_in_evaluation_sets_go(folder: Path) -> None:
    rows = [
        label(1, f"Somebody said {LONG.upper()}, did they?"),
        label(2, " ".join(TWENTY[:13]) + " and so on"),
        label(3, " ".join(TWENTY[:12]) + " and so on"),
        chat(4, "Tell me: how many moons does the planet Mars have today?", "Two."),
        label(5, "i counted one two three four five six seven eight nine ten"),
    ]
    result = clean(Decontaminate(against=("quiz.jsonl", "more.csv")), rows, folder)
    assert kept(result) == ["r3"]
    reason, detail = told(result)["r2"]
    assert reason == "stands in an evaluation set"
    assert detail == f"{' '.join(TWENTY[:13])!r} stands in quiz.jsonl:1; 81% of its words do"
    assert "more.csv:" in told(result)["r5"][1]
    found = result.findings
    assert found.figures["evaluation sets"] == {
        "quiz.jsonl": {"rows": 4, "overlapped": 2},
        "more.csv": {"rows": 1, "overlapped": 1},
    }
    assert "1 rows of quiz.jsonl cannot be read, and were not compared" in found.notes
    assert found.distributions[0].cut == 4
    shown = found.examples["rows that stand in evaluation sets"]
    assert [row["row"] for row in shown][-1] == "rows.jsonl:4" and len(shown) == 4


def test_short_texts_count_only_where_nothing_else_is_said_and_never_as_answers(folder: Path) -> None:
    rows = [
        chat(1, "who was ada lovelace", "A writer of programs."),
        chat(2, "So, who was Ada Lovelace?", "A writer."),
        chat(3, "What is that?", "I do not know that."),
        label(4, "Who was Ada Lovelace"),
        label(5, "hi there"),
    ]
    assert kept(clean(Decontaminate(against=("quiz.jsonl",)), rows, folder)) == ["r2", "r3", "r5"]


def test_words_overlap_and_action_say_what_goes(folder: Path) -> None:
    rows = [label(1, " ".join(TWENTY[:10]) + " and so on"), label(2, f"{LONG} " + "other words entirely " * 20)]
    assert kept(clean(Decontaminate(against=("quiz.jsonl",)), rows, folder)) == ["r1"]
    assert kept(clean(Decontaminate(against=("quiz.jsonl",), words=9), rows, folder)) == []
    assert kept(clean(Decontaminate(against=("quiz.jsonl",), words=9, overlap=0.5), rows, folder)) == ["r2"]
    report = clean(Decontaminate(against=("quiz.jsonl",), action="report"), rows, folder)
    assert kept(report) == ["r1", "r2"]
    assert report.findings.figures["evaluation sets"]["quiz.jsonl"]["overlapped"] == 1


def test_own_held_out_rows_are_compared_unless_told_otherwise(folder: Path) -> None:
    rows, held_out = [label(1, LONG), chat(2, "q", LONG)], [chat(9, "a question", f"Well, {LONG}")]
    result = clean(Decontaminate(), rows, folder, held_out)
    assert kept(result) == [] and "rows.jsonl:9" in told(result)["r1"][1]
    assert result.findings.figures["evaluation sets"] == {OWN: {"rows": 1, "overlapped": 1}}
    assert kept(clean(Decontaminate(against=("more.csv",), held_out=False), rows, folder, held_out)) == ["r1", "r2"]
    with pytest.raises(ValidationError, match="against"):
        Decontaminate(held_out=False)


def test_every_evaluation_row_that_is_met_counts(folder: Path) -> None:
    (folder / "twice.jsonl").write_text(f'{{"text": "{LONG}"}}\n' * 3)
    result = clean(Decontaminate(against=("twice.jsonl",)), [label(n, LONG) for n in range(5)], folder)
    assert result.findings.figures["evaluation sets"]["twice.jsonl"] == {"rows": 3, "overlapped": 3}


def test_a_missing_evaluation_set_is_an_error(folder: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        clean(Decontaminate(against=("nothing.jsonl",)), [label(1, LONG)], folder)


# The room ---------------------------------------------------------------------------------------


def test_chunks_hold_every_row_in_order() -> None:
    rows = [label(number, "x") for number in range(7)]
    found = list(Room().map_chunks(lambda chunk: [record.id for record in chunk], rows, 3))
    assert found == [["r0", "r1", "r2"], ["r3", "r4", "r5"], ["r6"]]


def test_doubles_embed_as_the_protocol_says() -> None:
    assert kept(apply(MeaningDedup(model="m", threshold=1), [label(1, LONG)], Room(models=Doubles()))) == ["r1"]


def test_a_changed_evaluation_set_is_another_result(folder: Path) -> None:
    shop, step = Workshop(folder=folder), Decontaminate(against=("more.csv",))
    assert step.files() == ("more.csv",)
    before = shop.prints(step)
    assert shop.prints(step) == before
    (folder / "more.csv").write_text("text\nsomething else\n")
    assert shop.prints(step) != before


def test_a_calculation_is_no_run_of_words(folder: Path) -> None:
    sum_ = "Ann has 2 * 3 = <<2*3=6>> apples"
    (folder / "sums.jsonl").write_text(json.dumps({"question": "How many are left?", "answer": f"{sum_}, so six."}))
    rows = [chat(1, "How many does she have then?", f"{sum_} then."), chat(2, "?", f"Now {LONG} 2 * 3")]
    assert kept(clean(Decontaminate(against=("sums.jsonl",)), rows, folder)) == ["r1", "r2"]
