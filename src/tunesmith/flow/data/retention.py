"""How long runs keep their rows: `data.keep` of the spec they were made with.

What goes is the run's `data/` folder, the predictions (of folds too), and the rows that the comparison and the report
quote. Weights, figures, verdict and lineage stay: the digests of what is gone still say what the run was made from.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tunesmith.runs import Run, list_runs, read_json, write_json
from tunesmith.spec.quantity import Keep

PRUNED = "pruned.json"
"""What a run says of the rows it no longer holds."""
_DAY = 86_400


@dataclass(frozen=True)
class Expired:
    """A run whose rows were kept for as long as its spec says."""

    run: str
    path: str
    age_days: float
    keep: str
    """As the spec says it."""
    files: int
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def expired(workspace: Path, now: float | None = None) -> list[Expired]:
    """The runs whose time is over and that still hold rows; those that are being worked on are left out.

    Args:
        workspace: the folder that holds `runs/`.
        now: seconds since the epoch; the clock when left out.
    """
    now = time.time() if now is None else now
    found = []
    for run in list_runs(workspace / "runs"):
        keep = _keep(run)
        if keep is None or run.worker() is not None:
            continue
        files = list(_rows(run))
        age = (now - _written(run)) / _DAY
        if files and age >= keep.value:
            size = sum(file.stat().st_size for file in files)
            found.append(Expired(str(run), str(run.path), round(age, 1), str(keep), len(files), size))
    return found


def prune(workspace: Path, now: float | None = None) -> list[Expired]:
    """Deletes the rows of expired runs; what was deleted."""
    gone = expired(workspace, now)
    for one in gone:
        run = Run(Path(one.path))
        with run.locked():
            # Said first: a run that was cut off here is pruned again, and says the same.
            write_json(run / PRUNED, {"keep": one.keep, "files": one.files, "bytes": one.bytes})
            for file in list(_rows(run)):
                file.unlink()
            shutil.rmtree(run / "data", ignore_errors=True)
            _quote_no_rows(run)
            if run.complete:
                run.finish()
    return gone


def _quote_no_rows(run: Run) -> None:
    """Takes the quoted rows out of the comparison and writes the report, where there is one, without them."""
    comparison = run / "evaluation" / "comparison.json"
    if comparison.exists():
        said = read_json(comparison)
        cases = said.get("cases") or {}
        said["cases"] = {name: [] if isinstance(value, list) else value for name, value in cases.items()} or None
        write_json(comparison, said)
    fairness = run / "evaluation" / "fairness.json"
    if fairness.exists():
        said = read_json(fairness)
        said["swapped"] = [{**kind, "examples": []} for kind in said.get("swapped") or []]
        write_json(fairness, said)
    if (run / "report.html").exists():
        from tunesmith.flow.stages import write_report

        write_report(run)


def _rows(run: Run) -> Iterator[Path]:
    """Every file that holds rows."""
    yield from (file for file in (run / "data").rglob("*") if file.is_file())
    yield from run.path.rglob("predictions-*.parquet")


def _keep(run: Run) -> Keep | None:
    try:
        written = read_json(run / "spec.json")["spec"]["data"].get("keep")
    except (OSError, ValueError, KeyError):
        return None
    return Keep.parse(written) if written else None


def _written(run: Run) -> float:
    """When the rows were written: the ledger is the last of them."""
    ledger = run / "data" / "ledger.json"
    return (ledger if ledger.exists() else run / "spec.json").stat().st_mtime
