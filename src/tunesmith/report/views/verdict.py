"""The verdict, and what a reader should know before anything else."""

from __future__ import annotations

from typing import Any, Literal

from tunesmith.evaluate.verdict import TargetResult, Warned
from tunesmith.report.charts import intervals
from tunesmith.report.evidence import Evidence, Section
from tunesmith.report.format import NONE, count, counted, duration, figure, memory, moment, percent, short
from tunesmith.report.views import cost
from tunesmith.report.views.comparison import folded

OUTCOMES = {"met": "✓ met", "missed": "✗ missed", "undecided": "? undecided"}
"""Each outcome in words and with a sign, so that none rests on its colour."""
DECISIONS = {"SHIP": "met", "DON'T SHIP": "missed", "NO TARGETS": "none"}

GRAVE = frozenset({"contamination", "loss", "forgetting"})
"""Kinds of warnings that are of harm done, and not of doubt."""
LEAKS = 20
"""Test rows that were trained on and are listed."""


def head(evidence: Evidence) -> dict[str, Any]:
    """What the page says outside of its chapters."""
    return {
        "run": str(evidence.run),
        "word": evidence.verdict.decision if evidence.verdict else "NO VERDICT",
        "tunesmith": evidence.environment.get("tunesmith", ""),
        "problems": evidence.problems,
    }


def view(evidence: Evidence) -> Section:
    """The first chapter. It is always there."""
    found = evidence.verdict
    return Section(
        "verdict",
        "Verdict",
        "Verdict",
        {
            "css": DECISIONS[found.decision] if found else "none",
            "why": sentence(found.reason) if found else evidence.why_no_evaluation(),
            "targets": [
                _target(target, number == found.deciding, _limits(evidence, target))
                for number, target in enumerate(found.targets)
            ]
            if found
            else [],
            "open": any(target.outcome == "undecided" for target in found.targets) if found else False,
            "confidence": percent(found.confidence, 0) if found else "",
            "cautions": [(weight(warning), warning.text) for warning in found.warnings] if found else [],
            "leaks": _leaks(evidence),
            "digests": [(name, said[:16]) for name, said in evidence.digests.items()],
            "byline": _byline(evidence),
            "facts": _facts(evidence),
            "warnings": list(dict.fromkeys(str(event["text"]) for event in evidence.events_of("warning"))),
        },
    )


def weight(warning: Warned) -> Literal["missed", "undecided"]:
    """Whether a warning is of harm or of doubt, in the words that colours have."""
    return "missed" if warning.blocks or warning.kind in GRAVE else "undecided"


def _leaks(evidence: Evidence) -> dict[str, Any] | None:
    """The test rows that were trained on; None where there are none."""
    met = evidence.contamination
    if met is None or not met.leaks:
        return None
    return {
        "count": len(met.leaks),
        "rows": [
            (
                leak.source,
                leak.trained_source,
                leak.pool,
                "word for word" if leak.how == "exact" else percent(leak.share, 0),
            )
            for leak in met.leaks[:LEAKS]
        ],
        "more": max(0, len(met.leaks) - LEAKS),
    }


def sentence(reason: str) -> str:
    """A reason as a sentence of its own."""
    text = reason[:1].upper() + reason[1:] if reason.partition(" ")[0].isalpha() else reason
    return text if text.endswith((".", "!", "?")) else text + "."


def target_name(target: TargetResult) -> str:
    """A target's metric, the arm it is to be ahead of, and the rows it is about."""
    where = ", ".join(f"{column}: {value}" for column, value in target.slice.items())
    name = f"{target.metric} over {target.over}" if target.over else target.metric
    return f"{name} ({where})" if where else name


def bound_of(target: TargetResult) -> str:
    """What a target asks for."""
    return f"{target.sense.replace('_', ' ')} {bare(target.bound)} {target.unit}".rstrip()


def bare(value: float) -> str:
    """A number as a person would have written it in a spec."""
    return f"{value:,.6g}"


