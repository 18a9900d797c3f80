"""What a verdict must not be read without: warnings, and what would change each target's outcome.

Warnings come from fixed rules, the gravest first:

    contamination   test rows were trained on; they were left out, and with too few left nothing is decided
    simpler         a linear model or the commonest label beats the tuned model, or is not told apart from it
    loss            the tuned model does worse than its base by a metric that targets name (or the first one)
    noise           by none of these metrics is it shown to be better than its base
    slice           on a slice it is surely worse than its base
    forgetting      it surely lost abilities that it was to keep

"Worse" and "better" are those of `significance.meaning`: corrected for all that was looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tunesmith.evaluate.comparison import Comparison, Difference, Measure, SliceMeasure
from tunesmith.evaluate.contamination import Contamination
from tunesmith.evaluate.significance import meaning
from tunesmith.evaluate.verdict import TargetResult, Verdict, Warned, _figure, _rows

FEWEST_CLEAN = 30
"""Rows that were not trained on, below which nothing is decided where some were."""
SIMPLER = ("linear", "majority")
"""Arms that a fine-tuned model has to be worth more than."""
REFERENCE = "base"
"""The arm that tuning set out from."""
FEWEST_IN_SLICE = 30
MOST_SLICES = 3
"""Slices that warnings name, the worst first; the rest are counted."""


def weigh(verdict: Verdict, comparison: Comparison, met: Contamination | None = None) -> Verdict:
    """The verdict with its warnings and with what would change it.

    Args:
        verdict: of the tuned arm, on the rows that were not trained on.
        comparison: of all arms, on the same rows; the tuned arm is its last.
        met: test rows that were trained on; None where nobody looked.
    """
    if met is not None and met.leaks and met.num_clean < FEWEST_CLEAN:
        verdict = _held_back(verdict, met)
    targets = [replace(target, change=what_would_change(target, comparison)) for target in verdict.targets]
    return replace(verdict, targets=targets, warnings=list(_warnings(verdict, comparison, met)))


def what_would_change(target: TargetResult, comparison: Comparison) -> str:
    """How far a target is from another outcome: by its value, by rows, and through which slice.

    The limit is taken to keep its distance from the value, which is so for small changes.
    """
    value, limit = target.value, target.limit
    if value is None:
        return "Rows that have something to measure."
    if limit is None:
        return f"More rows: {target.num_rows:,} give no limit to hold against the bound."
    ahead = abs(value - limit) * (1 if target.sense == "at_least" else -1)
    edge, rows = target.bound + ahead, _rows(target.num_rows)
    at = f"{_figure(edge, target.unit)} on {rows}"
    if target.outcome == "met":
        return (
            f"It is met down to about {at}; {_figure(abs(value - edge), target.unit)} to spare."
            if ahead > 0
            else (f"It is met up to about {at}; {_figure(abs(value - edge), target.unit)} to spare.")
        )
    measure = _measure_of(target, comparison)
    if measure is not None and not measure.lowest <= edge <= (math.inf if measure.highest is None else measure.highest):
        told = [f"No value is enough on {rows}"]
    else:
        told = [
            f"About {at} would meet it, {_figure(abs(edge - value), target.unit)} {'more' if ahead > 0 else 'less'}"
        ]
    if target.more_rows is not None:
        right = value >= target.bound if target.sense == "at_least" else value <= target.bound
        told.append(
            f"about {target.more_rows:,} more rows would show it {'met' if right else 'missed'} should the value stay"
        )
    if measure is not None and not target.slice and (through := _through_slice(measure, comparison)):
        told.append(through)
    return "; ".join(told) + "."


def _measure_of(target: TargetResult, comparison: Comparison) -> Measure | None:
    return next((measure for measure in comparison.measures if measure.name == target.metric), None)


def _through_slice(measure: Measure, comparison: Comparison) -> str:
    """The slice that holds the value back most, and what all would come to were it as good as the rest."""
    last = comparison.arms[-1]
    whole = measure.arms[last]
    found = comparison.found.slices if comparison.found and comparison.found.metric == measure.name else []
    told, most = "", 0.0
    for part in [*measure.slices, *found]:
        mine = part.arms[last]
        outside = whole.num_rows - mine.num_rows
        if mine.value is None or whole.value is None or min(mine.num_rows, outside) < FEWEST_IN_SLICE:
            continue
        rest = (whole.value * whole.num_rows - mine.value * mine.num_rows) / outside
        lift = (rest - whole.value) * (1 if measure.better == "higher" else -1)
        if lift > most:
            here = f"{said_slice(part)} ({_figure(mine.value, measure.unit)} on {_rows(mine.num_rows)})"
            told, most = f"were {here} as good as the rest, all would reach about {_figure(rest, measure.unit)}", lift
    return told


def said_slice(part: SliceMeasure) -> str:
    """A slice in words."""
    return f"{part.column} {part.value!r}"


def _held_back(verdict: Verdict, met: Contamination) -> Verdict:
    why = (
        f"{len(met.ids):,} of {met.num_rows:,} test rows were trained on, and {_rows(met.num_clean)} without them"
        f" are too few to decide by (at least {FEWEST_CLEAN})"
    )
    targets = [
        replace(target, outcome="undecided", more_rows=FEWEST_CLEAN - met.num_clean, why=f"{target.why}; {why}")
        for target in verdict.targets
    ]
    if not targets:
        return verdict
    return replace(
        verdict, decision="DON'T SHIP", reason=f"{targets[0].title} is undecided: {why}", deciding=0, targets=targets
    )


def _warnings(verdict: Verdict, comparison: Comparison, met: Contamination | None) -> Iterator[Warned]:
    if met is not None and met.leaks:
        yield _of_contamination(met)
    main = _main_measures(verdict, comparison)
    last = comparison.arms[-1]
    for arm in SIMPLER:
        yield from _of_simpler(main, arm, last, comparison.confidence)
    yield from _against_base(main, last, comparison.confidence)
    yield from _of_slices(comparison, last)
    yield from _of_forgetting(verdict)


def _main_measures(verdict: Verdict, comparison: Comparison) -> list[Measure]:
    """What targets name, or else the first metric; not those of time, which cheaper arms always win."""
    quality = [measure for measure in comparison.measures if not measure.unit]
    named = {target.metric for target in verdict.targets}
    return [measure for measure in quality if measure.name in named] or quality[:1]


def _of_contamination(met: Contamination) -> Warned:
    exact = sum(leak.how == "exact" for leak in met.leaks)
    first = met.leaks[0]
    return Warned(
        "contamination",
        f"{len(met.ids):,} of {met.num_rows:,} test rows were trained on ({exact:,} word for word,"
        f" {len(met.leaks) - exact:,} nearly) and were left out of every figure and of the decision;"
        f" {first.source} stands in {first.trained_source}, for one.",
    )


def _of_simpler(measures: Sequence[Measure], arm: str, last: str, confidence: float) -> Iterator[Warned]:
    called = {"linear": "A linear model", "majority": "Always giving the commonest label"}[arm]
    told = [
        (measure, meaning(measure.differences.get(arm), measure.better, confidence))
        for measure in measures
        if arm in measure.differences
    ]
    worse = [measure for measure, means in told if means == "worse"]
    if worse:
        yield Warned(
            "simpler", f"{called} beats the {last} one by {worse[0].name}: {_held_against(worse[0], arm, last)}."
        )
    elif told and all(means == "unclear" for _, means in told):
        measure = told[0][0]
        yield Warned(
            "simpler",
            f"{called} does as well as the {last} one, as far as these rows tell: by {measure.name},"
            f" {_held_against(measure, arm, last)}.",
        )


def _against_base(measures: Sequence[Measure], last: str, confidence: float) -> Iterator[Warned]:
    told = [
        (measure, meaning(measure.differences[REFERENCE], measure.better, confidence))
        for measure in measures
        if REFERENCE in measure.differences
    ]
    worse = [measure for measure, means in told if means == "worse"]
    for measure in worse:
        yield Warned("loss", f"Tuning made it worse by {measure.name}: {_held_against(measure, REFERENCE, last)}.")
    if told and not worse and all(means == "unclear" for _, means in told):
        measure = told[0][0]
        yield Warned(
            "noise",
            f"These rows do not show that tuning helped: by {measure.name}, {_held_against(measure, REFERENCE, last)}.",
        )


def _of_slices(comparison: Comparison, last: str) -> Iterator[Warned]:
    """A slice once, by the first metric that shows it; found ones may hold the same rows as others."""
    quality = [measure for measure in comparison.measures if not measure.unit]
    parts = [(measure, part) for measure in quality for part in measure.slices]
    if comparison.found is not None:
        of = next(measure for measure in comparison.measures if measure.name == comparison.found.metric)
        parts += [(of, part) for part in comparison.found.slices]
    seen: dict[str, tuple[float, str]] = {}
    for measure, part in parts:
        difference = part.differences.get(REFERENCE)
        if meaning(difference, measure.better, comparison.confidence) == "worse" and difference is not None:
            said = f"On {said_slice(part)} ({_rows(part.num_rows)}) tuning made it worse by {measure.name}: "
            said += _said_difference(part, difference, measure.unit, REFERENCE, last)
            seen.setdefault(said_slice(part), (-abs(difference.value or 0.0), said))
    ordered = sorted(seen.values())
    for place, (_, said) in enumerate(ordered[:MOST_SLICES]):
        more = len(ordered) - MOST_SLICES if place == MOST_SLICES - 1 else 0
        yield Warned(
            "slice", said + (f". So it is on {more} more {'slice' if more == 1 else 'slices'}." if more > 0 else ".")
        )


def _of_forgetting(verdict: Verdict) -> Iterator[Warned]:
    for target in verdict.targets:
        if target.metric.partition("(")[0] == "retention" and target.outcome == "missed":
            yield Warned(
                "forgetting", f"It lost abilities that it was to keep: {target.title} is missed, {target.why}."
            )


def _held_against(measure: Measure, arm: str, last: str) -> str:
    return _said_difference(measure, measure.differences[arm], measure.unit, arm, last)


def _said_difference(holder: Measure | SliceMeasure, difference: Difference, unit: str, arm: str, last: str) -> str:
    one, other = holder.arms[last].value, holder.arms[arm].value
    said = f"{last} {_known(one, unit)}, {arm} {_known(other, unit)}"
    low, high = difference.interval or (None, None)
    if low is not None and high is not None:
        said += f", a difference of {_signed(low)} to {_signed(high)}"
    return said


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "\N{MINUS SIGN}")


def _known(value: float | None, unit: str) -> str:
    return "nothing measured" if value is None else _figure(value, unit)
