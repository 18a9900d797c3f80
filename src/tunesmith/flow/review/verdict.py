"""What people said, brought into a run's verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from tunesmith.errors import UserError
from tunesmith.evaluate.arms import Arm
from tunesmith.evaluate.caveats.contamination import Contamination, clean, read_contamination
from tunesmith.evaluate.caveats.weigh import simpler_arms, weigh
from tunesmith.evaluate.comparison import Comparison
from tunesmith.evaluate.review.measured import outdated, rated
from tunesmith.evaluate.review.results import Results, results
from tunesmith.evaluate.review.stored import Filled
from tunesmith.evaluate.verdict import Verdict, decide, judge
from tunesmith.flow.evaluation.judging import hold_against_review
from tunesmith.flow.evaluation.repeats import fold_predictions
from tunesmith.flow.review import Desk, measured_arms, predictions_of
from tunesmith.metrics import Metric
from tunesmith.metrics.judged import Judged
from tunesmith.part import ARMS
from tunesmith.runs import Run, read_json, write_json
from tunesmith.spec.sections import Target


def review_results(desk: Desk) -> tuple[Results, Verdict | None]:
    """What a review comes to, left in `evaluation/review.json`, and the run's verdict with it."""
    found = results(desk.filled())
    write_json(desk.run / "evaluation" / "review.json", found.to_json())
    return found, rejudge(desk.run, desk.filled())


def bring_in_review(run: Run, workspace: Path, store: str | None = None) -> str:
    """Judges a run that was evaluated anew with the ratings that were brought into its verdict before.

    Args:
        run: its `evaluation/review.json` tells of which review they were.
        workspace: the folder that holds `runs/`.
        store: as for `Desk`.

    Returns:
        What a reader must know of it; empty where no rating was brought in before, and where all were again.
    """
    kept = run / "evaluation" / "review.json"
    if not kept.exists():
        return ""
    number = int(read_json(kept)["number"])
    try:
        with Desk(str(run), workspace, store, number) as desk:
            review = desk.filled()
            review_results(desk)
    except UserError as error:
        return f"the ratings of review {number} are not in this verdict: {error.what}; tunesmith review results {run}"
    others = len(outdated(review, predictions_of(run, "tuned")))
    if not others:
        return ""
    return (
        f"{others} of {len(review.items)} answers that people rated in review {number} are others by now, and do not"
        f" count; tunesmith review new {run}"
    )


def rejudge(run: Run, review: Filled) -> Verdict | None:
    """Writes a run's verdict again with what people said; what rests on other rows stands as it was judged.

    Args:
        run: evaluated before.
        review: its review.

    Returns:
        The verdict; None where the run has none.

    Raises:
        UserError: the verdict is of other targets than the spec's.
    """
    path = run / "evaluation" / "verdict.json"
    if not path.exists():
        return None
    spec, before = read_json(run / "spec.json")["spec"], Verdict.from_json(read_json(path))
    targets = [Target.model_validate(target) for target in spec["goal"]["targets"]]
    if len(targets) != len(before.targets):
        raise UserError(f"the verdict of {run} is not of its spec's targets", where=str(path), fix="evaluate it again")
    asked = [
        number
        for number, target in enumerate(targets)
        if cast(Metric, target.metric).rows == "review" or isinstance(target.metric, Judged)
    ]
    met = read_contamination(run / "evaluation") or Contamination(0, 0, unsought=[str(run)])
    judged = _judge_ratings([targets[number] for number in asked], run, review, met, spec)
    found = dict(enumerate(before.targets)) | dict(zip(asked, judged.targets, strict=True))
    verdict = decide(list(found.values()), before.confidence)
    comparison = Comparison.from_json(read_json(run / "evaluation" / "comparison.json"))
    arms = [cast(Arm, ARMS.make(arm)) for arm in spec["evaluate"].get("arms") or []]
    verdict = weigh(verdict, comparison, met, simpler_arms(arms))
    write_json(path, verdict.to_json())
    from tunesmith.flow.stages import write_report  # which brings everything that a run needs

    write_report(run)
    return verdict


def _judge_ratings(
    targets: Sequence[Target], run: Run, review: Filled, met: Contamination | None, spec: Mapping[str, Any]
) -> Verdict:
    """The one place that judges what people said, and models that are trusted as far as they agree with people: by the
    confidence and the draws of the run's spec."""
    settings = spec.get("evaluate", {})
    arms = {arm: predictions_of(run, arm) for arm in measured_arms(run)}
    folds = fold_predictions(run, settings["folds"], "tuned") if settings.get("folds") else None
    return judge(
        targets,
        arms["tuned"],
        arms=arms,
        beside={"review": rated(arms["tuned"], review)},
        doubts=hold_against_review(run, review, arms),
        folds=folds and [clean(fold, met) for fold in folds],
        task=spec["goal"].get("task"),
        confidence=settings.get("confidence", 0.95),
        resamples=settings.get("resamples", 2000),
        seed=spec["data"].get("split", {}).get("seed", 0),
    )
