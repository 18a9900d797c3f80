"""Rows after a change, asked of the tuned model and the base: `evaluation/robustness.json` and its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from tunesmith.errors import DataError
from tunesmith.evaluate.predict.stored import write_predictions
from tunesmith.evaluate.robustness.changes import Changed, asked_instead, changed, usable
from tunesmith.evaluate.robustness.measure import (
    ChangeResult,
    OutOfScope,
    change_result,
    out_of_scope_result,
    robustness_result,
    scored,
    unanswered,
    why_no_scores,
)
from tunesmith.evaluate.robustness.sentences import QUESTIONS
from tunesmith.evaluate.statistics.drawn import drawn
from tunesmith.flow.evaluation.bench import Bench
from tunesmith.metrics import Metric
from tunesmith.records import Models, Prediction, Record
from tunesmith.runs import Run, write_json
from tunesmith.spec.rooms.robustness import Change, Robustness
from tunesmith.spec.sections import Spec

ARMS = ("base", "tuned")
"""Whom changed rows are put to, where they are among the arms."""
After = Callable[[str, int, int], None]
"""Told (what, done, total)."""


def scoring_metric(spec: Spec) -> Metric | None:
    """What answers are scored by: the section's own metric, or the first of the run's that can; None where none can."""
    asked = spec.evaluate.robustness
    if asked is not None and asked.metric is not None:
        return cast(Metric, asked.metric)
    metrics = cast(list[Metric], spec.evaluate.metrics or [])
    return next((metric for metric in metrics if metric.rows == "test" and not why_no_scores(metric)), None)


def questions_of(asked: Robustness, folder: Path) -> Sequence[str]:
    """The questions out of scope.

    Raises:
        DataError: the file cannot be read, or holds none.
    """
    if asked.questions is None:
        return QUESTIONS
    path = folder / asked.questions
    try:
        found = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the questions cannot be read: {error}", where=str(path), fix="name a UTF-8 text file") from (
            error
        )
    if not found:
        raise DataError("there are no questions in it", where=str(path), fix="write one question a line")
    return found


def measure_robustness(
    run: Run,
    spec: Spec,
    folder: Path,
    bench: Bench,
    arms: Mapping[str, Sequence[Prediction]],
    models: Models,
    after: After,
) -> tuple[list[Prediction], dict[str, str]]:
    """Changes test rows in every way that is asked for, puts them to the models, and writes what became of the answers.

    Args:
        arms: arm -> what it said of the test rows that were not trained on.
        models: whom other words are asked of.
        after: told how far it is.

    Returns:
        The tuned model's rows that the metric `robustness` counts, and why some of its targets can rest on nothing;
        both empty where the spec asks for no robustness.
    """
    asked, metric, seed = spec.evaluate.robustness, scoring_metric(spec), spec.data.split.seed
    if asked is None or metric is None:
        return [], {}
    metric = metric.bind(models).for_task(spec.goal.task)
    answered = {row.record.id for row in arms["tuned"]}
    rows = drawn([row for row in bench.rows if row.id in answered and usable(row)], asked.rows, seed)
    clean = {arm: {row.record.id: row for row in arms[arm]} for arm in ARMS if arm in arms}
    made = {kind: _changed(rows, asked, kind, bench, models, after) for kind in asked.kinds if kind != "out_of_scope"}
    questions = asked_instead(rows, questions_of(asked, folder)) if rows and "out_of_scope" in asked.kinds else []
    puts: dict[Change, list[Record]] = {kind: [each.record for each in found.values()] for kind, found in made.items()}
    puts["out_of_scope"] = questions
    said: dict[str, dict[str, list[Prediction]]] = {arm: {} for arm in clean}
    for arm in clean:  # one model is held at a time
        for kind, put in puts.items():
            bench.arm = f"{arm}, {kind}"
            said[arm][kind] = bench.ask(arm, put) if put else []
    settings = spec.evaluate
    results: list[ChangeResult] = []
    kept: list[Prediction] = []
    for kind, of_kind in made.items():
        pairs = {arm: ([clean[arm][name] for name in of_kind], said[arm][kind]) for arm in clean}
        results.append(
            change_result(
                kind,
                of_kind,
                pairs,
                metric,
                unchanged=len(rows) - len(of_kind),
                confidence=settings.confidence,
                resamples=settings.resamples,
                seed=seed,
            )
        )
        kept += scored(kind, metric, *pairs["tuned"])
    outside, of_questions = _out_of_scope(clean, said, settings.confidence) if questions else (None, [])
    result = robustness_result(metric, results, outside, settings.confidence)
    write_json(run / "evaluation" / "robustness.json", result.to_json())
    write_predictions(run / "evaluation" / "robustness.parquet", [*kept, *of_questions])
    return [*kept, *of_questions], result.doubts()


def _changed(
    rows: Sequence[Record], asked: Robustness, kind: Change, bench: Bench, models: Models, after: After
) -> dict[str, Changed]:
    """Id -> the row after a change, of those that it changes."""
    other_words = kind == "paraphrase" and asked.model is not None
    after(f"robustness ({kind})", 0, len(rows))
    found = changed(
        rows,
        kind,
        seed=bench.seed,
        share=asked.share,
        labels=bench.labels,
        responder=models.responder(asked.model) if other_words and asked.model else None,
    )
    return {row.id: each for row, each in zip(rows, found, strict=True) if each is not None}


def _out_of_scope(
    clean: Mapping[str, Mapping[str, Prediction]], said: Mapping[str, Mapping[str, list[Prediction]]], confidence: float
) -> tuple[OutOfScope, list[Prediction]]:
    told = {arm: unanswered(said[arm]["out_of_scope"], list(clean[arm].values())) for arm in clean}
    rows = {arm: found for arm, (found, _) in told.items()}
    return out_of_scope_result(rows, told["tuned"][1], confidence), rows["tuned"]
