"""The judges of a run: every arm's answers rated, and each judge held against people: `evaluation/judges.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from tunesmith.evaluate.judged import JudgedCriterion, human_cases, judged_criterion, to_json
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.data.workshop import KeptModels
from tunesmith.flow.request import Request
from tunesmith.judges import Case, Judge
from tunesmith.records import Prediction, Responder
from tunesmith.runs import Run, write_json

Arms = dict[str, list[Prediction]]
After = Callable[[str, int, int], None]
"""Told (what, done, total)."""


def judge_arms(run: Run, request: Request, job: Job, arms: Arms, after: After) -> tuple[Arms, dict[str, str]]:
    """Has every judge of the spec rate the answers, and writes what they said.

    Returns:
        The arms with `judge.NAME.CRITERION` in each row's `measured`, and, by the name of a metric, why no target can
        rest on it.
    """
    settings = job.spec.evaluate
    if not settings.judges:
        return arms, {}
    models, found = KeptModels(request, job.tokenizer), list[JudgedCriterion]()
    for judge in cast(list[Judge], settings.judges):
        responder = models.responder(judge.model)
        arms, counts = _rated(judge, responder, arms, after)
        people = human_cases(judge, request.folder / judge.human) if judge.human else None
        said = judge.rate([rated.case for rated in people], responder) if people else None
        for criterion in judge.criteria:
            pairs = None
            if people is not None and said is not None:
                pairs = [
                    (rated.values[criterion], value)
                    for rated, value in zip(people, said.values[criterion], strict=True)
                    if value is not None and criterion in rated.values
                ]
            found.append(
                judged_criterion(
                    judge,
                    criterion,
                    arms,
                    counts.get(criterion, {}),
                    pairs,
                    confidence=settings.confidence,
                    resamples=settings.resamples,
                    seed=job.spec.data.split.seed,
                )
            )
    write_json(run / "evaluation" / "judges.json", to_json(found))
    return arms, {one.metric: one.doubt for one in found if one.doubt}


def _rated(
    judge: Judge, responder: Responder, arms: Arms, after: After
) -> tuple[Arms, dict[str, dict[str, dict[str, int]]]]:
    """The arms with a judge's values, and criterion -> arm -> counts. Rows rated in a fold are not rated again."""
    rated, counts = dict(arms), dict[str, dict[str, dict[str, int]]]()
    for arm in ["tuned"] if judge.compares else list(arms):
        rows, others = arms[arm], _others(judge, arms)
        if rows and all(judge.measure_of(criterion) in row.measured for row in rows for criterion in judge.criteria):
            continue
        cases = [_case(row, others.get(row.record.id, "")) for row in rows]
        what = f"judge {judge.called} ({arm})"
        said = judge.rate(cases, responder, lambda done, total, what=what: after(what, done, total))  # type: ignore[misc]
        for criterion, counted in said.counts.items():
            counts.setdefault(criterion, {})[arm] = counted
        rated[arm] = [
            replace(row, measured={**row.measured, **_values(judge, said.values, place)})
            for place, row in enumerate(rows)
        ]
    return rated, counts


def _values(judge: Judge, values: Mapping[str, Sequence[float | None]], place: int) -> dict[str, float]:
    found = {judge.measure_of(criterion): of_rows[place] for criterion, of_rows in values.items()}
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
