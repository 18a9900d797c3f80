"""What every arm must hold to, shown on a bench whose model is a rule."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from tunesmith.evaluate.arms import Arm, Asking
from tunesmith.metrics import Metric
from tunesmith.part import METRICS
from tunesmith.records import Prediction, Record

LABELS = ("billing", "bug", "refund")


class RuleBench:
    """Rows with labels, and a model that answers with the first label that its question names."""

    task = "classify"
    labels = LABELS
    template = "classify"
    system = ""
    seed = 0
    alone = 2

    def __init__(self) -> None:
        self.train = _records("train", 24)
        self.validation = _records("validation", 9)
        self.rows = _records("test", 12)
        self.metrics: list[Metric] = [_metric("accuracy")]
        self.noted: dict[str, Any] = {}
        self.asked: list[tuple[str, Asking | None]] = []

    def ask(self, model: str, rows: Sequence[Record], asking: Asking | None = None) -> list[Prediction]:
        self.asked.append((model, asking))
        made = []
        for record in rows:
            said = next((label for label in LABELS if label in record.question), LABELS[0])
            if asking and asking.shots:
                assert all(shot.id != record.id for shot in asking.shots(record)), "a row is its own example"
            made.append(Prediction(record, asking.read(said) if asking and asking.read else said, record.labels[0]))
        return made

    def writes(self, model: str) -> bool:
        return True

    def progress(self, done: int, total: int) -> None:
        assert 0 <= done <= total

    def note(self, **facts: Any) -> None:
        self.noted.update(facts)


def _metric(name: str) -> Metric:
    metric = METRICS.make(name)
    assert isinstance(metric, Metric)
    return metric


def _records(pool: str, count: int) -> list[Record]:
    said = {"billing": "the invoice of billing", "bug": "a bug in the app", "refund": "I want a refund for"}
    rows = []
    for number in range(count):
        label = LABELS[number % len(LABELS)]
        rows.append(
            Record(f"{pool}:{number}", f"{pool}.jsonl:{number + 1}", text=f"{said[label]} {number}", labels=(label,))
        )
    return rows


def answers_every_row_once(arm: Arm) -> None:
    """One prediction for each row, in their order."""
    bench = RuleBench()
    made = arm.answer(bench)
    assert [row.record.id for row in made] == [record.id for record in bench.rows], (
        "one prediction a row, in their order"
    )


def answers_alike_every_time(arm: Arm) -> None:
    """The same rows are answered the same."""
    first, second = ([(row.output, dict(row.scores)) for row in arm.answer(RuleBench())] for _ in range(2))
    assert first == second


def never_reads_the_right_answers(arm: Arm) -> None:
    """Other labels on the test rows change nothing of what is said."""
    bench, other = RuleBench(), RuleBench()
    other.rows = [
        Record(record.id, record.source, text=record.text, labels=(LABELS[number % 2],))
        for number, record in enumerate(other.rows)
    ]
    assert [row.output for row in arm.answer(bench)] == [row.output for row in arm.answer(other)]


def notes_plain_values(arm: Arm) -> None:
    """What it notes can be written as JSON."""
    bench = RuleBench()
    arm.answer(bench)
    json.dumps(bench.noted, allow_nan=False)


def has_a_title(arm: Arm) -> None:
    """What tables call it can name a file."""
    assert arm.title and "/" not in arm.title, "a title names a file"


CHECKS: dict[str, tuple[Callable[[Any], None], ...]] = {
    "arms": (
        answers_every_row_once,
        answers_alike_every_time,
        never_reads_the_right_answers,
        notes_plain_values,
        has_a_title,
    ),
}
