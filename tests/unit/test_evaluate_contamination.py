"""Test rows that were trained on are found, named, and kept out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tunesmith.evaluate.caveats.contamination import (
    CHUNK,
    COMMON,
    FILE,
    Contamination,
    Leak,
    clean,
    contamination,
    together,
)
from tunesmith.flow.evaluation.repeats import fold_contamination
from tunesmith.records import Message, Prediction, Record
from tunesmith.runs import Run, write_json

LONG = "the quarterly invoice of our second office shows an amount that nobody here has ever agreed to pay"


def rows(*texts: str, name: str = "t") -> list[Record]:
    return [Record(f"{name}{at}", f"{name}.jsonl:{at + 1}", text=text, labels=("a",)) for at, text in enumerate(texts)]


def found(test: Sequence[str], train: Sequence[str]) -> dict[str, str]:
    met = contamination(rows(*test), {"train": rows(*train, name="r")})
    return {leak.id: leak.how for leak in met.leaks}


def test_a_row_that_was_trained_on_is_named_with_its_copy() -> None:
    met = contamination(rows("where is my card?", LONG, "fresh"), {"train": rows("x", "Where  is my CARD", name="r")})
    (leak,) = met.leaks
    assert (leak.id, leak.source, leak.pool) == ("t0", "t.jsonl:1", "train")
    assert (leak.trained_id, leak.trained_source, leak.how, leak.share) == ("r1", "r.jsonl:2", "exact", 1.0)
    assert (met.num_rows, met.num_trained, met.num_clean, met.ids) == (3, 2, 2, frozenset({"t0"}))
    assert Contamination.from_json(met.to_json()) == met


@pytest.mark.parametrize(
    ("test", "train", "how"),
    [
        ("hello", "Hello!", "exact"),
        ("is 5 - 3 two?", "is 5 + 3 two?", None),
        (LONG, LONG + " until the end of the year", "near"),
        (LONG, LONG.replace("the quarterly", "a yearly"), "near"),
        (LONG, " ".join(reversed(LONG.split())), None),
        (LONG, LONG.replace("office", "branch"), None),  # 8 of its 11 runs hold the word that was changed
        ("I cannot sign in today", "I cannot sign in today, error 5", None),  # too short to be nearly the same
        ("?!", "...", None),
        ("", "", None),
    ],
)
def test_how_a_row_is_met(test: str, train: str, how: str | None) -> None:
    assert found([test], [train]) == ({"t0": how} if how else {})


def test_the_share_is_of_one_training_row_and_not_of_many_together() -> None:
    words = [f"word{at}" for at in range(40)]
    halves = [" ".join(words[:24]), " ".join(words[16:])]
    assert found([" ".join(words)], halves) == {}
    assert found([" ".join(words)], [" ".join(words[:34])]) == {"t0": "near"}


def test_the_nearest_training_row_is_named() -> None:
    near = LONG + " and more of it"
    met = contamination(rows(LONG), {"train": rows(near, name="r"), "run:old/1": rows(LONG, near, name="o")})
    (leak,) = met.leaks
    assert (leak.pool, leak.trained_id, leak.how) == ("run:old/1", "o0", "exact")


def test_a_phrase_of_many_test_rows_proves_nothing() -> None:
    phrase = "thank you for your message and for calling our office today about the order that you placed "
    test = [phrase + f"number {at}" for at in range(COMMON + 1)]
    assert found(test, [phrase]) == {}
    assert len(found(test[:2], [phrase])) == 2


def test_what_is_asked_is_compared_and_not_the_answer() -> None:
    def chat(name: str, asked: str, said: str, system: str = "be brief") -> Record:
        turns = (Message("system", system), Message("user", asked), Message("assistant", said, trained=True))
        return Record(name, f"{name}.jsonl:1", messages=turns)

    test = [chat("t", "what is the capital of France", "Paris, of course, as everybody who went to school knows")]
    same_answer = chat("r", "where do I find the Louvre", "Paris, of course, as everybody who went to school knows")
    same_question = chat("r", "What is the capital of France?", "Lyon", system="answer in verse")
    assert not contamination(test, {"train": [same_answer]}).leaks
    assert contamination(test, {"train": [same_question]}).leaks


def test_training_rows_are_read_once_and_in_chunks() -> None:
    read = 0

    def many() -> Iterator[Record]:
        nonlocal read
        for at in range(3 * CHUNK):
            read += 1
            yield Record(f"r{at}", f"r:{at}", text=LONG if at == 3 * CHUNK - 1 else f"row {at}")

    met = contamination(rows(LONG), {"train": many()})
    assert read == met.num_trained == 3 * CHUNK and [leak.trained_id for leak in met.leaks] == [f"r{3 * CHUNK - 1}"]


def test_no_rows_are_no_contamination() -> None:
    assert contamination([], {"train": rows("a")}) == Contamination(0, 0)
    assert contamination(rows("a"), {}) == Contamination(1, 0)


def test_what_was_trained_on_is_left_out_of_every_arm() -> None:
    arm = [Prediction(record, "a", "a") for record in rows("one", "two", "three")]
    met = Contamination(3, 9, [Leak("t1", "t:2", "train", "r", "r:1", "exact", 1.0)])
    assert [row.record.id for row in clean(arm, met)] == ["t0", "t2"]
    assert clean(arm, None) == arm


def test_folds_are_told_of_together() -> None:
    """Each fold's rows were looked for among the rows of its own model."""
    leaks = [Leak(f"t{at}", "t:1", "train", "r", "r:1", "near", 0.8) for at in range(2)]
    found = together([Contamination(10, 40, leaks[:1]), Contamination(12, 38, leaks[1:])])
    assert (found.num_rows, found.num_trained, found.leaks, found.num_clean) == (22, 40, leaks, 20)


def test_a_fold_that_does_not_tell_is_not_taken_for_clean(tmp_path: Path) -> None:
    run = Run(tmp_path / "desk" / "1")
    write_json(run / "folds" / "1" / FILE, Contamination(10, 40).to_json())
    found = fold_contamination(run, 2)
    assert (found.num_rows, found.num_trained, found.unsought) == (10, 40, ["fold 2"])
    write_json(run / "folds" / "2" / FILE, Contamination(10, 40, unsought=["run:gone/1"]).to_json())
    assert fold_contamination(run, 2).unsought == ["run:gone/1"]
