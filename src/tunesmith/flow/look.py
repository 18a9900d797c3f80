"""What is there: runs, their verdicts, a spec with the origin of every value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.runs import Run, find_run, list_runs, read_json
from tunesmith.spec.resolve import Resolved


def resolved_spec(spec_path: Path, changes: Sequence[str], workspace: Path) -> Resolved:
    """A spec as a run would see it: every value with where it came from.

    Raises:
        UserError: spec, data or base are wrong.
    """
    from tunesmith.flow.narrator import Narrator
    from tunesmith.flow.prepare import collect_job
    from tunesmith.flow.request import make_request

    job, _ = collect_job(make_request(spec_path, changes, workspace), Narrator())
    return job.resolved


def run_rows(name: str | None, workspace: Path) -> list[dict[str, Any]]:
    """A line for each run: its state, its verdict, its figures on the test rows."""
    return [_row(run) for run in list_runs(workspace / "runs", name)]


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


def _read(run: Run, name: str) -> Any:
    return read_json(run / name) if (run / name).exists() else None
