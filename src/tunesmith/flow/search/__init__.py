"""`tunesmith search`: trials of a spec with other values, and the spec that does best, with the reason."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tunesmith.errors import Interrupted, NotFound
from tunesmith.events import Events, read_events
from tunesmith.flow.environment import Meter, use_threads
from tunesmith.flow.interrupt import gentle_stop
from tunesmith.flow.launch.budget import Purse
from tunesmith.flow.narrator import Listener, Narrator, silent
from tunesmith.flow.request import Request, make_request
from tunesmith.flow.search.bench import TRUNK, Bench, begin_study, find_study
from tunesmith.flow.search.space import written_dimensions
from tunesmith.flow.search.trial import STOP, Given, carry_trial, do_trial
from tunesmith.flow.search.winner import reason, said_figures, write_winner
from tunesmith.flow.stages import Stop, do, stages
from tunesmith.runs import Run
from tunesmith.scale.pool import Here, OnRay, Pool, Processes
from tunesmith.scale.spending import Spent, spent
from tunesmith.search.conduct import Conductor, Shelf
from tunesmith.search.importance import importance
from tunesmith.search.sampling import Asked
from tunesmith.search.study import Study, Trial, best, front

DIARY = "events.jsonl"
"""What the study as a whole did and spent; each trial has its own beside it."""


@dataclass(frozen=True)
class Found:
    """What a search came to."""

    study: Study
    path: Path
    """The study's folder."""
    winner: Path | None
    """The spec of the best trial; None where no trial was trained to its end."""
    reason: list[str]
    """Why that one, in sentences."""
    importance: dict[str, tuple[float, float, float]] | str
    spent: Spent
    """Time and money, over all calls of this search."""
    already: bool
    """Whether all trials had been done before."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        chosen = best(self.study)
        return {
            "study": str(self.study),
            "path": str(self.path),
            "best": chosen.to_json() if chosen else None,
            "front": list(front(self.study)),
            "winner": str(self.winner) if self.winner else None,
            "reason": self.reason,
            "importance": self.importance,
            "spent": self.spent.to_json(),
            "already_done": self.already,
            **{key: value for key, value in self.study.to_json().items() if key not in ("name", "number")},
        }


def search(
    spec_path: Path, changes: Sequence[str] = (), workspace: Path = Path(), *, listen: Listener = silent
) -> Found:
    """Does the trials of a spec's search, from where an earlier call stopped, and writes the spec that does best.

    Args:
        spec_path: the spec file.
        changes: overrides, `search.trials=40`.
        workspace: the folder that holds `studies/`.
        listen: gets every event as it happens.

    Raises:
        UserError: the spec is wrong, or something it varies; nothing was written.
        Interrupted: somebody asked to stop, or the budget is spent; the same command goes on.
        RunError: the work failed.
    """
    use_threads()
    narrator, meter = Narrator(listen), Meter()
    request = make_request(spec_path, changes, workspace)
    dimensions = written_dimensions(request.spec, request.written)
    run = find_study(request) or begin_study(request, dimensions, narrator)
    with gentle_stop() as stop, run.locked(), Events(run / DIARY) as events:
        narrator.write_to(events)
        bench = Bench.open(run, spec_path, workspace)
        bench = replace(bench, asked=_wanted(bench, request.spec.search.trials))
        already = len(Shelf(run.path).ended()) >= bench.asked.study.wanted
        purse = Purse(run, request.spec.scale, workspace, time.time() - meter.read()["seconds"])
        watched = stop if already else purse.watched(narrator, stop)
        try:
            if not already:
                purse.before_work(narrator)
            _train_first_stages(bench, request, narrator, watched)
            study = _conduct(bench, request, narrator, watched)
        except Interrupted as error:
            purse.refuse_more(error)
            raise
        finally:
            if not already:
                narrator.say("resource", **meter.read())
        return replace(_finish(bench, study), already=already)


def _wanted(bench: Bench, trials: int) -> Asked:
    return replace(bench.asked, study=replace(bench.asked.study, wanted=trials))


def _train_first_stages(bench: Bench, request: Request, narrator: Narrator, stop: Stop) -> None:
    """Trains the stages below all that is varied, once for all trials."""
    scale = request.spec.scale.model_copy(update={"devices": 1, "shard": "off"})
    alone = replace(request, spec=request.spec.model_copy(update={"scale": scale}))
    for stage in stages(bench.run, alone, bench.job, "train")[: bench.first_stage]:
        do(stage, bench.run, narrator, stop)


def _conduct(bench: Bench, request: Request, narrator: Narrator, stop: Stop) -> Study:
    run, scale = bench.run, request.spec.scale
    flag = run / STOP
    flag.unlink(missing_ok=True)
    here = scale.jobs == 1 and scale.cluster is None
    teller = _Teller(bench, narrator)

    def given(trial: Trial) -> Given:
        parent = None if scale.cluster else os.getpid()
        return Given(run.path.resolve(), request.written.path.resolve(), request.workspace.resolve(), trial, parent)

    def job(given: Given) -> None:
        carry_trial(bench, given.trial, narrator, stop)

    try:
        with _pool(bench, request) as pool:
            halt = partial(flag.touch)
            todo = job if here else do_trial
            return Conductor(bench.asked, Shelf(run.path), pool, todo, given, teller, stop, halt).conduct()
    finally:
        flag.unlink(missing_ok=True)


def _pool(bench: Bench, request: Request) -> Pool:
    """Where the trials train."""
    import torch

    scale = request.spec.scale
    if scale.cluster is not None:
        return OnRay(scale.cluster, scale.jobs, bench.threads)
    if scale.jobs == 1:
        torch.set_num_threads(bench.threads)
        return Here()
    gpus = torch.cuda.device_count()
    one = {"OMP_NUM_THREADS": str(bench.threads)}
    return Processes(
        [one | ({"CUDA_VISIBLE_DEVICES": str(place % gpus)} if gpus > 1 else {}) for place in range(scale.jobs)]
    )


class _Teller:
    """Says how a study is doing.

    Args:
        bench: of the study.
        narrator: told.
    """

    def __init__(self, bench: Bench, narrator: Narrator) -> None:
        self._bench, self._narrator = bench, narrator
        self._began, self._before = time.monotonic(), len(Shelf(bench.run.path).ended())

    def __call__(self, study: Study, ended: Trial | None, said: str) -> None:
        if said:
            self._narrator.say("warning", text=said)
        if ended is not None:
            self._narrator.say("note", text=self._line(study, ended))
        over = [trial for trial in study.trials if trial.state != "running"]
        # Looks of trials under way are parts of a trial, so that the time left is told before the first has ended.
        looks = self._bench.asked.rules.looks or 1
        parts = sum(min(len(t.course) / looks, 0.95) for t in study.trials if t.state == "running")
        chosen = best(study)
        so_far = f"best {study.aims[0].name} {chosen.values[0]:.4g} (trial {chosen.number})" if chosen else ""
        done = len(over) + parts
        speed = (done - self._before) / max(time.monotonic() - self._began, 1e-9)
        left = (study.wanted - done) / speed if speed > 0 else None
        self._narrator.progressing("trials", len(over), study.wanted, seconds_left=left, said=so_far)

    def _line(self, study: Study, trial: Trial) -> str:
        params = ", ".join(f"{path}={value}" for path, value in trial.params.items()) if trial.number else "as it is"
        if trial.state != "done":
            return f"trial {trial.number} {trial.state} ({params}): {trial.said}"
        figures = said_figures(study, trial)
        chosen = best(study)
        top = " [best so far]" if chosen is not None and chosen.number == trial.number else ""
        return f"trial {trial.number} done ({params}): {figures}{top}"


def _finish(bench: Bench, study: Study) -> Found:
    """Writes what people read."""
    shutil.rmtree(bench.run / TRUNK, ignore_errors=True)
    chosen, path = best(study), bench.run / "winner.yaml"
    why: list[str] = []
    if chosen is not None:
        why = reason(study, chosen, len(bench.job.splits["validation"]))
        write_winner(bench, study, chosen, path)
    took = spent(read_events(bench.run / DIARY))
    _write_page(bench.run, study, path if chosen else None, took)
    return Found(study, bench.run.path, path if chosen else None, why, importance(study), took, already=False)


def _write_page(run: Run, study: Study, path: Path | None, took: Spent) -> None:
    from tunesmith.report.study import render_study
    from tunesmith.runs import write_text

    write_text(run / "report.html", render_study(study, path.read_text("utf-8") if path else None, took))


def write_trial(
    spec_path: Path, changes: Sequence[str], workspace: Path, number: int, path: Path | None = None
) -> Path:
    """Writes the spec of any finished trial of a study, such as one of its front, as `trial-N.yaml` beside the winner.

    Raises:
        NotFound: there is no such study, or no such trial in it.
    """
    request = make_request(spec_path, changes, workspace)
    run = find_study(request)
    if run is None:
        raise NotFound("this spec was not searched yet", where=str(spec_path), fix=f"tunesmith search {spec_path}")
    bench = Bench.open(run, spec_path, workspace)
    study = replace(bench.asked.study, trials=tuple(Shelf(run.path).ended()))
    chosen = next((trial for trial in study.done if trial.number == number), None)
    if chosen is None:
        known = ", ".join(str(trial.number) for trial in study.done)
        raise NotFound(f"no trial {number} was trained to its end", where=str(run.path), fix=f"use one of: {known}")
    path = path or run / f"trial-{number}.yaml"
    write_winner(bench, study, chosen, path)
    return path
