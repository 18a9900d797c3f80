"""What judges said, and how far they may be trusted: as far as they agree with people, and no further."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from tunesmith.errors import DataError
from tunesmith.evaluate.comparison import Estimate, Interval, closed, finite
from tunesmith.evaluate.resample import draw
from tunesmith.judges import Case, Judge
from tunesmith.judges._agreement import FEWEST, Agreement, agreement
from tunesmith.metrics._intervals import wilson
from tunesmith.metrics.judged import Judged
from tunesmith.records import Prediction


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
    arms: dict[str, Estimate]
    """Mean values from 0 to 1."""
    counts: dict[str, dict[str, int]]
    """By arm: `asked_again`, `unread`, and what else was counted."""
    first_shown: Estimate | None
    """How often the answer shown first was preferred, where one was; None for judges that do not compare."""
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
    pairs: Sequence[tuple[float, float]] | None,
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
        pairs: (people's value, the judge's value) of the same answers; None where there are no ratings by people.
        confidence, resamples, seed: of the intervals.
    """
    metric = Judged(judge=judge.called, criterion=criterion)
    name = judge.measure_of(criterion)
    figures = {}
    for arm, rows in arms.items():
        if any(name in row.measured for row in rows):
            statistics = metric.statistics(rows)
            drawn = draw([(metric, statistics)], resamples, seed)[0]
            scored = int(np.isfinite(metric.per_row(statistics)).sum())
            interval = closed(metric.interval(statistics, drawn, confidence))
            figures[arm] = Estimate(finite(metric.whole(statistics)), interval, scored)
    found = None
    if pairs is not None:
        found = agreement([one for one, _ in pairs], [other for _, other in pairs], confidence=confidence, seed=seed)
    return JudgedCriterion(
        metric=metric.name,
        judge=judge.called,
        kind=judge.kind,
        model=judge.model,
        criterion=criterion,
        says=judge.criteria[criterion],
        arms=figures,
        counts={arm: dict(of_arm) for arm, of_arm in counts.items()},
        first_shown=_first_shown(counts, confidence) if judge.compares else None,
        agreement=found,
        least_agreement=judge.least_agreement,
        doubt=_doubt(judge, found),
    )


def _first_shown(counts: Mapping[str, Mapping[str, int]], confidence: float) -> Estimate | None:
    first, second = (
        sum(of_arm.get(name, 0) for of_arm in counts.values()) for name in ("first_preferred", "second_preferred")
    )
    if not first + second:
        return None
    interval: Interval | None = closed(wilson(first, first + second, confidence))
    return Estimate(first / (first + second), interval, first + second)


def _doubt(judge: Judge, found: Agreement | None) -> str:
    """Why a target cannot rest on the judge; empty where it can."""
    who = f"the judge {judge.called}"
    if found is None:
        return f"{who} was never held against people; give it a file of rated answers as `human`"
    if found.num_rows < FEWEST:
        return f"{who} was held against people on {found.num_rows} answers, and {FEWEST} are the least that tell"
    if found.kappa is None or found.low is None:
        return f"{who} cannot be held against people whose {found.num_rows} ratings are all the same"
    if found.low < judge.least_agreement:
        return (
            f"{who} agrees with people by a kappa of {found.kappa:.2f} on {found.num_rows} answers, at least"
            f" {found.low:.2f} and not the {judge.least_agreement:g} it would take"
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
