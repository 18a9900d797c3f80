"""How groups of people fare in a run: figures by group of every arm, and pairs that the tuned model is asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from tunesmith.data.methods.augmenting.identity import BUNDLED as SWAPS
from tunesmith.data.methods.augmenting.identity import open_swaps
from tunesmith.data.methods.identity.groups import BUNDLED, Groups, open_groups
from tunesmith.data.steps.identity_terms import IdentityTerms, column_of
from tunesmith.evaluate.fairness.columns import columns, watched
from tunesmith.evaluate.fairness.found import Fairness, SuiteResult, SwappedKind
from tunesmith.evaluate.fairness.groups import group_figures, groupings, num_tests
from tunesmith.evaluate.fairness.represented import represented
from tunesmith.evaluate.fairness.suites import read_suites
from tunesmith.evaluate.fairness.suites.results import suite_result
from tunesmith.evaluate.fairness.swapped import changes, flipped, measured, pairs_of, twins
from tunesmith.evaluate.predict import provides
from tunesmith.evaluate.predict.stored import write_predictions
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.evaluation.bench import Bench
from tunesmith.metrics import Mean, Metric, Rows
from tunesmith.records import Models, Prediction
from tunesmith.runs import Run, write_json
from tunesmith.spec.rooms.fairness import Fairness as Asked

Beside = dict[Rows, Sequence[Prediction]]


def look_at_groups(
    run: Run,
    job: Job,
    arms: Mapping[str, Sequence[Prediction]],
    metrics: Sequence[Metric],
    bench: Bench,
    folder: Path,
    models: Models,
) -> Beside:
    """Does what `evaluate.fairness` asks for, and leaves it in `evaluation/fairness.json`.

    Args:
        arms: arm -> its predictions of the test rows, the tuned model last.
        metrics: measured on them, settled for the task.
        bench: asks the tuned model.
        folder: what the spec's paths are relative to.
        models: whom metrics of answers ask.

    Returns:
        What was predicted beside the test rows, for the metrics that are about it.
    """
    asked = job.spec.evaluate.fairness
    if asked is None:
        return {}
    tuned = arms["tuned"]
    labelled = "label" in provides(job.manner(job.spec.train[-1]), job.spec.goal.task)
    order = {row.record.id: place for place, row in enumerate(tuned)}
    aligned = {arm: sorted(rows, key=lambda row: order[row.record.id]) for arm, rows in arms.items()}
    compared = {arm: columns(rows, metrics, asked.favourable, labelled=labelled) for arm, rows in aligned.items()}
    kinds = list(dict.fromkeys([*asked.groups, *map(column_of, asked.terms)]))
    confidence = job.spec.evaluate.confidence
    figures = group_figures(
        compared,
        groupings(tuned, kinds, intersections=asked.intersections),
        confidence=confidence,
        min_rows=asked.min_rows,
    )
    labels = watched(tuned, asked.favourable) if labelled else []
    notes: list[str] = []
    followed = [cast(Mean, cast(Metric, metric).bind(models)) for metric in asked.answers]
    pairs, swapped = _pairs(job, asked, tuned, bench, folder, labels, followed, notes, labelled=labelled)
    stereotypes, suites = _suites(job, asked, bench, folder)
    found = Fairness(
        confidence=confidence,
        min_rows=asked.min_rows,
        num_tests=num_tests(figures),
        figures=figures,
        represented=represented(job.splits["train"], (row.record for row in tuned), kinds, labels),
        swapped=swapped,
        suites=suites,
        notes=notes,
    )
    write_json(run / "evaluation" / "fairness.json", found.to_json())
    found_beside: Beside = {"counterfactual": pairs, "stereotypes": stereotypes}
    beside = {name: rows for name, rows in found_beside.items() if rows}
    for name, rows in beside.items():
        write_predictions(run / "evaluation" / "fairness" / f"predictions-{name}.parquet", rows)
    return beside


def _pairs(
    job: Job,
    asked: Asked,
    tuned: Sequence[Prediction],
    bench: Bench,
    folder: Path,
    labels: Sequence[str],
    followed: Sequence[Mean],
    notes: list[str],
    *,
    labelled: bool,
) -> tuple[list[Prediction], list[SwappedKind]]:
    """The answers to rows with their terms swapped, and what the swaps change."""
    if not asked.terms or not asked.counterfactuals:
        return [], []
    if job.spec.evaluate.folds:
        notes.append(
            "With `evaluate.folds` the model that ships has learned from every row, so that no pair was asked."
        )
        return [], []
    file = None if asked.swaps is None else (folder / asked.swaps).resolve()
    known = open_swaps(file or SWAPS)
    notes += [f"There are no terms to swap for {kind}." for kind in asked.terms if kind not in known]
    # Rows as the data hold them: what a prediction carries is rendered already.
    found = twins(list(bench.rows), asked.terms, asked.counterfactuals, file)
    if not found:
        notes.append("No test row has terms of identity to swap.")
        return [], []
    bench.arm = "pairs"
    answers = bench.ask("tuned", [twin.swapped for twin in found])
    pairs = pairs_of(tuned, found, answers)
    flips = flipped(pairs, labelled=labelled, file=file)
    confidence = job.spec.evaluate.confidence
    swapped = changes(pairs, flips, _groups(job, folder), labels=labels, metrics=followed, confidence=confidence)
    return measured(pairs, flips), swapped


def _suites(job: Job, asked: Asked, bench: Bench, folder: Path) -> tuple[list[Prediction], list[SuiteResult]]:
    """What the tuned model makes of the items of every suite, and the figures of it and of the base beside it."""
    suites = [suite for name in asked.suites for suite in read_suites(folder / name, name)]
    settings, results = job.spec.evaluate, list[SuiteResult]()
    rows: list[Prediction] = []
    for model in ("base", "tuned") if suites else ():
        bench.arm = f"suites, {model}"
        made = bench.likely(model, suites)
        results += [
            suite_result(
                suite,
                model,
                answers,
                confidence=settings.confidence,
                resamples=settings.resamples,
                seed=job.spec.data.split.seed,
            )
            for suite, answers in zip(suites, made, strict=True)
        ]
        rows = [row for answers in made for row in answers]
    return rows, sorted(results, key=lambda result: (result.suite, result.path))


def _groups(job: Job, folder: Path) -> dict[str, Groups]:
    """The groups that terms stand for, as the step reads them that finds them."""
    for step in job.spec.data.steps or ():
        if isinstance(step, IdentityTerms) and step.groups is not None:
            return open_groups((folder / step.groups).resolve())
    return open_groups(BUNDLED)
