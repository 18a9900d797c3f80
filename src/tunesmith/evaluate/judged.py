"""What judges said, and how far they may be trusted: as far as they agree with people, and no further."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import TypeAdapter

from tunesmith.errors import DataError
from tunesmith.evaluate.comparison import Estimate, Interval, closed, finite
from tunesmith.evaluate.review.agree import agreement
from tunesmith.evaluate.statistics.resample import draw
from tunesmith.judges import Case, Judge
from tunesmith.metrics._intervals import wilson
from tunesmith.metrics.judged import Judged, measure_name
from tunesmith.records import Prediction

FEWEST = 10
"""Rows below which nothing is said of agreement."""


@dataclass(frozen=True)
class Agreement:
    """A judge against people on the same answers."""

    num_rows: int
    """Answers that both rated."""
    kappa: float | None
    """Cohen's kappa with quadratic weights (1968); None where nobody's ratings differ, or the answers are too few.

    It falls when the judge orders answers otherwise, and also when it is kinder or harsher, which a correlation
    does not see.
    """
    low: float | None
    """The lower end of its interval."""
    high: float | None
    spearman: float | None
    """Spearman's rank correlation."""
    bias: float | None
    """The judge's mean less that of people."""


class Held(NamedTuple):
    """An answer of a review that people and the judge rated."""

    row: str
    """Its record's id; answers of several arms are of one row."""
    people: float
    judge: float
    """From 0 to 1."""


@dataclass(frozen=True)
class JudgedCriterion:
    """One criterion of one judge."""

    metric: str
    """What a target calls it."""
    judge: str
    kind: str
    model: str
    criterion: str
    says: str
    """The criterion in words."""
    against: str
    """What answers are held against; empty for judges that do not compare."""
    arms: dict[str, Estimate]
    """Mean values from 0 to 1."""
    counts: dict[str, dict[str, int]]
    """By arm: `asked_again`, `unread`, and what else was counted."""
    first_shown: Estimate | None
    """How often the answer shown first was preferred, where one was; None for judges that do not compare."""
    held: list[tuple[float, float]]
    """(People's value, the judge's) of the answers in the judge's file of ratings."""
    agreement: Agreement | None
    """With people; None where nobody rated what it rated."""
    least_agreement: float
    doubt: str
    """Why no target can rest on it; empty where one can."""
    limits: str = field(
        default="A judge is a model: it may be kinder to long answers and to answers like its own, and may obey an "
        "answer that speaks to it."
    )


_ADAPTER = TypeAdapter(list[JudgedCriterion])


def to_json(found: Sequence[JudgedCriterion]) -> list[dict[str, Any]]:
    """Plain JSON values."""
    plain: list[dict[str, Any]] = _ADAPTER.dump_python(list(found), mode="json")
    return plain


def from_json(value: list[dict[str, Any]]) -> list[JudgedCriterion]:
    """The inverse of `to_json`."""
    return _ADAPTER.validate_python(value)


