"""What to do, from what was measured: prompt, show examples, retrieve, fine-tune or both, and with which adapter.

Every piece of advice names the number it rests on and what speaks against it. Where nothing was measured, or what was
measured does not decide, none is given, and that is said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from tunesmith.errors import UserError
from tunesmith.evaluate.comparison import Difference, Measure
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.data.ready import make_ready
from tunesmith.flow.environment import free_memory, use_threads
from tunesmith.flow.launch.budget import allowed, outlay
from tunesmith.flow.narrator import Listener, Narrator, silent
from tunesmith.flow.plan.arms import BOTH, TUNED, Answers, ask_arms, compared
from tunesmith.flow.plan.change import change_of, time_column
from tunesmith.flow.plan.costs import Cost, costs
from tunesmith.flow.plan.labels import wrong_labels
from tunesmith.flow.plan.stage import MODEL_FLOPS_SHARE, matrix_speed
from tunesmith.flow.plan.tries import Tried, try_base
from tunesmith.flow.plan.words import dollars, gigabytes
from tunesmith.flow.request import Request, make_request
from tunesmith.flow.training import encode_stage
from tunesmith.flow.training.settle import settle_memory
from tunesmith.metrics import Metric
from tunesmith.report.format import duration
from tunesmith.scale.instances import instances

TRIED_STEPS = 200
"""Optimizer steps of the short trainings."""
MANY_WRONG = 0.05
"""Share of labels that look wrong above which mending them comes first."""
OTHER = {"full": "lora", "lora": "full", "qlora": "full"}
"""The method that a spec's own is tried against."""


@dataclass(frozen=True)
class Advice:
    """One thing to do, or not to."""

    about: str
    advice: str
    """Empty where what was measured decides nothing."""
    because: str
    """The number it rests on, with its interval where it has one; or why there is none."""
    against: str
    """What speaks against it."""


