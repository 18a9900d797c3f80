"""Checks a spec and its data without starting a run: what `tunesmith check` and `data` show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from tunesmith.data.disk.tables import sample as rendered_sample
from tunesmith.data.ledger import Ledger
from tunesmith.flow.data.prepare import collect_job, encode_job
from tunesmith.flow.data.ready import make_ready
from tunesmith.flow.narrator import Listener, Narrator, silent
from tunesmith.flow.request import make_request
from tunesmith.spec.resolve import Resolved
from tunesmith.trackers import check_trackers


@dataclass(frozen=True)
class Checked:
    """A spec that would run, and what its rows and tokens become."""

    resolved: Resolved
    ledger: Ledger
    sample: list[dict[str, Any]]
    """Rendered training rows, token by token: what is trained and what is only read."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"ledger": self.ledger.to_json(), "sample": self.sample, **self.resolved.to_json()}


def check(
    spec_path: Path,
    changes: Sequence[str] = (),
    workspace: Path = Path(),
    *,
    sample: int = 2,
    listen: Listener = silent,
) -> Checked:
    """Does everything a run does before its first training step; writes nothing but its cache.

    Args:
        spec_path: the spec file.
        changes: overrides.
        workspace: the folder that holds `runs/`.
        sample: how many training rows to render.
        listen: gets every event.

    Raises:
        UserError: what would keep the run from starting.
    """
    narrator = Narrator(listen)
    request = make_request(spec_path, changes, workspace)
    check_trackers(request.spec.track)
    job, collected, examples = make_ready(request, narrator)
    return Checked(job.resolved, collected.ledger, rendered_sample(examples, job.tokenizer, sample))


def look_at_rows(
    spec_path: Path,
    changes: Sequence[str] = (),
    workspace: Path = Path(),
    *,
    show: Literal["kept", "dropped", "changed"],
    limit: int = 20,
    listen: Listener = silent,
) -> tuple[list[dict[str, Any]], int]:
    """The rows that were kept, dropped or changed, with their reasons.

    Returns:
        At most `limit` rows as JSON values, and how many there are in all.
    """
    narrator = Narrator(listen)
    request = make_request(spec_path, changes, workspace)
    job, collected = collect_job(request, narrator)
    job, _ = encode_job(job, collected, narrator)
    found: Iterator[dict[str, Any]]
    if show == "dropped":
        found = (
            {"step": gone.step, "reason": gone.reason, "detail": gone.detail, "record": gone.record.to_json()}
            for gone in collected.ledger.dropped_rows()
        )
    elif show == "changed":
        found = (
            {"step": row.step, "reason": row.reason, "before": row.before.to_json(), "after": row.after.to_json()}
            for row in collected.ledger.changed_rows()
        )
    else:
        found = ({"split": name, "record": one.to_json()} for name, records in job.splits.items() for one in records)
    shown = list(islice(found, limit))
    return shown, len(shown) + sum(1 for _ in found)