def judged_criterion(
    judge: Judge,
    criterion: str,
    arms: Mapping[str, Sequence[Prediction]],
    counts: Mapping[str, Mapping[str, int]],
    held: Sequence[tuple[float, float]] = (),
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> JudgedCriterion:
    """What a criterion comes to.

    Args:
        judge: who said it.
        criterion: by which.
        arms: arm -> its rows with their `measured` values.
        counts: arm -> what was counted on the way.
        held: (people's value, the judge's value) of answers in a file; empty where there are no ratings by people.
        confidence, resamples, seed: of the intervals.
    """
    metric = Judged(judge=judge.called, criterion=criterion)
    name = measure_name(judge.called, criterion)
    figures = {}
    for arm, rows in arms.items():
        if any(name in row.measured for row in rows):
            statistics = metric.statistics(rows)
            drawn = draw([(metric, statistics)], resamples, seed)[0]
            scored = int(np.isfinite(metric.per_row(statistics)).sum())
            interval = closed(metric.interval(statistics, drawn, confidence))
            figures[arm] = Estimate(finite(metric.whole(statistics)), interval, scored)
    found = JudgedCriterion(
        metric=metric.name,
        judge=judge.called,
        kind=judge.kind,
        model=judge.model,
        criterion=criterion,
        says=judge.criteria[criterion],
        against=str(getattr(judge, "against", "")),
        arms=figures,
        counts={arm: dict(of_arm) for arm, of_arm in counts.items()},
        first_shown=_first_shown(counts, confidence) if judge.compares else None,
        held=list(held),
        agreement=None,
        least_agreement=judge.least_agreement,
        doubt="",
    )
    return judged_criterion_with(found, [], confidence=confidence, seed=seed)


def judged_criterion_with(
    found: JudgedCriterion, review: Sequence[Held], *, confidence: float = 0.95, seed: int = 0
) -> JudgedCriterion:
    """The same held against people, in the judge's file of ratings and in a review.

    Args:
        found: with the ratings of the file, if there was one.
        review: answers of a review.
        confidence, seed: of the interval.
    """
    in_file = [Held(f"file:{place}", *pair) for place, pair in enumerate(found.held)]
    every = [*in_file, *review]
    held = _agreement(every, confidence, seed) if every else None
    return replace(found, agreement=held, doubt=_doubt(found, held))


def _agreement(held: Sequence[Held], confidence: float, seed: int) -> Agreement:
    """Answers to one row are drawn together, since they stand or fall together."""
    groups = [one.row for one in held]
    rows = len(set(groups))
    if rows < FEWEST:
        return Agreement(len(held), None, None, None, None, None)
    people, judge = [one.people for one in held], [one.judge for one in held]
    found = agreement(people, judge, same_scale=True, groups=groups, confidence=confidence, resamples=2000, seed=seed)
    assert found.kappa is not None, "both speak in the same values"
    kappa, low, high = found.kappa.value, found.kappa.low, found.kappa.high
    limits = wilson(rows, rows, confidence)
    if people == judge and limits:
        # No resample differs either; so many rows out of as many show no more than this.
        low = min(low, limits[0])
    bias = float(np.mean(judge) - np.mean(people))
    return Agreement(len(held), *(finite(value) for value in (kappa, low, high, found.spearman.value, bias)))


def _first_shown(counts: Mapping[str, Mapping[str, int]], confidence: float) -> Estimate | None:
    first, second = (
        sum(of_arm.get(name, 0) for of_arm in counts.values()) for name in ("first_preferred", "second_preferred")
    )
    if not first + second:
        return None
    interval: Interval | None = closed(wilson(first, first + second, confidence))
    return Estimate(first / (first + second), interval, first + second)


def _doubt(judged: JudgedCriterion, found: Agreement | None) -> str:
    """Why a target cannot rest on the judge; empty where it can."""
    who = f"the judge {judged.judge}"
    if found is None:
        return (
            f"{who} was never held against people; give it rated answers as `human`, or have people rate this run's:"
            " tunesmith review new RUN"
        )
    if found.num_rows < FEWEST:
        return f"{who} was held against people on {found.num_rows} answers, and {FEWEST} are the least that tell"
    if found.kappa is None or found.low is None:
        return f"{who} cannot be held against people whose {found.num_rows} ratings are all the same"
    if found.low < judged.least_agreement:
        return (
            f"{who} agrees with people by a kappa of {found.kappa:.2f} on {found.num_rows} answers, at least"
            f" {found.low:.2f} and not the {judged.least_agreement:g} it would take"
        )
    return ""


@dataclass(frozen=True)
class Rated:
    """An answer that people rated."""

    case: Case
    values: dict[str, float]
    """Criterion -> the mean of people's ratings as a value from 0 to 1."""


_TEXTS = ("question", "answer", "other", "reference")


def human_cases(judge: Judge, path: Path) -> list[Rated]:
    """Reads answers that people rated: `{"question": ..., "answer": ..., "helpful": 4}` a line.

    Each criterion is a field of its name, on the judge's scale. Several lines of one answer are several raters.

    Raises:
        DataError: a line cannot be used; it names it.
    """
    said: dict[tuple[str, ...], dict[str, list[float]]] = {}
    try:
        lines = path.read_text("utf-8").split("\n")  # other separators may stand within a text
    except UnicodeDecodeError as error:
        raise DataError("the file is not UTF-8", where=str(path), fix="save it as UTF-8") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        try:
            row = json.loads(line)
            texts = tuple(row.get(name, "") for name in _TEXTS)
            values = {name: judge.value_of(_number(row[name])) for name in judge.criteria if row.get(name) is not None}
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"no rating: {error}", where=where, fix=_EXAMPLE) from error
        needed = [
            name for name in ("answer", *(["other"] if judge.compares else [])) if not isinstance(row.get(name), str)
        ]
        if needed or not values or not all(isinstance(text, str) for text in texts):
            missing = needed[0] if needed else f"one of {', '.join(judge.criteria)}"
            raise DataError(f"the rated answer has no {missing}", where=where, fix=_EXAMPLE)
        for name, value in values.items():
            said.setdefault(texts, {}).setdefault(name, []).append(value)
    return [
        Rated(
            Case(asked=texts[0], answer=texts[1], other=texts[2], reference=texts[3]),
            {name: float(np.mean(values)) for name, values in of_case.items()},
        )
        for texts, of_case in said.items()
    ]


_EXAMPLE = 'write {"question": "...", "answer": "...", "helpful": 4} a line, a field for each criterion'


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is no number")
    return float(value)
