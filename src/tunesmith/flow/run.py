"""The whole life of a run: `run(spec)` carries it from data to its report, and resumes what was begun."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tunesmith.data.disk.tables import load_records, sample, write_changed, write_dropped, write_records
from tunesmith.data.encode.example import Encoded
from tunesmith.data.room import telling
from tunesmith.data.split import SPLITS, Pool
from tunesmith.errors import Interrupted
from tunesmith.evaluate.verdict import Verdict
from tunesmith.events import Events
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.data.ready import make_ready
from tunesmith.flow.environment import Meter, environment, use_threads
from tunesmith.flow.evaluation.repeats import Repeat, repeats_of
from tunesmith.flow.interrupt import gentle_stop
from tunesmith.flow.launch.budget import Purse
from tunesmith.flow.narrator import Listener, Narrator, silent
from tunesmith.flow.request import Request, make_request
from tunesmith.flow.stages import Stop, Until, do, stages, write_lineage, write_report
from tunesmith.models.tokenizer import open_tokenizer
from tunesmith.runs import Run, new_run, read_json, write_json, write_text
from tunesmith.spec.resolve import Resolved
from tunesmith.trackers import check_trackers
from tunesmith.trackers._beside import tracked

SAMPLED = 6
"""Rendered rows kept for the report."""


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    run: Run
    verdict: Verdict | None
    """None when the run was asked to end before its verdict."""
    already: bool
    """Whether all of it had been done before."""

    @property
    def exit_code(self) -> int:
        """0 to ship or where nothing was to decide, 3 not to ship."""
        return self.verdict.exit_code if self.verdict else 0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        report = self.run / "report.html"
        return {
            "run": str(self.run),
            "path": str(self.run.path),
            "already_done": self.already,
            "verdict": self.verdict.to_json() if self.verdict else None,
            "report": str(report) if report.exists() else None,
        }


def run(
    spec_path: Path,
    changes: Sequence[str] = (),
    workspace: Path = Path(),
    *,
    until: Until = "report",
    listen: Listener = silent,
) -> Outcome:
    """Carries a spec to its verdict and report, from where an earlier call with the same inputs stopped.

    Args:
        spec_path: the spec file.
        changes: overrides, `train.optimizer.lr=1e-4`.
        workspace: the folder that holds `runs/`.
        until: the last stage wanted.
        listen: gets every event as it happens.

    Raises:
        UserError: spec, data or base are wrong; nothing was written.
        Interrupted: somebody asked to stop; what was done is saved.
        RunError: the work failed.
    """
    use_threads()
    narrator, meter = Narrator(listen), Meter()
    request = make_request(spec_path, changes, workspace)
    check_trackers(request.spec.track)
    begun = _found(request) or _begin(request, narrator)
    with gentle_stop() as stop:
        return _carry(begun, request, narrator, stop, meter, until, repeats_of(request, changes))


def _carry_repeat(request: Request, narrator: Narrator, stop: Stop) -> Run:
    meter = Meter()
    return _carry(_found(request) or _begun_inside(request, narrator, stop), request, narrator, stop, meter).run


class _Begun(NamedTuple):
    """A run that has its folder."""

    run: Run
    encoded: tuple[Encoded, Encoded] | None = None
    """What its training and validation rows became for the last stage, where that was just found out."""


def _found(request: Request) -> _Begun | None:
    run = request.find()
    return _Begun(run) if run else None


def _begun_inside(request: Request, narrator: Narrator, stop: Stop) -> _Begun:
    """As `_begin`, inside of a run that is asked to stop and not broken off: nothing is lost, for nothing is there yet.

    Raises:
        Interrupted: somebody asked to stop.
    """

    def look() -> None:
        if stop():
            raise Interrupted("stopped while data were prepared", fix="give the same command again to go on")

    narrator.meanwhile(look)
    try:
        return _begin(request, narrator)
    finally:
        narrator.meanwhile(None)


def _bring_in_review(run: Run, request: Request, narrator: Narrator) -> None:
    if (run / "evaluation" / "review.json").exists():
        from tunesmith.flow.review.verdict import bring_in_review  # opens the store, which most runs do not need

        if lacking := bring_in_review(run, request.workspace, os.environ.get("TUNESMITH_STORE")):
            narrator.say("warning", text=lacking)


def _carry(
    begun: _Begun,
    request: Request,
    narrator: Narrator,
    stop: Stop,
    meter: Meter,
    until: Until = "report",
    repeats: Sequence[Repeat] = (),
) -> Outcome:
    """Carries a run from where it stands to `until`, its folds and further seeds first."""
    run = begun.run
    with run.locked(), Events(run / "events.jsonl") as events:
        narrator.write_to(events)
        job = load_job(run, request)
        job = job.with_tokens(begun.encoded) if begun.encoded else job
        with tracked(run, request.spec.track, narrator):
            wanted = stages(run, request, job, until, repeats, _carry_repeat)
            purse = Purse(run, request.spec.scale, request.workspace, time.time() - meter.read()["seconds"])
            watched, before_work = purse.watched(narrator, stop), partial(purse.before_work, narrator)
            try:
                done = [do(stage, run, narrator, watched, before_work) for stage in wanted]
                if wanted[-1].name == "evaluate" and not done[-1]:
                    _bring_in_review(run, request, narrator)
            except BaseException as error:
                narrator.say("resource", **meter.read())
                if isinstance(error, Interrupted):
                    purse.refuse_more(error)
                raise
            already = all(done) and (run.complete or until != "report")
            if not already:
                narrator.say("resource", **meter.read())
                write_lineage(run, request)
            if until == "report" and not already:
                with narrator.stage("report"):
                    write_report(run)
    if until == "report" and not already:
        run.finish()
    return Outcome(run, read_verdict(run) if until != "train" else None, already)


def _begin(request: Request, narrator: Narrator) -> _Begun:
    """Prepares the data and, when every gate lets it pass, makes the run's folder: whole, or not at all."""
    with narrator.stage("data"):
        job, collected, examples = make_ready(request, narrator)

        def fill(folder: Path) -> None:
            write_text(folder / "spec.yaml", request.written.text)
            write_json(folder / "environment.json", environment())
            sealed, ledger = job.spec.data.encrypt, collected.ledger
            for pool, records in job.splits.items():
                told = telling(records, narrator.progress(f"write {pool}"), len(records))
                write_records(folder / "data" / f"{pool}.parquet", told, sealed=sealed)
            write_dropped(folder / "data" / "dropped.parquet", ledger.dropped_rows(), sealed=sealed)
            write_changed(folder / "data" / "changed.parquet", ledger.changed_rows(), sealed=sealed)
            write_json(folder / "data" / "ledger.json", ledger.to_json(rows=not sealed))
            if not sealed:
                write_json(folder / "data" / "sample.json", sample(examples, job.tokenizer, SAMPLED))
            write_json(folder / "spec.json", {"request": request.fingerprint, **job.to_json()})

        run = new_run(request.root, request.spec.name, fill)
        return _Begun(run, job.tokenized.encoded if job.tokenized else None)


def load_job(run: Run, request: Request, splits: Sequence[Pool] = SPLITS) -> Job:
    """The job of a run, from its folder; what it may take is what is asked for now.

    Args:
        run: it has its folder.
        request: what it was asked for.
        splits: those that are needed.
    """
    said = read_json(run / "spec.json")
    resolved = Resolved.from_json(said)
    pools: tuple[Pool, ...] = (*splits, "replay") if request.older else tuple(splits)
    return Job(
        resolved=replace(resolved, spec=resolved.spec.model_copy(update={"scale": request.spec.scale})),
        splits={pool: load_records(run / "data" / f"{pool}.parquet") for pool in pools},
        labels=tuple(said["labels"]),
        span_labels=tuple(said["span_labels"]),
        multi_label=said["multi_label"],
        tokenizer=open_tokenizer(
            request.base.reference, workspace=request.workspace, revision=request.spec.base.revision
        ),
        family=request.base.family,
    )


def read_verdict(run: Run) -> Verdict | None:
    """The verdict a run came to; None before its evaluation."""
    path = run / "evaluation" / "verdict.json"
    return Verdict.from_json(read_json(path)) if path.exists() else None
