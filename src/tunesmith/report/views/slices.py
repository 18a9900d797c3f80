"""Every metric by slice, the worst first."""

from __future__ import annotations

from typing import Any

from tunesmith.evaluate.comparison import Comparison, Found, Measure, SliceMeasure
from tunesmith.report.charts import intervals
from tunesmith.report.evidence import Evidence, Section
from tunesmith.report.format import counted, figure, percent
from tunesmith.report.views.comparison import difference_cell, estimate_cell, marks_of, spoken

PRINTED = 12
"""Found slices shown at once; the rest fold away."""


def view(evidence: Evidence) -> Section:
    """The chapter on slices: those a spec names, and those that were found."""
    found = evidence.comparison
    if found is None:
        return Section("slices", "Slices", "Slices", missing=evidence.why_no_evaluation())
    shown = content(found)
    if not shown["tables"] and shown["found"] is None:
        missing = (
            "No columns to break the figures down by were named, and none were found with rows enough."
            " Name some in `evaluate.slices`."
        )
        return Section("slices", "Slices", "Slices", missing=missing)
    return Section("slices", "Slices", "Slices", shown)


def content(found: Comparison) -> dict[str, Any]:
    """What the chapter's template shows."""
    return {
        "tables": [_table(found, measure) for measure in found.measures if measure.slices],
        "found": _found(found),
        "last": found.arms[-1],
        "others": found.arms[:-1],
        "level": percent(1 - found.confidence, 0),
    }


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
    last = found.arms[-1]
    marks = [mark for entry in ordered for mark in marks_of(found, {last: entry.arms[last]})]
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
                "estimate": estimate_cell(entry.arms.get(found.arms[-1]), measure.unit),
                "differences": _differences(found, measure, entry),
                "drawing": intervals.row(
                    marks_of(found, {last: entry.arms[last]}),
                    span=span,
                    bound=overall,
                    title=spoken(f"{entry.column} {entry.value}", {last: entry.arms[last]}, measure.unit),
                ),
            }
            for entry in ordered
        ],
    }


def _differences(found: Comparison, measure: Measure, entry: SliceMeasure) -> list[tuple[str, dict[str, Any]]]:
    """The last arm minus each other."""
    return [
        (arm, difference_cell(entry.differences.get(arm), measure.better, measure.unit, found.confidence))
        for arm in found.arms[:-1]
    ]


def _found(found: Comparison) -> dict[str, Any] | None:
    """The slices that were found; None where there are none."""
    if found.found is None or not found.found.slices:
        return None
    measure = next(each for each in found.measures if each.name == found.found.metric)
    last = found.arms[-1]
    overall = measure.arms[last].value
    marks = [mark for entry in found.found.slices for mark in marks_of(found, {last: entry.arms[last]})]
    span = intervals.span_of(marks, overall, limits=(measure.lowest, measure.highest))
    rows: list[dict[str, Any]] = [
        {
            "kind": entry.column,
            "name": entry.value,
            "rows": entry.num_rows,
            "estimate": estimate_cell(entry.arms.get(last), measure.unit),
            "apart": difference_cell(entry.apart, measure.better, measure.unit, found.confidence),
            "differences": _differences(found, measure, entry),
            "drawing": intervals.row(
                marks_of(found, {last: entry.arms[last]}),
                span=span,
                bound=overall,
                title=spoken(f"{entry.column} {entry.value}", {last: entry.arms[last]}, measure.unit),
            ),
        }
        for entry in found.found.slices
    ]
    return {
        "metric": measure.name,
        "says": _says_found(found.found, last, [row["apart"]["css"] for row in rows]),
        "axis": intervals.axis(span),
        "overall": figure(overall, measure.unit),
        "groups": [rows[:PRINTED], rows[PRINTED:]],
    }


def _says_found(found: Found, last: str, told: list[str]) -> str:
    worse = [entry for entry, css in zip(found.slices, told, strict=True) if css == "missed"]
    looked = counted(len(found.slices), "slice")
    if not worse:
        return f"Of {looked} that nobody named, {last} is surely worse than elsewhere on none."
    first = worse[0]
    return (
        f"Of {looked} that nobody named, {last} is surely worse than elsewhere on {len(worse)}, above all on"
        f" {first.column} “{first.value}”: {figure(first.arms[last].value)} on {counted(first.num_rows, 'row')}."
    )


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
