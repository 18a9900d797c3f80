"""The stages of a run: what names each, what it leaves, and the work itself.

data (when the run is born) -> fold-1 or seed-2 -> ... -> train-1 -> ... -> evaluate -> report
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunesmith.flow.data.prepare import Job
from tunesmith.flow.environment import threads, versions
from tunesmith.flow.evaluation import evaluate
from tunesmith.flow.evaluation.repeats import Carry, Repeat, do_repeat, folder_of
from tunesmith.flow.lineage import lineage
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import Request
from tunesmith.flow.training import model_folder
from tunesmith.flow.training.find import find
from tunesmith.flow.training.together import train
from tunesmith.report.card import card
from tunesmith.report.render import render
from tunesmith.runs import Run, fingerprint, write_json, write_text

Until = Literal["train", "evaluate", "report"]
Stop = Callable[[], bool]


@dataclass(frozen=True)
class Stage:
    """A piece of a run that is done once."""

    name: str
    fingerprint: str
    """Names everything that can change what it leaves."""
    leaves: list[str]
    """Files and folders of the run."""
    work: Callable[[Narrator, Stop], dict[str, Any]]
    """Does it; what it returns is kept in its marker."""


def stages(
    run: Run,
    request: Request,
    job: Job,
    until: Until,
    repeats: Sequence[Repeat] = (),
    carry_repeat: Carry | None = None,
) -> list[Stage]:
    """The stages up to `until`, in order."""
    spec = job.spec.model_dump(mode="json")
    print_ = fingerprint(
        [spec["data"], spec["prompt"], spec["goal"]["task"], spec["evaluate"]["slices"], request.digests]
    )
    found = [_repeat(run, repeat, carry_repeat) for repeat in repeats if carry_repeat and until != "train"]
    print_of_repeats = [stage.fingerprint for stage in found]
    start = request.base.reference
    for number in range(len(job.spec.train)):
        if spec["find"]:
            print_ = fingerprint([print_, spec["base"], spec["train"][number], spec["find"], versions(), threads()])
            found.append(_find(run, request, job, number, start, print_))
        print_ = fingerprint([print_, spec["base"], spec["train"][number], versions(), threads()])
        found.append(_train(run, request, job, number, start, print_))
        start = str(model_folder(run, job, number).resolve())
    if until == "train":
        return found
    print_ = fingerprint([print_, spec["evaluate"], spec["goal"], request.others, request.beside, *print_of_repeats])
    found.append(
        Stage(
            "evaluate",
            print_,
            ["evaluation"],
            lambda narrator, stop: evaluate(run, request, job, print_, narrator, stop),
        )
    )
    return found


def _repeat(run: Run, repeat: Repeat, carry: Carry) -> Stage:
    leaves = [str(folder_of(run, repeat.kind, repeat.number).relative_to(run.path))]
    return Stage(
        repeat.name,
        repeat.asked.fingerprint,
        leaves,
        lambda narrator, stop: do_repeat(run, repeat, carry, narrator, stop),
    )


def _find(run: Run, request: Request, job: Job, number: int, start: str, print_: str) -> Stage:
    return Stage(
        f"find-{number + 1}",
        print_,
        [f"find/{number + 1}"],
        lambda narrator, stop: find(run, request, job, number, start, narrator, stop),
    )


def _train(run: Run, request: Request, job: Job, number: int, start: str, print_: str) -> Stage:
    return Stage(
        f"train-{number + 1}",
        print_,
        [model_folder(run, job, number).name],
        lambda narrator, stop: train(run, request, job, number, start, narrator, stop),
    )


def do(stage: Stage, run: Run, narrator: Narrator, stop: Stop, before_work: Callable[[], None] = lambda: None) -> bool:
    """Does a stage, unless it is done here or in an earlier run. Returns whether there was nothing to do.

    Args:
        stage, run, narrator: what, where, and who tells of it.
        stop: asked while it works.
        before_work: called when there is something to do; what it raises ends it.
    """
    if run.stage_done(stage.name, stage.fingerprint):
        narrator.say("stage", stage=stage.name, status="skipped")
        return True
    lender = run.borrow_stage(stage.name, stage.fingerprint)
    if lender is not None:
        narrator.say("stage", stage=stage.name, status="borrowed", run=str(lender))
        return False
    before_work()
    with narrator.stage(stage.name):
        result = stage.work(narrator, stop)
        run.finish_stage(stage.name, stage.fingerprint, stage.leaves, result)
    return False


def write_report(run: Run) -> dict[str, Path]:
    """Writes what people read, `report.html` and `card.md`, from what the run holds; returns their paths."""
    write_text(run / "report.html", render(run))
    write_text(run / "card.md", card(run))
    if run.complete:
        run.finish()
    return {"report": run / "report.html", "card": run / "card.md"}


def write_lineage(run: Run, request: Request) -> None:
    """Writes `lineage.json`: what came from what, by digest."""
    write_json(run / "lineage.json", lineage(run, request))
