"""The evaluation of a run: every arm on the same test rows, the comparison, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from tunesmith.evaluate.arms import Arm
from tunesmith.evaluate.compare import compare
from tunesmith.evaluate.drawn import drawn
from tunesmith.evaluate.stored import read_predictions, write_predictions
from tunesmith.evaluate.verdict import judge
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.data.workshop import RememberingModels
from tunesmith.flow.evaluation.bench import Bench
from tunesmith.flow.evaluation.fairness import look_at_groups
from tunesmith.flow.evaluation.repeats import fold_predictions, seed_predictions
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import Request
from tunesmith.metrics import Metric
from tunesmith.records import Prediction, Record
from tunesmith.runs import Run, fingerprint, read_json, write_json


def evaluate(
    run: Run, request: Request, job: Job, print_: str, narrator: Narrator, stop: Callable[[], bool]
) -> dict[str, Any]:
    """Predicts the test rows with every arm and leaves predictions, comparison and verdict in `evaluation/`.

    An arm that had answered when an earlier try was stopped is not asked again.

    Args:
        print_: names everything that can change what the evaluation leaves.

    Returns:
        What the stage came to: the decision and the rows it rests on.
    """
    settings, targets = job.spec.evaluate, job.spec.goal.targets
    models = RememberingModels(request, job.tokenizer)
    bound = {metric.name: metric.bind(models) for metric in metrics_of(job)}
    metrics = [metric for metric in bound.values() if metric.rows == "test"]
    arms: dict[str, list[Prediction]] = {}
    folds: dict[str, list[list[Prediction]]] = {}
    bench = Bench(run, request, job, [] if settings.folds else test_rows(job), metrics, narrator, stop)
    facts = run / "evaluation" / "arms.json"
    done = read_json(facts) if facts.exists() else {}
    for arm in arms_of(job):
        path = run / "evaluation" / f"predictions-{arm.title}.parquet"
        named = fingerprint([print_, arm.settings()])
        if settings.folds:
            folds[arm.title] = fold_predictions(run, settings.folds, arm.title)
            arms[arm.title] = [prediction for fold in folds[arm.title] for prediction in fold]
            write_predictions(path, arms[arm.title])
        elif done.get(arm.title, {}).get("print") == named and path.exists():
            arms[arm.title] = read_predictions(path)
        else:
            bench.arm, bench.noted = arm.title, {}
            arms[arm.title] = arm.answer(bench)
            write_predictions(path, arms[arm.title])
            done[arm.title] = {"print": named, "arm": arm.settings(), "found": bench.noted}
            write_json(facts, done)
    narrator.progressing("compare", 0, None)
    comparison = compare(
        arms,
        metrics,
        slices=settings.slices,
        task=job.spec.goal.task,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=job.spec.data.split.seed,
        folds=folds,
        seeds=seed_predictions(run, settings.seeds) if settings.seeds else (),
    )
    write_json(run / "evaluation" / "comparison.json", comparison.to_json())
    settled = [metric.for_task(job.spec.goal.task) for metric in metrics]
    beside = look_at_groups(run, job, arms, settled, bench, request.folder)
    verdict = judge(
        [target.model_copy(update={"metric": bound[cast(Metric, target.metric).name]}) for target in targets],
        arms["tuned"],
        task=job.spec.goal.task,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=job.spec.data.split.seed,
        folds=folds.get("tuned"),
        arms=arms,
        beside=beside,
    )
    write_json(run / "evaluation" / "verdict.json", verdict.to_json())
    return {"decision": verdict.decision, "reason": verdict.reason, "rows": len(arms["tuned"])}


def arms_of(job: Job) -> list[Arm]:
    """The arms of a job, the tuned model last: it is held against all others."""
    return sorted(cast(list[Arm], job.spec.evaluate.arms or []), key=lambda arm: arm.kind == "tuned")


def test_rows(job: Job) -> Sequence[Record]:
    """The test rows, or as many of them as `evaluate.max_rows` allows, drawn by the split's seed."""
    return drawn(job.splits["test"], job.spec.evaluate.max_rows, job.spec.data.split.seed)


def metrics_of(job: Job) -> list[Metric]:
    """What is measured: `evaluate.metrics`, then what targets name beside them."""
    named = [*(job.spec.evaluate.metrics or []), *(target.metric for target in job.spec.goal.targets)]
    return list({metric.name: metric for metric in cast(list[Metric], named)}.values())
