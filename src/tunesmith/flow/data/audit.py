"""Audits the data of a spec: one page, and the figures it is drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from tunesmith.data.audit import Asked, audit
from tunesmith.data.disk.spool import joined
from tunesmith.data.prepare import Collected
from tunesmith.data.room import Mapper, Room
from tunesmith.data.split import SPLITS
from tunesmith.data.steps import Step
from tunesmith.errors import GateFailed
from tunesmith.flow.data.prepare import Job, collect_job, encode_job
from tunesmith.flow.data.workshop import workshop
from tunesmith.flow.narrator import Listener, Narrator, silent
from tunesmith.flow.request import make_request
from tunesmith.report.audit import render_audit
from tunesmith.runs import write_json, write_text

_DEFAULT_STEPS = ("clean", "exact_dedup")


@dataclass(frozen=True)
class Audited:
    """Where an audit was written, and what it found."""

    page: Path
    figures: Path
    found: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; the figures themselves are in the file."""
        return {"page": str(self.page), "figures": str(self.figures), "findings": self.found["findings"]}


def audit_data(
    spec_path: Path,
    changes: Sequence[str] = (),
    workspace: Path = Path(),
    *,
    page: Path | None = None,
    listen: Listener = silent,
) -> Audited:
    """Prepares the data of a spec and writes an audit of it; trains nothing.

    Args:
        spec_path: the spec file.
        changes: overrides.
        workspace: the folder that holds `runs/`.
        page: the HTML file; `audit/NAME.html` in the workspace when left out. The figures lie beside it as JSON.
        listen: gets every event.

    Raises:
        UserError: the spec is wrong, or its data cannot be read or divided.
    """
    narrator = Narrator(listen)
    request = make_request(spec_path, changes, workspace)
    job, collected = collect_job(request, narrator)
    refused = ""
    try:
        job, _ = encode_job(job, collected, narrator)
    except GateFailed as gate:  # what keeps a run from starting is what an audit is asked for
        refused = f"{gate.what}; {gate.fix}"
    page = page or workspace / "audit" / f"{job.spec.name}.html"
    with workshop(request, narrator.progressing) as shop:
        found = audit_job(job, collected, narrator, refused=refused, mapper=shop.mapper)
    figures = page.with_suffix(".json")
    page.parent.mkdir(parents=True, exist_ok=True)
    write_json(figures, found)
    write_text(page, render_audit(found))
    return Audited(page, figures, found)


def audit_job(
    job: Job, collected: Collected, narrator: Narrator, *, refused: str = "", mapper: Mapper | None = None
) -> dict[str, Any]:
    """The audit of data that are prepared already.

    Args:
        refused: why a run would not start, where a gate says so.
        mapper: calls a function on records, on several cores; one after the other when left out.
    """
    spec = job.spec
    records = joined([job.splits[name] for name in SPLITS])
    splits_N = np.repeat(np.arange(len(SPLITS), dtype=np.int8), [len(job.splits[name]) for name in SPLITS])
    reported = [*spec.evaluate.slices, *(column for target in spec.goal.targets for column in target.slice)]
    rule, steps = spec.data.split, spec.data.steps
    told_apart = [*reported, rule.stratify, rule.group, rule.hold_out.column if rule.hold_out else None]
    asked = Asked(
        name=spec.name,
        task=spec.goal.task,
        columns=[column for column in dict.fromkeys(told_apart) if column and column != "label"],
        reported=list(dict.fromkeys(reported)),
        steps=_DEFAULT_STEPS if steps is None else [_written(cast(Step, step)) for step in steps],
        split=rule.model_dump(mode="json"),
        max_length=int(spec.data.max_length.value) if spec.data.max_length else None,
        folded=spec.evaluate.folds is not None,
    )
    return audit(
        records,
        splits_N,
        asked,
        ledger=collected.ledger.to_json(),
        count_tokens=lambda texts: _token_counts(job.tokenizer, texts),
        room=Room(seed=rule.seed, mapper=mapper),
        refused=refused,
        after=narrator.progressing,
    )


def _written(step: Step) -> Any:
    """A step as short as it can be written."""
    settings = {"kind": step.kind, **step.model_dump(mode="json", exclude_defaults=True)}
    return step.kind if len(settings) == 1 else settings


def _token_counts(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    counts: list[int] = []
    for start in range(0, len(texts), 1000):
        batch = list(texts[start : start + 1000])
        counts += map(len, tokenizer(batch, add_special_tokens=False, verbose=False)["input_ids"])
    return counts
