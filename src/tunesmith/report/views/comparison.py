"""The arms side by side: every metric, its intervals, and the paired difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunesmith.evaluate.comparison import Comparison, Difference, Estimate, FoldMeasure, Measure
from tunesmith.report.charts import intervals
from tunesmith.report.evidence import Evidence, Section
from tunesmith.report.format import counted, figure, interval, percent


def view(evidence: Evidence) -> Section:
    """The chapter that compares the arms."""
    found = evidence.comparison
    title = f"{found.arms[-1]} against {found.arms[0]}".capitalize() if found and len(found.arms) > 1 else "Figures"
    if found is None or not found.measures:
        return Section("comparison", title, "Comparison", missing=evidence.why_no_evaluation())
    return Section(
        "comparison",
        title,
        "Comparison",
        {
            "says": says(found),
            "arms": [(arm, color_of(found, arm)) for arm in found.arms],
            "rows": [_row(found, measure) for measure in found.measures],
            "paired": len(found.arms) > 1,
            "confidence": percent(found.confidence, 0),
            "resamples": found.resamples,
            "against": _against(found),
            "folds": _folds(found),
            "seeds": _seeds(found),
            "lengths": [(arm, entry) for arm, entry in found.lengths.items()],
        },
    )


def _against(found: Comparison) -> list[dict[str, Any]]:
    """The last arm against each arm but the first, whose differences stand beside the figures."""
    return [
        {
            "arm": arm,
            "name": measure.name,
            "difference": difference_cell(difference, measure.better, measure.unit, found.confidence),
        }
        for arm in found.arms[1:-1]
        for measure in found.measures
        if (difference := measure.differences.get(arm)) is not None
    ]


def _seeds(found: Comparison) -> dict[str, Any] | None:
    """The last arm's model and others of other seeds; None where there are none."""
    held = [(measure, measure.seeds) for measure in found.measures if measure.seeds is not None]
    return _models(found.arms[-1], held) if held else None


def _folds(found: Comparison) -> dict[str, Any] | None:
    """The last arm fold by fold; None where nothing was folded."""
    arm = found.arms[-1]
    held = [(measure, measure.folds[arm]) for measure in found.measures if arm in measure.folds]
    if not held:
        return None
    return _models(arm, held)


def _models(arm: str, held: Sequence[tuple[Measure, FoldMeasure]]) -> dict[str, Any]:
    """Figures of several models, one by one and in their mean."""
    return {
        "arm": arm,
        "numbers": range(1, len(held[0][1].values) + 1),
        "rows": [
            {
                "name": measure.name,
                "values": [figure(value, measure.unit) for value in fold.values],
                "mean": {"value": figure(fold.mean, measure.unit), "interval": interval(fold.interval)},
            }
            for measure, fold in held
        ],
    }


def folded(found: Comparison) -> bool:
    """Whether the rows were tested in folds."""
    return any(measure.folds for measure in found.measures)


def says(found: Comparison) -> str:
    """What the comparison comes to, in a sentence."""
    on = f"on the same {counted(found.num_rows, 'row')}"
    if len(found.arms) < 2:
        return f"Measured {on}; there is no other arm to compare with."
    first, last = found.arms[0], found.arms[-1]
    told = [verdict_of(measure.difference, measure.better, found.confidence) for measure in found.measures]
    ahead, behind, total = told.count("better"), told.count("worse"), len(told)
    what = f"{last} is clearly ahead of {first} {on} by {ahead} of {counted(total, 'metric')}"
    behindhand = f", behind by {behind}" if behind else ""
    rest = total - ahead - behind
    return f"{what}{behindhand}{f', and too close to call by {rest}' if rest else ''}.".capitalize()


def verdict_of(difference: Difference | None, better: str, confidence: float) -> str:
    """`better`, `worse`, or `unclear`: the interval of the difference holds zero, or so many differences were looked
    at that such a one comes by chance."""
    if difference is None or difference.interval is None:
        return "unclear"
    if difference.corrected is not None and difference.corrected > 1 - confidence:
        return "unclear"
    low, high = difference.interval
    if better == "lower":
        low, high = (None if high is None else -high), (None if low is None else -low)
    if low is not None and low > 0:
        return "better"
    return "worse" if high is not None and high < 0 else "unclear"


def color_of(found: Comparison, arm: str) -> str:
    """An arm's colour: the last is the one that matters, the first the one it is held against."""
    if len(found.arms) == 1 or arm == found.arms[-1]:
        return "a"
    return "b" if arm == found.arms[0] else "c"


def marks_of(found: Comparison, arms: dict[str, Estimate]) -> list[intervals.Mark]:
    """The arms' values as marks; an arm without a value has none."""
    return [
        intervals.Mark(estimate.value, estimate.interval, color_of(found, arm))
        for arm, estimate in arms.items()
        if estimate.value is not None
    ]


def spoken(name: str, arms: dict[str, Estimate], unit: str = "") -> str:
    """A row of a drawing in words."""
    said = [
        f"{arm} {figure(estimate.value, unit)}{f' ({interval(estimate.interval)})' if estimate.interval else ''}"
        for arm, estimate in arms.items()
    ]
    return f"{name}: {', '.join(said)}"


def estimate_cell(estimate: Estimate | None, unit: str) -> dict[str, str]:
    """A value over its interval."""
    if estimate is None:
        return {"value": figure(None), "interval": ""}
    return {"value": figure(estimate.value, unit), "interval": interval(estimate.interval)}


def difference_cell(difference: Difference | None, better: str, unit: str, confidence: float) -> dict[str, Any]:
    """A difference over its interval, with what it means."""
    if difference is None:
        return {"value": figure(None), "interval": "", "means": "", "css": "", "p": ""}
    means = verdict_of(difference, better, confidence)
    return {
        "value": figure(difference.value, unit, signed=True),
        "interval": interval(difference.interval, signed=True),
        "means": {"better": "better", "worse": "worse", "unclear": "too close to call"}[means],
        "css": {"better": "met", "worse": "missed", "unclear": "none"}[means],
        "p": probability(difference.corrected),
    }


def probability(p_value: float | None) -> str:
    """A p-value to three digits; the smallest ones only bounded."""
    return figure(None) if p_value is None else "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _row(found: Comparison, measure: Measure) -> dict[str, Any]:
    marks = marks_of(found, measure.arms)
    share = measure.highest == 1 and measure.lowest == 0
    span = (0.0, 1.0) if share else intervals.span_of(marks, 0.0, limits=(measure.lowest, measure.highest))
    return {
        "name": measure.name,
        "better": measure.better,
        "arms": [(arm, estimate_cell(measure.arms.get(arm), measure.unit)) for arm in found.arms],
        "difference": difference_cell(measure.difference, measure.better, measure.unit, found.confidence),
        "drawing": {
            "picture": intervals.row(marks, span=span, title=spoken(measure.name, measure.arms, measure.unit)),
            "start": figure(span[0]),
            "end": figure(span[1], measure.unit),
        },
    }
