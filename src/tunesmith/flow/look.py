"""What is there: runs, their verdicts, studies, a spec with the origin of every value; and showing it to trackers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from tunesmith.errors import Error, NotFound, RunError, UserError, did_you_mean
from tunesmith.evaluate.verdict import Verdict
from tunesmith.part import TRACKERS
from tunesmith.report.evidence import Evidence
from tunesmith.report.format import excerpt
from tunesmith.runs import Run, find_run, list_runs, read_json
from tunesmith.search.conduct import Shelf
from tunesmith.search.study import Study, best
from tunesmith.spec.overrides import OverrideError, override
from tunesmith.spec.resolve import Resolved
from tunesmith.trackers import Tracker, send


def resolved_spec(spec_path: Path, changes: Sequence[str], workspace: Path) -> Resolved:
    """A spec as a run would see it: every value with where it came from.

    Raises:
        UserError: spec, data or base are wrong.
    """
    from tunesmith.flow.data.prepare import collect_job
    from tunesmith.flow.narrator import Narrator
    from tunesmith.flow.request import make_request

    job, _ = collect_job(make_request(spec_path, changes, workspace), Narrator())
    return job.resolved


def run_rows(name: str | None, workspace: Path) -> list[dict[str, Any]]:
    """A line for each run: its state, its verdict, its figures on the test rows."""
    return [_row(run) for run in list_runs(workspace / "runs", name)]


def study_rows(name: str | None, workspace: Path) -> list[dict[str, Any]]:
    """A line for each study: how far it has come, and its best trial."""
    return [_study_row(run) for run in list_runs(workspace / "studies", name)]


def run_summary(reference: str, workspace: Path) -> dict[str, Any]:
    """A run's verdict, comparison, stages and resolved spec.

    Raises:
        NotFound: no such run.
    """
    run = find_run(workspace / "runs", reference)
    return {
        **_row(run),
        "verdict": _read(run, "evaluation/verdict.json"),
        "comparison": _read(run, "evaluation/comparison.json"),
        "lineage": _read(run, "lineage.json"),
        "spec": _read(run, "spec.json"),
        "environment": _read(run, "environment.json"),
    }


def run_verdict(reference: str, workspace: Path) -> tuple[Run, Verdict, dict[str, str]]:
    """A run, its verdict, and the digests of what that rests on.

    Raises:
        NotFound: no such run, or it came to no verdict.
    """
    run = find_run(workspace / "runs", reference)
    evidence = Evidence(run)
    if evidence.verdict is None:
        raise NotFound(
            f"{run} has no verdict",
            where=str(run / "evaluation"),
            fix="; ".join(evidence.problems) or "carry it there with `tunesmith evaluate SPEC`",
        )
    return run, evidence.verdict, evidence.digests


def send_run(
    reference: str, kind: str, workspace: Path = Path(), *, settings: Sequence[str] = (), folder: Path | None = None
) -> dict[str, Any]:
    """Sends a run to a tracker after the fact, or again; what is there already is not put there twice.

    Args:
        reference: the run, `NAME` or `NAME/N`.
        kind: the tracker's name.
        workspace: the folder that holds `runs/`.
        settings: `name=value`, in place of what the run's spec says of this tracker.
        folder: where the tracker's files are put.

    Returns:
        JSON values: the run, the tracker, where it can be found, and how many rows of figures are there.

    Raises:
        NotFound: no such run or tracker.
        UserError: a setting is wrong, the package is missing, or the tracker cannot be reached.
    """
    run = find_run(workspace / "runs", reference)
    written = read_json(run / "spec.json")["spec"].get("track") or []
    asked: dict[str, Any] = next((dict(one) for one in written if one["kind"] == kind), {"kind": kind})
    if folder is not None:
        asked["folder"] = str(folder.absolute())
    try:
        for setting in settings:
            override(asked, {}, setting)
        tracker = cast(Tracker, TRACKERS.make(asked))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        known = list(TRACKERS.load(kind).model_fields)
        raise UserError(
            f"{first['msg']}{did_you_mean(name, known)}",
            where=f"{kind}.{name}",
            fix=f"its settings: {', '.join(known)}",
        ) from error
    except OverrideError as error:
        raise UserError(str(error), where=kind, fix="write name=value, as folder=./curves") from error
    try:
        where, rows = send(run, tracker)
    except Error:
        raise
    except Exception as error:  # whatever a foreign package raises: a server that is away, a file that is none
        why = excerpt(" ".join(str(error).split()) or type(error).__name__, 300)
        raise RunError(
            f"could not be sent: {why}", where=f"tracker {kind}", fix="mend that and send it again"
        ) from error
    return {"run": str(run), "tracker": kind, "where": where, "rows": rows}


def _row(run: Run) -> dict[str, Any]:
    verdict, comparison = _read(run, "evaluation/verdict.json"), _read(run, "evaluation/comparison.json")
    done = sorted(path.stem for path in (run / "stages").glob("*.json"))
    return {
        "run": str(run),
        "path": str(run.path),
        "state": "complete" if run.complete else "incomplete",
        "stages": done,
        "decision": verdict["decision"] if verdict else None,
        "figures": {
            measure["name"]: measure["arms"].get("tuned", {}).get("value") for measure in comparison["measures"]
        }
        if comparison
        else {},
    }


def _study_row(run: Run) -> dict[str, Any]:
    said = read_json(run / "study.json")
    trials = tuple(Shelf(run.path).ended())
    study = replace(Study.from_json({**said["study"], "number": run.number}), trials=trials)
    chosen, winner = best(study), run / "winner.yaml"
    return {
        "study": str(run),
        "path": str(run.path),
        "trials": len(trials),
        "wanted": max(study.wanted, len(trials)),  # more may have been asked for later
        "aim": study.aims[0].name,
        "best": {"trial": chosen.number, "value": chosen.values[0], "params": chosen.params} if chosen else None,
        "winner": str(winner) if winner.exists() else None,
    }


def _read(run: Run, name: str) -> Any:
    return read_json(run / name) if (run / name).exists() else None
