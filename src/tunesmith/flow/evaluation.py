"""The evaluation of a run: every arm on the same test rows, the comparison, and the verdict."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from tunesmith.data.encode.tokenize import Codec
from tunesmith.errors import Interrupted
from tunesmith.evaluate.compare import compare
from tunesmith.evaluate.predict import Manner, majority, manner, predict
from tunesmith.evaluate.stored import write_predictions
from tunesmith.evaluate.verdict import judge
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.folds import fold_predictions
from tunesmith.flow.measuring.abilities import measure_retention
from tunesmith.flow.measuring.judging import judge_arms
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import Request
from tunesmith.metrics import Metric
from tunesmith.models.load import open_model
from tunesmith.prompts.spans import read_spans
from tunesmith.records import Prediction, Record
from tunesmith.runs import Run, write_json

TIMED_ROWS = 100
"""Rows asked one by one for latency figures; enough to bound a 95th percentile."""
TIMED_ROWS_P99 = 320
"""Enough to bound a 99th percentile with 95% confidence: ln 0.05 / ln 0.99 is 299."""


def evaluate(run: Run, request: Request, job: Job, narrator: Narrator, stop: Callable[[], bool]) -> dict[str, Any]:
    """Predicts the test rows with every arm and leaves predictions, comparison and verdict in `evaluation/`.

    Returns:
        What the stage came to: the decision and the rows it rests on.
    """
    metrics, settings = metrics_of(job), job.spec.evaluate
    records = [] if settings.folds else test_rows(job)
    arms: dict[str, list[Prediction]] = {}
    folds: dict[str, list[list[Prediction]]] = {}
    for arm in settings.arms or []:
        if settings.folds:
            folds[arm] = fold_predictions(run, settings.folds, arm)
            arms[arm] = [prediction for fold in folds[arm] for prediction in fold]
        else:
            arms[arm] = _predict(arm, run, request, job, records, metrics, narrator, stop)
    told = _telling(narrator, stop)
    arms, doubts = judge_arms(run, request, job, arms, told)
    for name, predictions in arms.items():
        write_predictions(run / "evaluation" / f"predictions-{name}.parquet", predictions)
    kept, unkept = measure_retention(run, request, job, told)
    narrator.progressing("compare", 0, None)
    comparison = compare(
        arms,
        [
            metric
            for metric in metrics
            if metric.rows == "test" and all(_can(metric, predictions) for predictions in arms.values())
        ],
        slices=settings.slices,
        task=job.spec.goal.task,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=job.spec.data.split.seed,
        folds=folds,
    )
    write_json(run / "evaluation" / "comparison.json", comparison.to_json())
    verdict = judge(
        job.spec.goal.targets,
        arms["tuned"],
        task=job.spec.goal.task,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=job.spec.data.split.seed,
        folds=folds.get("tuned"),
        others={"retention": kept},
        doubts=doubts | unkept,
    )
    write_json(run / "evaluation" / "verdict.json", verdict.to_json())
    return {"decision": verdict.decision, "reason": verdict.reason, "rows": len(arms["tuned"])}


def test_rows(job: Job) -> Sequence[Record]:
    """The test rows, or as many of them as `evaluate.max_rows` allows, drawn by the split's seed."""
    records, most = job.splits["test"], job.spec.evaluate.max_rows
    if most is None or most >= len(records):
        return records
    drawn = sorted(random.Random(job.spec.data.split.seed).sample(range(len(records)), most))
    return [records[index] for index in drawn]


def metrics_of(job: Job) -> list[Metric]:
    """What is measured: `evaluate.metrics`, then what targets name beside them."""
    named = [*(job.spec.evaluate.metrics or []), *(target.metric for target in job.spec.goal.targets)]
    return list({metric.name: metric for metric in cast(list[Metric], named)}.values())


def _can(metric: Metric, predictions: list[Prediction]) -> bool:
    """Whether predictions carry what a metric reads; time is no figure of an arm that computes nothing."""
    if "measured" in metric.needs:
        return metric.score(predictions).num_rows > 0
    return "seconds" not in metric.needs or any(prediction.seconds > 0 for prediction in predictions)


def _telling(narrator: Narrator, stop: Callable[[], bool]) -> Callable[[str, int, int], None]:
    """Tells how far something has come, and ends it where somebody asked to stop."""

    def told(what: str, done: int, total: int) -> None:
        narrator.progressing(what, done, total)
        if stop():
            raise Interrupted(f"stopped at {what}", where="evaluate", fix="give the same command again to go on")

    return told


def _predict(
    arm: str,
    run: Run,
    request: Request,
    job: Job,
    records: Sequence[Record],
    metrics: list[Metric],
    narrator: Narrator,
    stop: Callable[[], bool],
) -> list[Prediction]:
    if arm == "majority":
        return majority(job.splits["train"], records)
    how, codec, rendered = _manner_of(arm, job, records)
    model = open_model(
        str((run / "model").resolve()) if arm == "tuned" else request.base.reference,
        workspace=request.workspace,
        head=None if arm == "tuned" else "lm",
        revision=None if arm == "tuned" else job.spec.base.revision,
        initialize="pretrained" if arm == "tuned" else job.spec.base.initialize,
        seed=job.spec.train[0].seed,
    )

    def after(done: int, total: int | None = None) -> None:
        narrator.progressing(f"predict ({arm})", done, total)
        if stop():
            raise Interrupted(
                f"stopped while predicting ({arm})", where="evaluate", fix="give the same command again to go on"
            )

    wants_spans = job.manner(job.spec.train[-1]) == "tag" and how != "tag"
    timed = TIMED_ROWS_P99 if any(metric.kind == "latency_p99" for metric in metrics) else TIMED_ROWS
    needed = frozenset[str]().union(*(metric.needs for metric in metrics))
    predictions = predict(
        model,
        codec,
        rendered,
        manner=how,
        labels=job.labels,
        max_new_tokens=job.spec.evaluate.max_new_tokens or 0,
        batch=job.spec.evaluate.batch,
        nll="nll" in needed,
        alone=timed if "seconds" in needed else 0,
        after=after,
    )
    return [_with_spans(prediction) for prediction in predictions] if wants_spans else predictions


def _with_spans(prediction: Prediction) -> Prediction:
    """The stretches that an answer in words names, so that it is measured as a tagger is."""
    return replace(prediction, spans=read_spans(prediction.record.text or "", prediction.output))


def _manner_of(arm: str, job: Job, records: Sequence[Record]) -> tuple[Manner, Codec, Sequence[Record]]:
    """How an arm is asked. A base without a head of ours is asked in words."""
    stage = job.spec.train[-1]
    objective = job.objective(stage)
    if arm == "tuned" or objective.head == "lm":
        return job.manner(stage), job.codec(stage), job.render(stage, records)
    how = manner("lm", task=job.spec.goal.task, objective="sft", multi_label=job.multi_label)
    return how, job.codec(stage, need="chat"), job.asked(records)
