"""All rows that a model was trained on: this run's, those it replayed, and those of the runs that made its base."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tunesmith.data.disk.tables import load_records
from tunesmith.errors import NotFound
from tunesmith.flow.data.prepare import Job
from tunesmith.records import Record
from tunesmith.runs import find_run, read_json


def trained_rows(job: Job, workspace: Path) -> tuple[dict[str, Iterable[Record]], list[str]]:
    """The rows that a run's model learned from, made rows included, by where they came from.

    Args:
        job: of the run.
        workspace: the folder that holds `runs/`.

    Returns:
        Pool -> its rows, and the runs whose rows are gone and could not be looked at.
    """
    pools: dict[str, Iterable[Record]] = {name: job.splits[name] for name in ("train", "replay") if name in job.splits}
    older, gone = _of_base(job.spec.base.model, workspace)
    return {**pools, **older}, gone


def _of_base(reference: str, workspace: Path) -> tuple[Mapping[str, Iterable[Record]], list[str]]:
    """What the run that made a base was trained on, and the one before that, and so on."""
    found: dict[str, Iterable[Record]] = {}
    gone: list[str] = []
    while reference.startswith("run:") and reference not in found:
        try:
            run = find_run(workspace / "runs", reference)
        except NotFound:
            return found, [*gone, reference]
        for pool in ("train", "replay"):
            rows = run / "data" / f"{pool}.parquet"
            if rows.exists():
                found[reference if pool == "train" else f"{reference} ({pool})"] = load_records(rows)
            elif pool == "train":
                gone.append(reference)
        reference = str(read_json(run / "spec.json")["spec"]["base"]["model"])
    return found, gone
