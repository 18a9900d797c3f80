"""Prompts compared before one is reported: `tunesmith evaluate SPEC --prompts`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.flow.look import resolved_spec
from tunesmith.runs import Run, read_json
from tunesmith.spec.load import load


def with_prompts(spec_path: Path, changes: Sequence[str], workspace: Path) -> list[str]:
    """The changes to a spec, and an arm that chooses among prompts where it has none.

    Raises:
        UserError: spec, data or base are wrong.
    """
    # Only arms that are not written take a look at the data.
    arms = load(spec_path, changes)[0].evaluate.arms
    if arms is None:
        arms = resolved_spec(spec_path, changes, workspace).spec.evaluate.arms or []
    if any(arm.kind == "prompt" for arm in arms):
        return list(changes)
    written = [arm.settings() for arm in arms]
    return [*changes, f"evaluate.arms={json.dumps([{'kind': 'prompt'}, *written])}"]


def prompts_tried(run: Run) -> list[dict[str, Any]]:
    """Every prompt that an arm of a run was tried with on validation rows, the best of each arm first.

    Returns:
        Rows with `arm`, `template`, `system`, `temperature`, `metric`, `value`, `interval`, `chosen`.
    """
    rows = []
    for arm, kept in read_json(run / "evaluation" / "arms.json").items():
        found = kept["found"]
        for place, variant in enumerate(found.get("variants", ())):
            rows.append({"arm": arm, "metric": found["metric"], "chosen": place == found["chosen"], **variant})
    order = {arm: place for place, arm in enumerate(dict.fromkeys(row["arm"] for row in rows))}
    return sorted(rows, key=lambda row: (order[row["arm"]], not row["chosen"]))
