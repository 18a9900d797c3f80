"""What became of the base's abilities: each before and after, and the share that was kept."""

from __future__ import annotations

from typing import Any

from tunesmith.evaluate.suites.forgetting import AbilityResult, Forgetting
from tunesmith.report.charts import intervals
from tunesmith.report.evidence import Evidence, Section
from tunesmith.report.format import counted, figure, percent
from tunesmith.report.views.comparison import estimate_cell


def view(evidence: Evidence) -> Section | None:
    """The chapter on forgetting; none where no ability was measured."""
    found = evidence.retention
    if found is None or not found.abilities:
        return None
    marks = [mark for result in found.abilities for mark in _marks(result)]
    span = intervals.span_of(marks, 1.0, limits=(0.0, 2.0))
    return Section(
        "retention",
        "What was forgotten",
        "Forgetting",
        {
            "says": says(found),
            "confidence": percent(found.confidence, 0),
            "axis": intervals.axis(span),
            "rows": [_row(result, span) for result in found.abilities],
        },
    )


def says(found: Forgetting) -> str:
    """What it comes to, in a sentence or two."""
    whole = found.abilities[-1]
    if whole.doubt:
        return f"Nothing can be said: {whole.doubt}."
    lost = [
        result.ability
        for result in found.abilities[:-1]
        if result.retention.interval and (result.retention.interval[1] or 2.0) < 1
    ]
    kept = f"The tuned model keeps {figure(whole.retention.value)} of what the base could do above guessing"
    least = f"Clearly less than before: {', '.join(map(str, lost))}." if lost else "No single ability is clearly less."
    return f"{kept}, on {counted(whole.num_rows, 'item')}. {least}"


def _marks(result: AbilityResult) -> list[intervals.Mark]:
    value = result.retention.value
    return [] if value is None else [intervals.Mark(value, result.retention.interval, "a")]


def _row(result: AbilityResult, span: tuple[float, float]) -> dict[str, Any]:
    name = result.ability or "all that the base has"
    return {
        "name": name,
        "rows": result.num_rows,
        "chance": figure(result.chance),
        "before": figure(result.before),
        "after": figure(result.after),
        "kept": estimate_cell(result.retention, ""),
        "doubt": result.doubt,
        "drawing": intervals.row(
            _marks(result), span=span, bound=1.0, title=f"{name}: kept {figure(result.retention.value)}"
        ),
    }
