"""The arms side by side: every metric, its intervals, and the paired difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.evaluate.comparison import Comparison, Difference, Estimate, FoldMeasure, Measure
from tunesmith.evaluate.statistics.significance import meaning
from tunesmith.report.asked import Asked, said_variant
from tunesmith.report.charts import intervals
from tunesmith.report.evidence import Evidence, Section
from tunesmith.report.format import counted, figure, interval, percent


def view(evidence: Evidence) -> Section:
    """The chapter that compares the arms."""
    found = evidence.comparison
    title = _title(found) if found else "Figures"
    if found is None or not found.measures:
        return Section("comparison", title, "Comparison", missing=evidence.why_no_evaluation())
    return Section("comparison", title, "Comparison", content(found, evidence.asked))


def content(found: Comparison, asked: Mapping[str, Asked] | None = None) -> dict[str, Any]:
    """What the chapter's template shows.

    Args:
        found: the arms side by side.
        asked: arm -> how it was asked, where that was written down.
    """
    return {
        "says": says(found),
        "last": found.arms[-1],
        "measures": [_measure(found, measure) for measure in found.measures],
        "paired": len(found.arms) > 1,
        "confidence": percent(found.confidence, 0),
        "level": percent(1 - found.confidence, 0),
        "looked_at": sum(len(measure.differences) for measure in found.measures),
        "resamples": found.resamples,
        "asked": [shown for arm in found.arms if (shown := _asked(arm, (asked or {}).get(arm)))],
        "folds": _folds(found),
        "seeds": _seeds(found),
        "lengths": [(arm, entry) for arm, entry in found.lengths.items()],
    }


def _title(found: Comparison) -> str:
    if len(found.arms) < 2:
        return "Figures"
    against = found.arms[0] if len(found.arms) == 2 else f"{len(found.arms) - 1} others"
    return f"{found.arms[-1]} against {against}".capitalize()


def _asked(arm: str, how: Asked | None) -> dict[str, Any] | None:
    """How an arm was asked; None where there is nothing to tell."""
    if how is None or not (facts := how.facts()):
        return None
    variants = [
        (said_variant(tried), figure(tried.value), interval(tried.interval), place == how.chosen)
        for place, tried in enumerate(how.variants())
    ]
    return {"arm": arm, "facts": facts, "variants": variants}


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
    """What the comparison comes to, a sentence for each arm that the last is held against."""
    on = f"on the same {counted(found.num_rows, 'row')}"
    if len(found.arms) < 2:
        return f"Measured {on}; there is no other arm to compare with."
    told: dict[tuple[str, str], list[str]] = {}
    for arm in found.arms[:-1]:
        told.setdefault(_standing(found, arm), []).append(arm)
    said = [f"{how} {_listed(arms)} {by}" for (how, by), arms in told.items()]
    return f"{on}, {found.arms[-1]} is {'; '.join(said)}.".capitalize()


def _standing(found: Comparison, arm: str) -> tuple[str, str]:
    """What stands before an arm's name in a sentence, and what behind it."""
    means = [
        meaning(measure.differences.get(arm), measure.better, found.confidence)
        for measure in found.measures
        if arm in measure.differences
    ]
    ahead, behind, total = means.count("better"), means.count("worse"), len(means)
    metrics = counted(total, "metric")
    if ahead and not behind:
        return "clearly better than", f"by {ahead} of {metrics}"
    if behind and not ahead:
        return "clearly worse than", f"by {behind} of {metrics}"
    if ahead:
        return "better than", f"by {ahead} of {metrics} and worse by {behind}"
    return "not told apart from", f"by any of {metrics}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


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
    """A difference over its interval, with what it means and the p-value it has among all that were looked at."""
    if difference is None or difference.value is None:
        return {"value": figure(None), "interval": "", "means": "", "css": "", "p": ""}
    if difference.p_value is None and difference.interval == (difference.value, difference.value):
        # One figure for all rows, such as memory: nothing was drawn that could say how sure it is.
        value = figure(difference.value, unit, signed=True)
        return {"value": value, "interval": "", "means": "measured once", "css": "none", "p": figure(None)}
    means = meaning(difference, better, confidence)
    return {
        "value": figure(difference.value, unit, signed=True),
        "interval": interval(difference.interval, signed=True),
        "means": {"better": "better", "worse": "worse", "unclear": "too close to call"}[means],
        "css": {"better": "met", "worse": "missed", "unclear": "none"}[means],
        "p": probability(difference.p_value if difference.corrected is None else difference.corrected),
    }


def probability(p_value: float | None) -> str:
    """A p-value to three digits; the smallest ones only bounded."""
    return figure(None) if p_value is None else "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _measure(found: Comparison, measure: Measure) -> dict[str, Any]:
    marks = marks_of(found, measure.arms)
    share = measure.highest == 1 and measure.lowest == 0
    span = (0.0, 1.0) if share else intervals.span_of(marks, 0.0, limits=(measure.lowest, measure.highest))
    last = measure.arms.get(found.arms[-1])
    return {
        "name": measure.name,
        "better": measure.better,
        "caution": measure.caution,
        "axis": intervals.axis(span),
        "arms": [
            {
                "name": arm,
                "last": arm == found.arms[-1],
                "estimate": estimate_cell(measure.arms.get(arm), measure.unit),
                "difference": difference_cell(
                    measure.differences.get(arm), measure.better, measure.unit, found.confidence
                ),
                "drawing": intervals.row(
                    marks_of(found, {arm: measure.arms[arm]} if arm in measure.arms else {}),
                    span=span,
                    bound=last.value if last is not None else None,
                    title=spoken(measure.name, {arm: measure.arms[arm]} if arm in measure.arms else {}, measure.unit),
                ),
            }
            for arm in [found.arms[-1], *found.arms[:-1]]
        ],
    }
