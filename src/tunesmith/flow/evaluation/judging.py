"""The judges of a run: every arm's answers rated, and each judge held against people: `evaluation/judges.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from tunesmith.evaluate.caveats.contamination import Contamination, clean
from tunesmith.evaluate.judged import (
    JudgedCriterion,
    from_json,
    human_cases,
    judged_criterion,
    judged_criterion_with,
    to_json,
)
from tunesmith.evaluate.predict.stored import write_predictions
from tunesmith.evaluate.review.judged import people_and_judge
from tunesmith.evaluate.review.stored import Filled
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.data.workshop import RememberingModels
from tunesmith.flow.request import Request
from tunesmith.judges import Case, Judge, Ratings
from tunesmith.metrics.judged import measure_name
from tunesmith.records import Prediction, Responder
from tunesmith.runs import Run, read_json, write_json

AT_ONCE = 64
"""Answers rated between two signs of progress."""
Arms = dict[str, list[Prediction]]
After = Callable[[str, int, int], None]
"""Told (what, done, total)."""
Counts = dict[str, dict[str, dict[str, int]]]
"""Criterion -> arm -> what was counted."""


def judge_arms(
    run: Run, request: Request, job: Job, arms: Arms, met: Contamination, after: After
) -> tuple[Arms, dict[str, str]]:
    """Has every judge of the spec rate the answers, and writes what they said.

    Args:
        arms: what each answered.
        met: test rows that were trained on; they count in no figure.
        after: told how far the judges are.

    Returns:
        The arms with `judge.NAME.CRITERION` in each row's `measured`, and, by the name of a metric, why no target can
        rest on it.
    """
    settings = job.spec.evaluate
    if not settings.judges:
        return arms, {}
    models, found = RememberingModels(request, job.tokenizer), list[JudgedCriterion]()
    for judge in cast(list[Judge], settings.judges):
        responder = models.responder(judge.model)
        arms, counts = _rated(judge, responder, arms, after)
        held = _held(judge, request.folder, responder, after)
        found += [
            judged_criterion(
                judge,
                criterion,
                {arm: clean(rows, met) for arm, rows in arms.items()},
                counts[criterion],
                held[criterion],
                confidence=settings.confidence,
                resamples=settings.resamples,
                seed=job.spec.data.split.seed,
            )
            for criterion in judge.criteria
        ]
    for arm, rows in arms.items():
        write_predictions(run / "evaluation" / f"predictions-{arm}.parquet", rows)
    write_json(run / "evaluation" / "judges.json", to_json(found))
    return arms, doubts_of(found)


def doubts_of(found: Sequence[JudgedCriterion]) -> dict[str, str]:
    """By the name of a metric, why no target can rest on it."""
    return {one.metric: one.doubt for one in found if one.doubt}


def hold_against_review(run: Run, review: Filled, arms: Mapping[str, Sequence[Prediction]]) -> dict[str, str]:
    """Holds the judges of a run against what people said in its review, beside the answers rated in files.

    Args:
        run: evaluated before; its `evaluation/judges.json` is written again.
        review: of the same answers.
        arms: their predictions, with what judges said of them.

    Returns:
        By the name of a metric, why no target can rest on it.
    """
    path = run / "evaluation" / "judges.json"
    if not path.exists():
        return {}
    spec = read_json(run / "spec.json")["spec"]
    found = [
        judged_criterion_with(
            one,
            people_and_judge(one, review, arms),
            confidence=spec["evaluate"]["confidence"],
            seed=spec["data"]["split"]["seed"],
        )
        for one in from_json(read_json(path))
    ]
    write_json(path, to_json(found))
    return doubts_of(found)


def _rated(judge: Judge, responder: Responder, arms: Arms, after: After) -> tuple[Arms, Counts]:
    """The arms with a judge's values."""
    rated, counts = dict(arms), Counts({criterion: {} for criterion in judge.criteria})
    for arm in ["tuned"] if judge.compares else list(arms):
        rows, others = arms[arm], _others(judge, arms)
        cases = [_case(row, others.get(row.record.id, "")) for row in rows]
        said = _asked(judge, cases, responder, f"judge {judge.called} ({arm})", after)
        for criterion in judge.criteria:
            counts[criterion][arm] = said.counts[criterion]
        rated[arm] = [
            replace(row, measured={**row.measured, **_values(judge, said.values, place)})
            for place, row in enumerate(rows)
        ]
    return rated, counts


def _asked(judge: Judge, cases: Sequence[Case], responder: Responder, what: str, after: After) -> Ratings:
    """Some cases at a time, so that it can be seen how far they are, and stopped."""
    values: dict[str, list[float | None]] = {criterion: [] for criterion in judge.criteria}
    counts: dict[str, Counter[str]] = {criterion: Counter() for criterion in judge.criteria}
    for start in range(0, len(cases), AT_ONCE):
        after(what, start, len(cases))
        said = judge.rate(cases[start : start + AT_ONCE], responder)
        for criterion in judge.criteria:
            values[criterion] += said.values[criterion]
            counts[criterion].update(said.counts[criterion])
    return Ratings(values, {criterion: dict(counted) for criterion, counted in counts.items()})


def _held(judge: Judge, folder: Path, responder: Responder, after: After) -> dict[str, list[tuple[float, float]]]:
    """By criterion, (people's value, the judge's) of the answers in `human`."""
    people = human_cases(judge, folder / judge.human) if judge.human else []
    said = _asked(judge, [one.case for one in people], responder, f"judge {judge.called} (rated by people)", after)
    return {
        criterion: [
            (rated.values[criterion], value)
            for rated, value in zip(people, said.values[criterion], strict=True)
            if value is not None and criterion in rated.values
        ]
        for criterion in judge.criteria
    }


def _values(judge: Judge, values: Mapping[str, Sequence[float | None]], place: int) -> dict[str, float]:
    found = {measure_name(judge.called, criterion): of_rows[place] for criterion, of_rows in values.items()}
    return {name: value for name, value in found.items() if value is not None}


def _others(judge: Judge, arms: Arms) -> dict[str, str]:
    """Record id -> the answer it is held against."""
    against: Any = getattr(judge, "against", None)
    if not judge.compares or against is None:
        return {}
    if against == "expected":
        return {row.record.id: row.expected for row in arms["tuned"]}
    return {row.record.id: row.output for row in arms[against]}


def _case(row: Prediction, other: str) -> Case:
    asked = "\n\n".join(turn.content for turn in row.record.prompt) or (row.record.text or "")
    return Case(asked=asked, answer=row.output, other=other, reference=row.expected)


def ratings_file(judge: Judge, folder: Path) -> None:
    """Refuses a file of ratings that cannot be read.

    Raises:
        DataError: it names the line.
    """
    if judge.human:
        human_cases(judge, folder / judge.human)
