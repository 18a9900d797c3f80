"""What readers, data steps, labelling functions and metrics hold to. N rows, K statistics a row, R resamples."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable, Sequence
from functools import wraps
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data.methods.votes.functions import LabelFunction
from tunesmith.data.passes.curate import apply
from tunesmith.data.readers import Broken, Reader, Row
from tunesmith.data.room import Room
from tunesmith.data.steps import Step
from tunesmith.errors import UserError
from tunesmith.metrics import Metric
from tunesmith.metrics._measured import (
    ANSWER_TOKENS,
    ATTACKS,
    BIASED,
    EXPOSURE,
    EXTRACTED,
    FIRST_TOKEN,
    FLIPPED,
    MEMBER,
    MOST_EXPOSED,
    PEAK_MEMORY,
    PERSON,
    PREFERRED,
    PROMPT_TOKENS,
    RIGHT,
    WORDS,
)
from tunesmith.records import (
    Classifier,
    Embedder,
    Filler,
    Message,
    Prediction,
    Record,
    Responder,
    Span,
    Tagger,
    TokenEmbedder,
)
from tunesmith.testing.breaking import break_off


def chat(number: int, asked: str, answered: str) -> Record:
    """A conversation of one question and one trained answer."""
    turns = (Message("user", asked), Message("assistant", answered, trained=True))
    return Record(f"r{number}", f"rows.jsonl:{number}", messages=turns)


RECORDS = [
    chat(1, "What is two plus two?", "four"),
    chat(2, "What is two plus two?", "four"),
    chat(3, "", "nothing was asked"),
    Record("r4", "rows.jsonl:4", text="The card has not arrived.", labels=("delivery",)),
    Record("r5", "rows.jsonl:5", text="The card  has not arrived.", labels=("billing",)),
    Record("r6", "rows.jsonl:6", text="", labels=("billing",)),
    Record("r7", "rows.jsonl:7", text="Anna lives in Bern.", spans=(Span(0, 4, "PER"), Span(14, 18, "LOC"))),
    Record("r8", "rows.jsonl:8", text="Prose \x00 with \ufffd odd \u200b characters, schÃ¶n. " * 30),
    Record("r9", "rows.jsonl:9", text="the end", slices={"channel": "email"}, weight=2.0),
]
"""Rows of most shapes, with faults of most kinds."""


# Readers


def survives_any_bytes(reader: Reader) -> None:
    """A file that is no such file gives broken rows or one error that says what to do, never a traceback."""
    for content in (b"", b"\x00\xff\xfe\x80" * 50, b"{[,\"'\n" * 20, "schön\n".encode("utf-16"), b"\n\n\n"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"rows{(reader.suffixes or ('',))[0]}"
            path.write_bytes(content)
            try:
                rows = list(reader.rows(path)) if reader.suffixes else []
            except UserError as error:
                assert error.fix
            else:
                assert all(isinstance(row, (Row, Broken)) for row in rows)
                assert all(row.where for row in rows), "a row does not say where it stands"


def names_its_endings(reader: Reader) -> None:
    """File endings begin with a dot and are small."""
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in reader.suffixes)


# Steps


def loses_no_row(step: Step) -> None:
    """Every row is kept or dropped, once, in its order, and new ones follow their parents; all of it has a reason."""
    result = apply(step, RECORDS, room())
    made = {new.id for new, _ in result.made}
    kept, dropped = [r.id for r in result.kept if r.id not in made], [d.record.id for d in result.dropped]
    given = [record.id for record in RECORDS]
    assert sorted(kept + dropped) == sorted(given)
    assert kept == [name for name in given if name in set(kept)], "the order changed"
    assert len(made) == len(result.made) and not made & set(given), "a new row has an id that stands already"
    assert all(drop.reason and drop.step == step.kind for drop in result.dropped)
    assert all(change.reason and change.step == step.kind for change in result.changed)
    assert all(reason for _, reason in result.made)


def tells_every_change(step: Step) -> None:
    """A kept row that differs from the one given is among the changed ones or the new ones."""
    result = apply(step, RECORDS, room())
    before = {record.id: record for record in RECORDS}
    told = {change.after.id for change in result.changed} | {new.id for new, _ in result.made}
    assert {record.id for record in result.kept if record != before.get(record.id)} <= told


def gives_the_same_every_time(step: Step) -> None:
    """The same rows give the same result, and are not changed themselves."""
    given = copy.deepcopy(RECORDS)
    assert apply(step, given, room()) == apply(step, given, room())
    assert given == RECORDS


def takes_no_rows(step: Step) -> None:
    """No rows are no error."""
    result = apply(step, [], room())
    assert (result.kept, result.dropped, result.changed, result.made) == ([], [], [], [])


def goes_on_when_broken_off(step: Step) -> None:
    """Broken off at its first row, half way or at its last one, the same step again leaves what it leaves at once."""
    break_off(step, RECORDS, room)


def travels(step: Step | LabelFunction) -> None:
    """It can be sent to other processes."""
    assert ForkingPickler.dumps(step)


# Labelling functions


def votes_on_every_row(function: LabelFunction) -> None:
    """One vote or abstention a row, in order, the same every time; a vote is a label."""
    said = list(function.votes(RECORDS, room()))
    assert said == list(function.votes(RECORDS, room())) and len(said) == len(RECORDS)
    assert all(vote is None or (isinstance(vote, str) and vote) for vote in said)
    assert list(function.votes([], room())) == []


def votes_alike_alone(function: LabelFunction) -> None:
    """A vote does not depend on which rows are beside it."""
    apart = [vote for record in RECORDS for vote in function.votes([record], room())]
    assert apart == list(function.votes(RECORDS, room()))


def room() -> Room:
    """What steps work with here: doubles of all models, and held-out rows."""
    return Room(models=Doubles(), held_out=[chat(90, "What is two plus two?", "four")], task="classify")


class Doubles:
    """Models that say something plausible of everything, the same every time."""

    labels: tuple[str, ...] = ("billing", "delivery", "positive")

    def responder(self, reference: str) -> Responder:
        """Itself, as everything that is asked for."""
        return self

    def embedder(self, reference: str) -> Embedder:
        """Itself."""
        return self

    def token_embedder(self, reference: str) -> TokenEmbedder:
        """Itself."""
        return self

    def filler(self, reference: str) -> Filler:
        """Itself."""
        return self

    def tagger(self, reference: str) -> Tagger:
        """Itself."""
        return self

    def classifier(self, reference: str) -> Classifier:
        """Itself."""
        return self

    def respond(
        self, conversations: Sequence[Sequence[Message]], *, max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        """The last turn's words in another order."""
        return [" ".join(reversed(turns[-1].content.split())) for turns in conversations]

    def embed(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Counts of letters."""
        counts_ND = np.array([[1.0, *(text.lower().count(c) for c in "etaoinshr")] for text in texts], np.float32)
        counts_ND = counts_ND.reshape(len(texts), 10)
        counts_ND /= np.linalg.norm(counts_ND, axis=1, keepdims=True)
        return counts_ND

    def embed_tokens(
        self, texts: Sequence[str], layer: int | None = None
    ) -> list[tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[np.float32]]]]:
        """A token a word between two special ones, and counts of its letters."""
        words = [["<", *text.split(), ">"] for text in texts]
        return [(np.array([1 + sum(map(ord, word)) for word in row]), self.embed(row)) for row in words]

    def fill(self, words: Sequence[Sequence[str]], places: Sequence[int], count: int) -> list[list[tuple[str, float]]]:
        """A word of its own for each rank."""
        return [[(f"word{rank}", 0.5 / 2**rank) for rank in range(count)] for _ in words]

    def spans(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """Whoever is called Anna."""
        return [tuple(Span(at, at + 4, "PER") for at in [text.find("Anna")] if at >= 0) for text in texts]

    def probabilities(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """What a longer text is."""
        p_N = np.array([1 / (2 + len(text) % 5) for text in texts], np.float64)
        return np.stack([p_N, 0.95 * (1 - p_N), 0.05 * (1 - p_N)], axis=1)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """One a word."""
        return [len(text.split()) for text in texts]


# Metrics


_RATED = {
    f"review.{name}.{end}": value
    for name, most in (("helpful", 5.0), ("preference", 1.0))
    for end, value in (("lowest", float(most > 1)), ("highest", most))
}


def predictions(count: int = 12) -> list[Prediction]:
    """Predictions that carry everything a metric can ask for."""
    labels, made = ("delivery", "billing", "account"), []
    for number in range(count):
        right, given = labels[number % 3], labels[number * number % 3]
        record = Record(
            f"r{number}",
            f"rows.jsonl:{number}",
            text="Anna lives in Bern. She has asked for a delivery.",
            labels=(right,),
            spans=(Span(0, 4, "PER"),),
            references=(json.dumps({"label": right}),),
            slices={"tests": "assert True", "channel": "email" if number % 2 else "chat"},
        )
        made.append(
            Prediction(
                record,
                output=given,
                expected=right,
                scores={label: 0.6 if label == given else 0.2 for label in labels},
                spans=(Span(0, 4, "PER"),) if number % 2 else (Span(14, 18, "LOC"),),
                nll=1.0 + number,
                num_tokens=2 + number % 3,
                num_chars=10,
                seconds=0.01 * (1 + number),
                samples=(given, right),
                measured={
                    **_RATED,
                    "review.helpful": 1.0 + number % 5,
                    "review.preference": number % 3 / 2,
                    "judge.rubric.helpful": number % 5 / 4,
                    "before": 0.3 + 0.05 * (number % 7),
                    "after": 0.25 + 0.05 * (number % 5),
                    "chance": 0.25,
                    "robustness.typos.before": float(number % 3 > 0),
                    "robustness.typos.after": float(number % 4 > 1),
                    FIRST_TOKEN: 0.002 * (1 + number),
                    PROMPT_TOKENS: 20.0,
                    ANSWER_TOKENS: 1.0 + number % 4,
                    PEAK_MEMORY: 500.0,
                    MEMBER: float(number % 2),
                    **{attack: float(number * 7 % 5) for attack in ATTACKS.values()},
                    EXPOSURE: float(number % 4),
                    MOST_EXPOSED: 10.0,
                    **{said: float(number % 3 == 0) for said in EXTRACTED.values()},
                    FLIPPED: float(number % 5 == 0),
                    **{f"{front}delivery": float(number % 4 == 0) for front in WORDS.values()},
                    PREFERRED: float(number % 2),
                    f"{RIGHT}.ambiguous": float(number % 3 == 0),
                    f"{PERSON}.ambiguous": float(number % 3 > 0),
                    f"{BIASED}.ambiguous": float(number % 3 == 1),
                },
            )
        )
    return made


def adds_up(metric: Metric) -> None:
    """Statistics are finite numbers a row, and the value of their sum is the metric's value."""
    rows = predictions()
    statistics = metric.statistics(rows)
    assert statistics.ndim == 2 and len(statistics) == len(rows) and statistics.dtype == np.float64
    assert np.isfinite(statistics).all()
    score = metric.score(rows)
    ones = metric.resampled(statistics, np.ones((1, len(rows))))
    assert ones.shape == (1,)
    np.testing.assert_allclose(ones[0], score.value, rtol=1e-12)
    assert np.shape(score.per_row) == (len(rows),)


def stays_in_its_range(metric: Metric) -> None:
    """The value is a number between the lowest and the highest, or nan where there is nothing to measure."""
    value = metric.score(predictions()).value
    assert metric.lowest <= value <= metric.highest, f"{value} is outside of {metric.lowest} to {metric.highest}"
    assert metric.better in ("higher", "lower")


def does_not_mind_the_order(metric: Metric) -> None:
    """Rows in another order have the same value."""
    rows = predictions()
    np.testing.assert_allclose(metric.score(rows).value, metric.score(rows[::-1]).value, rtol=1e-12)


def counts_a_row_twice_when_told(metric: Metric) -> None:
    """A weight of two is the same as the row standing there twice: what the bootstrap rests on."""
    rows = predictions()
    weights = np.ones((1, len(rows)))
    weights[0, 3] = 2.0
    twice = metric.resampled(metric.statistics(rows), weights)[0]
    np.testing.assert_allclose(twice, metric.score([*rows, rows[3]]).value, rtol=1e-9)


def measures_nothing_as_nan(metric: Metric) -> None:
    """No rows have no value; nan says so, and 0 would say that they are bad."""
    assert np.isnan(metric.score([]).value)


def _bound(check: Callable[[Metric], None]) -> Callable[[Metric], None]:
    """The same with the doubles of the models that a metric asks."""

    @wraps(check)
    def checked(metric: Metric) -> None:
        check(metric.bind(Doubles()))

    return checked


CHECKS: dict[str, tuple[Callable[[Any], None], ...]] = {
    "readers": (survives_any_bytes, names_its_endings),
    "steps": (
        loses_no_row,
        tells_every_change,
        gives_the_same_every_time,
        takes_no_rows,
        goes_on_when_broken_off,
        travels,
    ),
    "label_functions": (votes_on_every_row, votes_alike_alone, travels),
    "metrics": (
        _bound(adds_up),
        _bound(stays_in_its_range),
        _bound(does_not_mind_the_order),
        _bound(counts_a_row_twice_when_told),
        _bound(measures_nothing_as_nan),
    ),
}