def limit_of(target: TargetResult) -> str:
    """The confidence limit in words: the side it stands on and the number."""
    if target.limit is None or target.value is None:
        return NONE
    side = "at least" if target.limit <= target.value else "at most"
    return f"{side} {figure(target.limit, target.unit)}"


def rows_wanted(target: TargetResult) -> str:
    """How many more rows would settle an undecided target."""
    if target.outcome != "undecided":
        return ""
    return NONE if target.more_rows is None else f"about {count(target.more_rows)}"


def _limits(evidence: Evidence, target: TargetResult) -> intervals.Limits | None:
    """Between which values the target's metric can lie, where the comparison says so."""
    measures = evidence.comparison.measures if evidence.comparison and not target.over else []
    return next(((measure.lowest, measure.highest) for measure in measures if measure.name == target.metric), None)


def _target(target: TargetResult, deciding: bool, limits: intervals.Limits | None) -> dict[str, Any]:
    return {
        "name": target_name(target),
        "asks": bound_of(target),
        "value": figure(target.value, target.unit),
        "limit": limit_of(target),
        "rows": target.num_rows,
        "outcome": target.outcome,
        "says": OUTCOMES[target.outcome],
        "more": rows_wanted(target),
        "why": target.why,
        "change": target.change,
        "deciding": deciding,
        "drawing": _drawing(target, limits),
    }


def _drawing(target: TargetResult, limits: intervals.Limits | None) -> dict[str, Any] | None:
    if target.value is None:
        return None
    reach = None
    if target.limit is not None:
        reach = (min(target.limit, target.value), max(target.limit, target.value))
    mark = intervals.Mark(target.value, reach, target.outcome)
    span = intervals.span_of([mark], target.bound, limits=limits)
    picture = intervals.row(
        [mark],
        span=span,
        bound=target.bound,
        good="above" if target.sense == "at_least" else "below",
        title=f"{target_name(target)} {bound_of(target)}: {target.why}",
    )
    return {"picture": picture, "start": figure(span[0]), "end": figure(span[1], target.unit)}


def _byline(evidence: Evidence) -> str:
    task = (evidence.spec.get("goal") or {}).get("task")
    events = evidence.events
    told = [str(task)] if task else []
    if events:
        told.append(moment(events[-1].get("at")))
    return " · ".join(told)


def _facts(evidence: Evidence) -> list[tuple[str, str, str]]:
    """(name, figure, beneath it) of what a reader asks first."""
    facts = []
    base = evidence.lineage.get("base") or {}
    if base:
        size = base.get("num_parameters")
        facts.append(("Base", str(base.get("reference", NONE)), f"{short(size)} parameters" if size else ""))
    _, _, steps = cost.training_totals(evidence)
    trained = cost.trained_parameters(evidence)
    if trained:
        share = f"{percent(trained / base['num_parameters'])} of the base" if base.get("num_parameters") else ""
        facts.append(("Weights trained", short(trained), share))
    train = (evidence.ledger.get("splits") or {}).get("train") or {}
    if train:
        facts.append(("Trained on", counted(train["rows"], "row"), counted(steps, "step") if steps else ""))
    if evidence.comparison:
        apart = "each by a fold that did not learn it" if folded(evidence.comparison) else _apart(evidence)
        facts.append(("Judged on", counted(evidence.comparison.num_rows, "row"), apart))
    seconds = sum(stage["seconds"] or 0.0 for stage in cost.stage_times(evidence))
    if seconds:
        peak = cost.peak_memory_mb(evidence)
        facts.append(("Took", duration(seconds), f"{memory(peak)} at the peak" if peak else ""))
    return facts


def _apart(evidence: Evidence) -> str:
    """How the test rows stand to the training rows."""
    met = evidence.contamination
    if met is None:
        return "not looked for among the training rows"
    if met.leaks:
        return f"{count(len(met.ids))} that were trained on left out"
    sought = f"none met in {counted(met.num_trained, 'training row')}"
    return f"{sought}, not looked for in {', '.join(met.unsought)}" if met.unsought else sought
