"""Every metric by slice, the worst first."""

from __future__ import annotations

from typing import Any

from tunesmith.evaluate.comparison import Comparison, Measure, SliceMeasure
from tunesmith.report.charts import intervals
from tunesmith.report.evidence import Evidence, Section
from tunesmith.report.format import counted, figure
from tunesmith.report.views.comparison import difference_cell, estimate_cell, marks_of, spoken


def view(evidence: Evidence) -> Section:
    """The chapter on slices."""
    found = evidence.comparison
    if found is None:
        return Section("slices", "Slices", "Slices", missing=evidence.why_no_evaluation())
    tables = [_table(found, measure) for measure in found.measures if measure.slices]
    if not tables:
        missing = "No columns to break the figures down by were named. Name some in `evaluate.slices`."
        return Section("slices", "Slices", "Slices", missing=missing)
    return Section("slices", "Slices", "Slices", {"tables": tables, "arms": found.arms, "paired": len(found.arms) > 1})


def worst_first(found: Comparison, measure: Measure) -> list[SliceMeasure]:
    """The slices of a metric by the last arm's value, worst first; those without a value last."""
    sign = 1 if measure.better == "higher" else -1

    def rank(entry: SliceMeasure) -> tuple[bool, float]:
        value = entry.arms[found.arms[-1]].value
        return value is None, 0.0 if value is None else sign * value

    return sorted(measure.slices, key=rank)


def _table(found: Comparison, measure: Measure) -> dict[str, Any]:
    ordered = worst_first(found, measure)
    overall = measure.arms[found.arms[-1]].value
    marks = [mark for entry in ordered for mark in marks_of(found, entry.arms)]
    span = intervals.span_of(marks, overall, limits=(measure.lowest, measure.highest))
    return {
        "metric": measure.name,
        "says": says(found, measure, ordered),
        "axis": intervals.axis(span),
        "overall": figure(overall, measure.unit),
        "rows": [
            {
                "name": f"{entry.column}: {entry.value}",
                "rows": entry.num_rows,
                "small": entry.small,
                "arms": [(arm, estimate_cell(entry.arms.get(arm), measure.unit)) for arm in found.arms],
                "difference": difference_cell(entry.difference, measure.better, measure.unit, found.confidence),
                "drawing": intervals.row(
                    marks_of(found, entry.arms),
                    span=span,
                    bound=overall,
                    title=spoken(f"{entry.column} {entry.value}", entry.arms, measure.unit),
                ),
            }
            for entry in ordered
        ],
    }


def says(found: Comparison, measure: Measure, ordered: list[SliceMeasure]) -> str:
    """The weakest slice that has rows enough, against all rows."""
    arm = found.arms[-1]
    firm = [entry for entry in ordered if not entry.small and entry.arms[arm].value is not None]
    overall = measure.arms[arm].value
    if not firm or overall is None:
        return "Every slice has too few rows to lean on."
    worst = firm[0]
    value = worst.arms[arm].value
    if value is not None and (value - overall) * (1 if measure.better == "higher" else -1) >= 0:
        return (
            f"No slice does worse than all {counted(found.num_rows, 'row')} together, {figure(overall, measure.unit)}."
        )
    return (
        f"Weakest where {worst.column} is {worst.value}: {figure(value, measure.unit)} on"
        f" {counted(worst.num_rows, 'row')}, against {figure(overall, measure.unit)} on all {found.num_rows:,}."
    )
