"""How groups of people fare: who is apart, by how much, what a swap of terms changes, and who stands in the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tunesmith.evaluate.fairness.found import (
    Change,
    Direction,
    Fairness,
    Gap,
    GroupFigure,
    Shown,
    SuiteResult,
    SwappedKind,
)
from tunesmith.report.evidence import Evidence, Section
from tunesmith.report.format import NONE, count, counted, figure, interval, percent
from tunesmith.report.views.comparison import difference_cell, estimate_cell

MOST = 40
"""The most groups of a kind that are listed, the largest first."""
_SAYS: dict[Shown, str] = {
    "given": "given {label}",
    "found": "{label} found",
    "mistaken": "taken for {label}",
    "right": "right",
    "calibration": "{label} overrated by",
    "score": "{label}",
    "refused": "refused",
    "words": "words",
}


def view(evidence: Evidence) -> Section | None:
    """The chapter on groups of people; None where the spec did not ask for it."""
    asked = (evidence.spec.get("evaluate") or {}).get("fairness")
    if asked is None:
        return None
    found = evidence.fairness
    if found is None:
        return Section("fairness", "Groups of people", "Groups", missing=evidence.why_no_evaluation())
    content = {
        "says": list(says(found)),
        "confidence": percent(found.confidence, 0),
        "min_rows": found.min_rows,
        "num_tests": found.num_tests,
        "apart": [_finding(each, gap) for each, gap in apart(found)],
        "kinds": list(_kinds(found)),
        "arms": list(found.figures[0].arms) if found.figures else [],
        "spreads": [_spreads(each) for each in found.figures],
        "cost": list(cost(evidence)),
        "swapped": [_swapped(each) for each in found.swapped],
        "represented": _represented(found),
        "suites": [_suite(each) for each in found.suites],
        "notes": found.notes,
    }
    return Section("fairness", "Groups of people", "Groups", content)


def apart(found: Fairness) -> list[tuple[GroupFigure, Gap]]:
    """What is called apart, the surest first."""
    gaps = [(each, gap) for each in found.figures for gap in each.gaps if gap.outcome == "apart"]
    return sorted(gaps, key=lambda pair: (pair[1].corrected or 0.0, -abs(pair[1].value or 0.0)))


def leaning(found: Fairness) -> list[tuple[SwappedKind, Direction]]:
    """Swaps that move a label one way more than the other."""
    return [
        (kind, way)
        for kind in found.swapped
        for way in kind.directions
        if way.corrected is not None and way.corrected <= 1 - found.confidence
    ]


def in_words(kind: SwappedKind) -> bool:
    """Whether answers are words, of which figures are followed, and not labels."""
    return kind.words.value is not None


def says(found: Fairness) -> Iterator[str]:
    """What it comes to, in sentences."""
    gaps = apart(found)
    if gaps:
        figures, gap = gaps[0]
        more = f", and {counted(len(gaps) - 1, 'further difference')}" if len(gaps) > 1 else ""
        yield f"Groups are apart: {sentence(figures, gap)}{more}."
    elif found.num_tests:
        tested = counted(found.num_tests, "difference")
        yield f"No group is shown to be apart from the others in {tested} tested."
    elif found.figures:
        yield f"Too few rows to tell groups apart: none has {found.min_rows}."
    for kind, way in leaning(found):
        first, second, many = (
            (way.one, way.other, way.gained) if way.gained > way.lost else (way.other, way.one, way.lost)
        )
        does = f"are answered with more of {way.label}" if in_words(kind) else f"become {way.label}"
        yield (
            f"It leans on {kind.identity}: with {first} swapped for {second}, {many} of {counted(way.pairs, 'pair')}"
            f" {does}, and {min(way.gained, way.lost)} the other way."
        )
    small = {(each.by, group.group) for each in found.figures for group in each.groups if group.small}
    whole = {(each.by, group.group) for each in found.figures for group in each.groups}
    if small:
        yield f"{counted(len(small), 'group')} of {len(whole)} are too small for some figures, and not tested there."


def sentence(figures: GroupFigure, gap: Gap) -> str:
    """One difference in words."""
    what = named(figures)
    return (
        f"{figures.by} {gap.group}, {what}: {figure(_of(figures, gap.group))},"
        f" {figure(gap.value, signed=True)} against the others ({interval(gap.interval, signed=True)})"
    )


def named(figures: GroupFigure) -> str:
    """What a figure is called."""
    return _SAYS[figures.shown].format(label=figures.label)


def cost(evidence: Evidence) -> Iterator[dict[str, Any]]:
    """What the tuned model gained and lost elsewhere against each other arm, where something was done for fairness."""
    found = evidence.comparison
    if found is None or not mitigations(evidence.spec):
        return
    for arm in found.arms[:-1]:
        for measure in found.measures:
            if (difference := measure.differences.get(arm)) is not None:
                yield {
                    "arm": arm,
                    "metric": measure.name,
                    "before": estimate_cell(measure.arms.get(arm), measure.unit),
                    "after": estimate_cell(measure.arms.get(found.arms[-1]), measure.unit),
                    "difference": difference_cell(difference, measure.better, measure.unit, found.confidence),
                }


def mitigations(spec: dict[str, Any]) -> list[str]:
    """What the training did for groups, as the spec names it."""
    steps = (spec.get("data") or {}).get("steps") or []
    stages = [stage.get("objective") or {} for stage in spec.get("train") or []]
    return [
        *(str(step["kind"]) for step in steps if step["kind"] in ("reweigh", "counterfactual")),
        *("fair_by" for objective in stages if objective.get("fair_by")),
    ]


def _of(figures: GroupFigure, group: str) -> float | None:
    return next((each.value for each in figures.groups if each.group == group), None)


def _finding(figures: GroupFigure, gap: Gap) -> dict[str, Any]:
    return {
        "by": figures.by,
        "group": gap.group,
        "what": named(figures),
        "value": figure(_of(figures, gap.group)),
        "difference": {"value": figure(gap.value, signed=True), "interval": interval(gap.interval, signed=True)},
        "p": figure(gap.corrected) if (gap.corrected or 0) >= 0.001 else "<0.001",
    }


def _kinds(found: Fairness) -> Iterator[dict[str, Any]]:
    for by in dict.fromkeys(each.by for each in found.figures):
        figures = [each for each in found.figures if each.by == by]
        names = list(dict.fromkeys(group.group for each in figures for group in each.groups))
        rows = {name: max(g.num_rows for each in figures for g in each.groups if g.group == name) for name in names}
        yield {
            "by": by,
            "columns": [named(each) for each in figures],
            "rows": [
                {"group": name, "rows": rows[name], "cells": [_cell(each, name) for each in figures]}
                for name in names[:MOST]
            ],
            "left_out": len(names[MOST:]),
        }


def _cell(figures: GroupFigure, name: str) -> dict[str, Any]:
    value = next(group for group in figures.groups if group.group == name)
    gap = next((gap for gap in figures.gaps if gap.group == name), None)
    return {
        "value": figure(value.value),
        "interval": interval(value.interval),
        "small": value.small,
        "rows": count(value.num_rows),
        "apart": gap is not None and gap.outcome == "apart",
    }


def _spreads(each: GroupFigure) -> dict[str, Any]:
    return {
        "by": each.by,
        "what": named(each),
        "arms": [
            (arm, figure(spread.difference), NONE if spread.ratio is None else figure(spread.ratio))
            for arm, spread in each.arms.items()
        ],
    }


def _swapped(kind: SwappedKind) -> dict[str, Any]:
    return {
        "identity": kind.identity,
        "pairs": kind.pairs,
        "figures": [
            (name, figure(change.value, signed=signed), interval(change.interval, signed=signed))
            for name, change, signed in (
                ("answers that change", kind.flips, False),
                ("largest change of a probability", kind.score, False),
                ("words", kind.words, True),
                ("refused", kind.refused, True),
            )
            if change.value is not None
        ],
        "in_words": in_words(kind),
        "directions": [
            {
                "way": f"{way.one} to {way.other}",
                "label": way.label,
                "gained": way.gained,
                "lost": way.lost,
                "pairs": way.pairs,
                "score": figure(way.score, signed=True),
                "p": figure(way.corrected),
            }
            for way in kind.directions
        ],
        "examples": [vars(example) for example in kind.examples],
    }


def _represented(found: Fairness) -> dict[str, Any]:
    labels = sorted({label for each in found.represented for label in each.labels})
    return {
        "labels": labels,
        "rows": [
            {
                "name": f"{each.by}: {each.group}",
                "train": each.train,
                "share": percent(each.share),
                "test": each.test,
                "labels": [(percent(each.labels.get(label)), percent(each.weighted.get(label))) for label in labels],
            }
            for each in found.represented
        ],
        "weighted": any(each.labels != each.weighted for each in found.represented),
    }


def _suite(result: SuiteResult) -> dict[str, Any]:
    names = list(dict.fromkeys(name for kind in result.kinds for name in kind.figures))
    return {
        "suite": result.suite,
        "path": result.path,
        "arm": result.arm,
        "num_items": result.items,
        "left_out": result.left_out,
        "columns": names,
        "rows": [
            {"bias": kind.bias, "num_items": kind.items, "cells": [_change(kind.figures.get(name)) for name in names]}
            for kind in result.kinds
        ],
    }


def _change(change: Change | None) -> dict[str, str]:
    if change is None:
        return {"value": NONE, "interval": ""}
    return {"value": figure(change.value), "interval": interval(change.interval)}
