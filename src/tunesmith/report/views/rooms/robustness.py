"""What becomes of the answers when rows are changed, and of questions out of scope."""

from __future__ import annotations

from typing import Any

from tunesmith.evaluate.comparison import Estimate
from tunesmith.evaluate.robustness.measure import ArmResult, ChangeResult, RobustnessResult
from tunesmith.report.charts import intervals
from tunesmith.report.evidence import Evidence, Section
from tunesmith.report.format import counted, figure, interval, percent
from tunesmith.report.views.comparison import difference_cell, estimate_cell

TITLES = {
    "typos": ("Typos", "slips of the keyboard in some words"),
    "case": ("Case", "all small letters, all capitals, or a capital to every word"),
    "punctuation": ("Punctuation", "marks left out, or loud ones at the end"),
    "paraphrase": ("Paraphrase", "other words for the same"),
    "distractors": ("Distractors", "a sentence about something else beside it"),
    "injection": ("Injection", "an order to say something else beside it"),
}
"""What each change is called, and what it does."""


def view(evidence: Evidence) -> Section | None:
    """The chapter on changed rows; none where none were asked."""
    found = evidence.robustness
    if found is None:
        return None
    told = [(each, arm, result) for each in found.changes for arm, result in reversed(each.arms.items())]
    marks = [mark for _, _, result in told for mark in _marks(result)]
    span = intervals.span_of(marks, 0.0)
    return Section(
        "robustness",
        "What changed input does",
        "Robustness",
        {
            "says": says(found),
            "metric": found.metric,
            "confidence": percent(found.confidence, 0),
            "axis": intervals.axis(span),
            "rows": [_row(found, each, arm, result, span) for each, arm, result in told],
            "flips": [(TITLES[each.change][0], flip) for each in found.worse() for flip in each.arms["tuned"].flips],
            "outside": _outside(found),
        },
    )


def says(found: RobustnessResult) -> str:
    """What it comes to, in a sentence or two."""
    worse = found.worse()
    if worse:
        parts = [
            f"{TITLES[each.change][0].lower()} (from {figure(each.arms['tuned'].before.value, found.unit)} to"
            f" {figure(each.arms['tuned'].after.value, found.unit)})"
            for each in worse
        ]
        told = f"{found.metric} of the tuned model falls with {', '.join(parts)}."
    elif found.changes:
        told = f"No change makes {found.metric} of the tuned model surely worse."
    else:
        told = ""
    orders = [each.arms["tuned"].obeyed for each in found.changes if "tuned" in each.arms]
    obeyed = [each for each in orders if each is not None and each.value]
    if obeyed:
        told += f" In {_share(obeyed[0])} of the rows with an order slipped in it says what the order asks for."
    if found.out_of_scope is not None and (tuned := found.out_of_scope.arms.get("tuned")) is not None:
        told += f" Of questions out of scope it leaves {_share(tuned)} unanswered."
    told += "".join(
        f" Of {TITLES[each.change][0].lower()} nothing can be said: {each.doubt}."
        for each in found.changes
        if each.doubt
    )
    return told.strip()


def _share(estimate: Estimate) -> str:
    bounds = estimate.interval
    reach = f" ({percent(bounds[0], 0)} to {percent(bounds[1], 0)})" if bounds else ""
    return f"{percent(estimate.value, 0)}{reach}"


def of_card(found: RobustnessResult | None) -> dict[str, Any] | None:
    """The same for the model card."""
    if found is None:
        return None
    arms = list(dict.fromkeys(arm for each in found.changes for arm in reversed(each.arms)))
    return {
        "says": says(found),
        "arms": arms,
        "rows": [
            (
                f"{TITLES[each.change][0]}: {TITLES[each.change][1]}",
                each.num_rows,
                [cell for arm in arms for cell in _cells(found, each.arms.get(arm))],
            )
            for each in found.changes
        ],
    }


def _cells(found: RobustnessResult, result: ArmResult | None) -> list[str]:
    sides = (None, None) if result is None else (result.before, result.after)
    told = [estimate_cell(side, found.unit) for side in sides]
    return [f"{cell['value']} ({cell['interval']})" if cell["interval"] else cell["value"] for cell in told]


def _marks(result: ArmResult) -> list[intervals.Mark]:
    value = result.difference.value
    return [] if value is None else [intervals.Mark(value, result.difference.interval, "a")]


def _row(
    found: RobustnessResult, each: ChangeResult, arm: str, result: ArmResult, span: tuple[float, float]
) -> dict[str, Any]:
    name, does = TITLES[each.change]
    first = arm == next(reversed(each.arms))
    left = (
        f"{counted(each.unchanged, 'row')} left as it was"
        if each.unchanged == 1
        else (f"{counted(each.unchanged, 'row')} left as they were" if each.unchanged else "")
    )
    obeyed = f"says what the order asks: {_share(result.obeyed)}" if result.obeyed and result.obeyed.num_rows else ""
    return {
        "name": name,
        "below": [line for line in (does if first else "", left if first else "", obeyed) if line],
        "arm": arm,
        "rows": each.num_rows,
        "before": estimate_cell(result.before, found.unit),
        "after": estimate_cell(result.after, found.unit),
        "difference": difference_cell(result.difference, found.better, found.unit, found.confidence),
        "kept": estimate_cell(result.kept, ""),
        "drawing": intervals.row(
            _marks(result),
            span=span,
            zero=True,
            title=f"{name}, {arm}: {figure(result.difference.value, signed=True)}"
            f" ({interval(result.difference.interval, signed=True)})",
        ),
    }


def _outside(found: RobustnessResult) -> dict[str, Any] | None:
    outside = found.out_of_scope
    if outside is None:
        return None
    return {
        "how": outside.how,
        "rows": outside.num_rows,
        "arms": [(arm, estimate_cell(estimate, "")) for arm, estimate in reversed(outside.arms.items())],
    }
