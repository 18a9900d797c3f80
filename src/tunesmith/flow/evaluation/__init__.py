"""The evaluation of a run: every arm on the same test rows, the comparison, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from tunesmith.errors import Interrupted
from tunesmith.evaluate.arms import Arm
from tunesmith.evaluate.caveats.contamination import FILE, Contamination, clean, contamination
from tunesmith.evaluate.caveats.weigh import simpler_arms, weigh
from tunesmith.evaluate.compare import compare
from tunesmith.evaluate.mistakes.kinds import KINDS
from tunesmith.evaluate.predict.stored import read_predictions, write_predictions
from tunesmith.evaluate.statistics.drawn import drawn
from tunesmith.evaluate.verdict import judge
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.data.trained import trained_rows
from tunesmith.flow.data.workshop import RememberingModels
from tunesmith.flow.evaluation.abilities import measure_retention
from tunesmith.flow.evaluation.bench import Bench
from tunesmith.flow.evaluation.explain import explain_answers
from tunesmith.flow.evaluation.fairness import look_at_groups
from tunesmith.flow.evaluation.judging import judge_arms
from tunesmith.flow.evaluation.privacy import privacy
from tunesmith.flow.evaluation.repeats import fold_contamination, fold_predictions, seed_predictions
from tunesmith.flow.evaluation.robustness import measure_robustness
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import Request
from tunesmith.metrics import Metric, Rows
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
    settings, targets, seed = job.spec.evaluate, job.spec.goal.targets, job.spec.data.split.seed
    models = RememberingModels(request, job.tokenizer)
    bound = {metric.name: metric.bind(models) for metric in metrics_of(job)}
    metrics = [metric for metric in bound.values() if metric.rows == "test"]
    records = [] if settings.folds else test_rows(job)
    bench = Bench(run, request, job, records, metrics, narrator, stop)
    answers, folds = _answers(run, job, bench, print_)
    met = fold_contamination(run, settings.folds) if settings.folds else _met(job, request, records, narrator)
    write_json(run / "evaluation" / FILE, met.to_json())
    told = _telling(narrator, stop)
    answers, doubts = judge_arms(run, request, job, answers, met, told)
    arms = {arm: clean(rows, met) for arm, rows in answers.items()}
    parts = {arm: [clean(fold, met) for fold in of_arm] for arm, of_arm in folds.items()}
    beside, rested = _beside(run, request, job, bench, arms, models, told)
    narrator.progressing("compare", 0, None)
    comparison = compare(
        arms,
        metrics,
        slices=settings.slices,
        task=job.spec.goal.task,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=seed,
        folds=parts,
        seeds=[clean(rows, met) for rows in seed_predictions(run, settings.seeds or 0)],
        discover=KINDS,
        trained=() if settings.folds else job.splits["train"],
    )
    write_json(run / "evaluation" / "comparison.json", comparison.to_json())
    judged = judge(
        [target.model_copy(update={"metric": bound[cast(Metric, target.metric).name]}) for target in targets],
        arms["tuned"],
        task=job.spec.goal.task,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=seed,
        folds=parts.get("tuned"),
        arms=arms,
        beside=beside,
        doubts=doubts | rested,
    )
    verdict = weigh(judged, comparison, met, simpler_arms(arms_of(job)))
    write_json(run / "evaluation" / "verdict.json", verdict.to_json())
    return {"decision": verdict.decision, "reason": verdict.reason, "rows": len(arms["tuned"])}


def _beside(
    run: Run,
    request: Request,
    job: Job,
    bench: Bench,
    arms: Mapping[str, Sequence[Prediction]],
    models: RememberingModels,
    told: Callable[[str, int, int], None],
) -> tuple[dict[Rows, Sequence[Prediction]], dict[str, str]]:
    """What is measured on other rows than the test rows, and why some of its targets can rest on nothing."""
    kept, unkept = measure_retention(run, request, job, told)
    changed, unsure = measure_robustness(run, job.spec, request.folder, bench, arms, models, told)
    rows: dict[Rows, Sequence[Prediction]] = {"retention": kept} if kept or unkept else {}
    if job.spec.evaluate.robustness is not None:
        rows["robustness"] = changed
    rows |= privacy(run, job, bench)
    settled = [metric.for_task(job.spec.goal.task) for metric in bench.metrics]
    rows |= look_at_groups(run, job, arms, settled, bench, request.folder, models)
    rows |= explain_answers(run, job, arms, bench)
    return rows, unkept | unsure


def _answers(
    run: Run, job: Job, bench: Bench, print_: str
) -> tuple[dict[str, list[Prediction]], dict[str, list[list[Prediction]]]]:
    """What every arm answered, and the same by fold where there are folds."""
    arms: dict[str, list[Prediction]] = {}
    folds: dict[str, list[list[Prediction]]] = {}
    facts = run / "evaluation" / "arms.json"
    done = read_json(facts) if facts.exists() else {}
    for arm in arms_of(job):
        path = run / "evaluation" / f"predictions-{arm.title}.parquet"
        named = fingerprint([print_, arm.settings()])
        if job.spec.evaluate.folds:
            folds[arm.title] = fold_predictions(run, job.spec.evaluate.folds, arm.title)
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
    return arms, folds


def _met(job: Job, request: Request, records: Sequence[Record], narrator: Narrator) -> Contamination:
    """The test rows that were trained on."""
    trained, gone = trained_rows(job, request.workspace)
    for run_gone in gone:
        narrator.say("warning", text=f"the rows of {run_gone} are gone: test rows could not be looked for among them")
    return replace(contamination(records, trained), unsought=gone)


def _telling(narrator: Narrator, stop: Callable[[], bool]) -> Callable[[str, int, int], None]:
    """Tells how far something has come, and ends it where somebody asked to stop."""

    def told(what: str, done: int, total: int) -> None:
        narrator.progressing(what, done, total)
        if stop():
            raise Interrupted(f"stopped at {what}", where="evaluate", fix="give the same command again to go on")

    return told


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
