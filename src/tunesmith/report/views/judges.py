"""What judges said of the answers, each figure beside its agreement with people."""

from __future__ import annotations

from typing import Any

from tunesmith.evaluate.judged import JudgedCriterion
from tunesmith.report.evidence import Evidence, Section
from tunesmith.report.format import counted, figure, interval, percent
from tunesmith.report.views.comparison import estimate_cell


def view(evidence: Evidence) -> Section | None:
    """The chapter on judges; none where there were none."""
    found = evidence.judged
    if not found:
        return None
    arms = list(dict.fromkeys(arm for one in found for arm in one.arms))
    return Section(
        "judges",
        "What judges said",
        "Judges",
        {"arms": arms, "rows": [_row(one, arms) for one in found], "limits": found[0].limits},
    )


def _row(found: JudgedCriterion, arms: list[str]) -> dict[str, Any]:
    return {
        "name": f"{found.judge}: {found.criterion}",
        "says": found.says,
        "model": found.model,
        "arms": [(arm, estimate_cell(found.arms.get(arm), "")) for arm in arms],
        "agreement": _agreement(found),
        "doubt": found.doubt,
        "counted": _counted(found),
    }


def _agreement(found: JudgedCriterion) -> str:
    held = found.agreement
    if held is None:
        return "never held against people"
    if held.kappa is None:
        return f"{counted(held.num_rows, 'answer')}, too few or all alike"
    reach = f" ({interval((held.low, held.high))})"
    bias = f", {figure(held.bias, signed=True)} kinder" if held.bias and held.bias > 0 else ""
    harsh = f", {figure(held.bias)} harsher" if held.bias and held.bias < 0 else ""
    rank = f", rank correlation {figure(held.spearman)}" if held.spearman is not None else ""
    return f"kappa {figure(held.kappa)}{reach}{rank}{bias}{harsh}, on {counted(held.num_rows, 'answer')}"


def _counted(found: JudgedCriterion) -> str:
    """What went wrong or was one-sided while asking."""
    unread = sum(of_arm.get("unread", 0) for of_arm in found.counts.values())
    again = sum(of_arm.get("asked_again", 0) for of_arm in found.counts.values())
    said = [
        f"{counted(unread, 'reply', 'replies')} could not be read" if unread else "",
        f"{again:,} asked again" if again else "",
    ]
    if found.first_shown is not None and found.first_shown.value is not None:
        shown = f"the answer shown first preferred {percent(found.first_shown.value, 0)} of the times one was"
        said.append(f"{shown} ({interval(found.first_shown.interval)})")
    return "; ".join(part for part in said if part)