@dataclass(frozen=True)
class ArmFigure:
    """What a way of answering came to."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    rows: int
    said: str
    """Why it was not measured; empty where it was."""


@dataclass(frozen=True)
class Advised:
    """Advice and what it rests on."""

    metric: str
    better: str
    arms: tuple[ArmFigure, ...]
    advice: tuple[Advice, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def advise(
    spec_path: Path,
    changes: Sequence[str] = (),
    workspace: Path = Path(),
    *,
    steps: int = TRIED_STEPS,
    listen: Listener = silent,
) -> Advised:
    """Measures on validation rows what ways of answering come to, and says what speaks for which.

    Args:
        spec_path: the spec file.
        changes: overrides.
        workspace: the folder that holds `runs/`.
        steps: of the short trainings.
        listen: gets every event.

    Raises:
        UserError: what would keep the run from starting; or there are no validation rows to measure on.
    """
    use_threads()
    narrator = Narrator(listen)
    column = time_column(make_request(spec_path, changes, workspace))
    request, job = _job(spec_path, changes, workspace, column, narrator)
    if not len(job.splits["validation"]):
        raise UserError("there are no validation rows to measure on", where="data.split", fix="give validation a share")
    answers = ask_arms(request, job, steps, narrator)
    measure = next(iter(compared(job, answers.made).measures), None)
    if measure is None:
        raise UserError("no metric reads what the arms answer", where="evaluate.metrics", fix="name one that does")
    priced = _priced(request, job, narrator)
    other = _other_method(spec_path, changes, workspace, column, job, priced, steps, narrator)
    advice = [
        _approach(answers, measure),
        _retrieval(job, answers, measure),
        _adapter(job, answers.tried, other, priced),
        _data(answers.tried),
        _labels(job),
        _change(job, column),
        *_latency(job, answers),
        _money(job, priced),
        *_budget(request, job, priced),
    ]
    notes = (
        f"{len(next(iter(answers.made.values()))):,} validation rows were asked; no test row was opened",
        f"tuned is a short training of {answers.tried.steps:,} of {answers.tried.total:,} steps: "
        f"{answers.tried.projection.basis}",
    )
    return Advised(measure.name, measure.better, tuple(_figures(answers, measure)), tuple(advice), notes)


def _job(
    spec_path: Path, changes: Sequence[str], workspace: Path, column: str, narrator: Narrator
) -> tuple[Request, Job]:
    """The job, whose rows keep the column that tells the time."""
    request = make_request(spec_path, changes, workspace)
    if column and column not in request.spec.evaluate.slices:
        kept = ", ".join([*request.spec.evaluate.slices, column])
        request = make_request(spec_path, [*changes, f"evaluate.slices=[{kept}]"], workspace)
    job, _, _ = make_ready(request, narrator)
    return request, job


def _figures(answers: Answers, measure: Measure) -> Iterator[ArmFigure]:
    for name, found in measure.arms.items():
        low, high = found.interval or (None, None)
        yield ArmFigure(name, found.value, low, high, found.num_rows, "")
    for name, said in answers.refused.items():
        yield ArmFigure(name, None, None, None, 0, said)


# Pieces of advice ---------------------------------------------------------------------------------


def _approach(answers: Answers, measure: Measure) -> Advice:
    """Whether tuning is worth it, against the best of what needs none."""
    about = "approach"
    rivals = {name: arm.value for name, arm in measure.arms.items() if name not in (TUNED, BOTH)}
    known = {name: value for name, value in rivals.items() if value is not None and math.isfinite(value)}
    if TUNED not in measure.arms or not known:
        said = (
            "nothing that needs no tuning could be measured on these rows" if not known else "tuning was not measured"
        )
        return Advice(about, "", f"{said}, so there is nothing to compare", "")
    sign = 1 if measure.better == "higher" else -1
    best = max(known, key=lambda name: sign * known[name])
    told = _told(measure.differences.get(best), sign)
    tried = answers.tried
    because = f"{measure.name} of the short training minus that of {best}: {_said(measure.differences.get(best))}"
    short = f"it learned for {tried.steps:,} of {tried.total:,} steps, so tuned may come to more"
    if told > 0:
        return Advice(about, "fine-tune", because, "" if tried.steps >= tried.total else f"{short}; this is a floor")
    if told < 0:
        return Advice(about, f"do not fine-tune yet: use {best}", because, short if tried.steps < tried.total else "")
    return Advice(about, "", f"{because}: not told from zero, so it does not decide", short)


def _retrieval(job: Job, answers: Answers, measure: Measure) -> Advice:
    """Whether rows like the question should be shown, to the base or to the tuned model."""
    about = "retrieval"
    sign = 1 if measure.better == "higher" else -1
    made = answers.made
    if BOTH in made:
        found = measure.differences.get(BOTH)
        told, because = _told(found, -sign), f"{measure.name} of tuned minus tuned + retrieval: {_said(found)}"
        if told > 0:
            return Advice(about, "both: tune, and show the nearest training rows", because, "prompts grow longer")
        if told < 0:
            return Advice(
                about, "tune without retrieval", because, "it was tuned without examples before its questions"
            )
        return Advice(about, "", f"{because}: not told from zero", "it was tuned without examples before its questions")
    if "few_shot" in made and "retrieval" in made:
        pair = compared(job, {"few_shot": made["few_shot"], "retrieval": made["retrieval"]}).measures[0]
        found = pair.differences.get("few_shot")
        told, because = _told(found, sign), f"{measure.name} of nearest minus drawn examples: {_said(found)}"
        better = {1: "where examples are shown, show the nearest", -1: "where examples are shown, any will do better"}
        return Advice(about, better.get(told, ""), because, "a tuned model with a head of its own reads no examples")
    why = answers.refused.get("retrieval") or answers.refused.get(BOTH) or "it could not be measured"
    return Advice(about, "", f"not measured: {why}", "")


def _adapter(job: Job, tried: Tried, other: tuple[str, Tried] | str, priced: Sequence[Cost]) -> Advice:
    """Full training or an adapter."""
    about = "adapter"
    stage = job.spec.train[-1]
    assert stage.adapter
    own = stage.adapter.kind
    if isinstance(other, str):
        return Advice(about, "", f"nothing was tried beside {own}: {other}", "")
    name, beside = other
    one, two = tried.projection, beside.projection
    sizes = {cost.method: gigabytes(cost.memory_bytes) for cost in priced if not cost.refused}
    because = (
        f"{tried.figure} after the whole training: {own} {one.value:.3f} ({one.low:.3f} to {one.high:.3f}), "
        f"{name} {two.value:.3f} ({two.low:.3f} to {two.high:.3f})"
    )
    sign = 1 if tried.better == "higher" else -1
    memory = ", ".join(f"{method} {size}" for method, size in sizes.items())
    if one.low > two.high or two.low > one.high:
        better = own if sign * (one.value - two.value) > 0 else name
        return Advice(about, better, because, f"memory here: {memory}")
    return Advice(about, "", f"{because}: the intervals overlap", f"by memory alone: {memory}")


def _data(tried: Tried) -> Advice:
    """Whether more training, and so more rows, would still help."""
    now, then = tried.course[-1][1], tried.projection
    gain = abs(then.value - now)
    reach = (then.high - then.low) / 2
    because = (
        f"{tried.figure} was {now:.3f} after {tried.rows:,} rows and is carried to {then.value:.3f} "
        f"({then.low:.3f} to {then.high:.3f}) over the whole training"
    )
    if tried.steps >= tried.total:
        return Advice(
            "data size", "", f"{because}; the short training was the whole one, so more rows were not tried", ""
        )
    if math.isfinite(reach) and gain > reach:
        return Advice("data size", "use all rows: it still learns", because, "the course is carried, not measured")
    return Advice("data size", "", f"{because}: no further gain is told from zero", "")


def _labels(job: Job) -> Advice:
    found = wrong_labels(job.unplanted) if job.labels else None
    if found is None:
        return Advice("label quality", "", "rows carry no single label each, so confident learning tells nothing", "")
    rate, reach, rows = found
    because = f"{rate:.1%} of labels look wrong (+-{reach:.1%}, by confident learning on {rows:,} training rows)"
    against = "a word count finds them: what it cannot tell apart looks wrong to it, so this is an upper estimate"
    if rate - reach > MANY_WRONG:
        return Advice("label quality", "look at the labels first: `data: {steps: [label_errors]}`", because, against)
    return Advice("label quality", "labels need no work before tuning", because, "wrong labels that agree are not seen")


def _change(job: Job, column: str) -> Advice:
    found = change_of(job.unplanted, column)
    if found.differing is None or found.low is None or found.high is None:
        return Advice("knowledge", "", f"how fast it changes cannot be told: {found.said}", "")
    because = (
        f"of {found.pairs:,} like questions from different times (`{found.column}`) {found.differing:+.1%} more have "
        f"another answer than of the same time ({found.low:+.1%} to {found.high:+.1%})"
    )
    if found.low > 0:
        return Advice("knowledge", "keep what changes outside of the weights: retrieve it", because, "")
    return Advice("knowledge", "", f"{because}: no change is told from zero", "slow changes need a longer record")


def _latency(job: Job, answers: Answers) -> Iterator[Advice]:
    """Each latency target against what was measured here."""
    for target in job.spec.goal.targets:
        metric = cast(Metric, target.metric)
        if "seconds" not in metric.needs or target.at_most is None:
            continue
        found = next((each for each in compared(job, answers.made).measures if each.name == metric.name), None)
        figures = {name: arm for name, arm in found.arms.items() if arm.value is not None} if found else {}
        if not figures:
            yield Advice("latency", "", f"{metric.name} could not be measured", "")
            continue
        good = [name for name, arm in figures.items() if arm.value is not None and arm.value <= target.at_most.value]
        said = ", ".join(f"{name} {arm.value:.3g}" for name, arm in figures.items())
        advice = f"within the target: {', '.join(good)}" if good else "no way of answering is within the target here"
        yield Advice("latency", advice, f"{metric.name}, at most {target.at_most}: {said}", "of this machine only")


def _money(job: Job, priced: Sequence[Cost]) -> Advice:
    """Here, or on a rented machine."""
    stage = job.spec.train[-1]
    assert stage.adapter
    own = next((cost for cost in priced if cost.method == stage.adapter.kind and not cost.refused), None)
    if own is None:
        return Advice("where", "", f"what {stage.adapter.kind} costs elsewhere is not estimated", "")
    rent = own.rents[0] if own.rents else None
    rented = (
        f"{rent.instance} {dollars(rent.on_demand)} and {duration(rent.seconds)}" if rent else "no machine holds it"
    )
    because = f"here about {duration(own.seconds)} and {gigabytes(own.memory_bytes)}; rented, by formula: {rented}"
    against = f"prices of {rent.as_of}" if rent else ""
    if not own.fits:
        return Advice("where", f"rent {rent.instance}" if rent else "", f"it does not fit here; {because}", against)
    if rent is not None and own.seconds > 10 * rent.seconds:
        return Advice("where", f"rent {rent.instance}", because, against)
    return Advice("where", "train here", because, against)


def _budget(request: Request, job: Job, priced: Sequence[Cost]) -> Iterator[Advice]:
    """Each method against the budget, where there is one."""
    scale = job.spec.scale
    if scale.budget is None:
        return
    found = {
        cost.method: made
        for cost in priced
        if not cost.refused and (made := outlay(cost.seconds, scale, request.workspace)) is not None
    }
    good = [method for method, made in found.items() if made.within]
    seconds = {cost.method: cost.seconds for cost in priced}
    said = ", ".join(
        f"{method} {duration(seconds[method]) if made.usd is None else dollars(made.usd)}"
        for method, made in found.items()
    )
    advice = f"within the budget: {', '.join(good)}" if good else "no method is within the budget: train for less"
    yield Advice(
        "budget", advice, f"the whole training here, of {allowed(scale.budget)} allowed: {said}", "evaluation aside"
    )


# What they rest on --------------------------------------------------------------------------------


def _priced(request: Request, job: Job, narrator: Narrator) -> list[Cost]:
    number = len(job.spec.train) - 1
    examples, validation, order = encode_stage(job, number, narrator)
    free = free_memory()
    stage = settle_memory(request, job.spec.train[number], examples, validation, free).stage
    speed = matrix_speed() * MODEL_FLOPS_SHARE
    return costs(request, stage, examples, order, free, None, speed, instances(request.workspace))


def _other_method(
    spec_path: Path,
    changes: Sequence[str],
    workspace: Path,
    column: str,
    job: Job,
    priced: Sequence[Cost],
    steps: int,
    narrator: Narrator,
) -> tuple[str, Tried] | str:
    """A short training with the method that the spec's own is tried against, or why there is none."""
    stage = job.spec.train[-1]
    assert stage.adapter
    other = OTHER.get(stage.adapter.kind, "lora")
    cost = next((cost for cost in priced if cost.method == other), None)
    if cost is None or cost.refused or not cost.fits:
        return f"{other} {cost.refused or 'does not fit in the memory that is free here'}" if cost else other
    number = len(job.spec.train) - 1
    where = f"train.{number}.adapter" if number else "train.adapter"
    try:
        request, beside = _job(spec_path, [*changes, f"{where}={other}"], workspace, column, narrator)
        return other, try_base(request, beside, steps, narrator)
    except UserError as error:
        return f"{other}: {error.what}"


def _told(found: Difference | None, sign: int) -> int:
    """1 where a difference is surely for the better, -1 for the worse, 0 where it is not told from zero."""
    if found is None or found.interval is None or None in found.interval:
        return 0
    low, high = cast(tuple[float, float], found.interval)
    return sign if low > 0 else -sign if high < 0 else 0


def _said(found: Difference | None) -> str:
    if found is None or found.value is None:
        return "not measured"
    low, high = found.interval or (None, None)
    interval = "" if low is None or high is None else f" ({low:+.3f} to {high:+.3f}, {found.num_rows:,} rows)"
    return f"{found.value:+.3f}{interval}"
