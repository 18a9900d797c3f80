"""What a verdict must not be read without: warnings, and what would change each target's outcome.

Warnings come from fixed rules, the gravest first:

    contamination   test rows were trained on; they were left out, and with too few left nothing is decided
    unsought        test rows were not looked for in all that was trained on
    simpler         what costs less than tuning beats the tuned model, or is not told apart from it: a linear model, the
                    commonest label, the base asked with another prompt or with examples
    loss            the tuned model does worse than its base
    noise           by no metric that targets name (or the first one) is it shown to be better than its base
    slice           on a slice it is surely worse than its base
    forgetting      it surely lost abilities that it was to keep

"Worse" and "better" are those of `significance.meaning`: corrected for all that was looked at.

A tuned model that its base, or what costs less, beats by a metric that targets name, and that is better by none of
them, is not shipped, whatever its targets say: there is a better model, and it is there already.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from tunesmith.evaluate.arms import Arm
from tunesmith.evaluate.caveats.contamination import Contamination
from tunesmith.evaluate.comparison import Comparison, Difference, Measure, SliceMeasure
from tunesmith.evaluate.statistics.significance import Meaning, meaning
from tunesmith.evaluate.verdict import TargetResult, Verdict, Warned, said_figure
from tunesmith.evaluate.verdict.measures import said_rows

FEWEST_CLEAN = 30
"""Rows that were not trained on, below which nothing is decided where some were."""
REFERENCE = "base"
"""The arm that tuning set out from."""
CALLED = {
    "linear": "A linear model",
    "majority": "Always giving the commonest label",
    "prompt": "The base with another prompt",
    "few_shot": "The base with examples",
    "chain_of_thought": "The base that thinks aloud",
}
"""Simpler arms in words."""
FEWEST_IN_SLICE = 30
MOST_SLICES = 3
"""Slices that warnings name, the worst first; the rest are counted."""


def simpler_arms(arms: Iterable[Arm]) -> frozenset[str]:
    """Titles of the arms that a tuned model has to be worth more than: they ask no model, or the base in some way."""
    return frozenset(arm.title for arm in arms if arm.asks in ("", REFERENCE))


def weigh(
    verdict: Verdict, comparison: Comparison, met: Contamination | None = None, simpler: Collection[str] = ()
) -> Verdict:
    """The verdict with its warnings and with what would change it, and without leave to ship where one forbids that.

    Args:
        verdict: of the tuned arm, on the rows that were not trained on.
        comparison: of all arms, on the same rows; the tuned arm is its last.
        met: test rows that were trained on; None where nobody looked.
        simpler: arms that cost less than tuning, see `simpler_arms`.
    """
    if met is not None and met.leaks and met.num_clean < FEWEST_CLEAN:
        verdict = _held_back(verdict, met)
    targets = [replace(target, change=what_would_change(target, comparison)) for target in verdict.targets]
    warnings = list(_warnings(verdict, comparison, met, simpler))
    verdict = replace(verdict, targets=targets, warnings=warnings)
    forbids = next((warning for warning in warnings if warning.blocks), None)
    if verdict.decision != "SHIP" or forbids is None:
        return verdict
    return replace(verdict, decision="DON'T SHIP", reason=forbids.text, deciding=None)


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
    edge, rows = target.bound + ahead, said_rows(target.num_rows)
    at = f"{said_figure(edge, target.unit)} on {rows}"
    if target.outcome == "met":
        return (
            f"It is met down to about {at}; {said_figure(abs(value - edge), target.unit)} to spare."
            if ahead > 0
            else (f"It is met up to about {at}; {said_figure(abs(value - edge), target.unit)} to spare.")
        )
    # How far it is ahead of an arm has other ends than the metric.
    measure = None if target.over else _measure_of(target, comparison)
    if measure is not None and not measure.can_be(edge):
        told = [f"No value is enough on {rows}"]
    else:
        told = [
            f"About {at} would meet it, {said_figure(abs(edge - value), target.unit)} {'more' if ahead > 0 else 'less'}"
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
            here = f"{said_slice(part)} ({said_figure(mine.value, measure.unit)} on {said_rows(mine.num_rows)})"
            told, most = (
                f"were {here} as good as the rest, all would reach about {said_figure(rest, measure.unit)}",
                lift,
            )
    return told


def said_slice(part: SliceMeasure) -> str:
    """A slice in words."""
    return f"{part.column} {part.value!r}"


def _held_back(verdict: Verdict, met: Contamination) -> Verdict:
    why = (
        f"{len(met.ids):,} of {met.num_rows:,} test rows were trained on, and {said_rows(met.num_clean)} without them"
        f" are too few to decide by (at least {FEWEST_CLEAN})"
    )
    targets = [
        replace(
            target,
            outcome="undecided",
            more_rows=FEWEST_CLEAN - met.num_clean,
            why=target.why if why in target.why else f"{target.why}; {why}",
        )
        for target in verdict.targets
    ]
    if not targets:
        return verdict
    return replace(
        verdict, decision="DON'T SHIP", reason=f"{targets[0].title} is undecided: {why}", deciding=0, targets=targets
    )


def _warnings(
    verdict: Verdict, comparison: Comparison, met: Contamination | None, simpler: Collection[str]
) -> Iterator[Warned]:
    if met is not None and met.leaks:
        yield _of_contamination(met)
    if met is not None and met.unsought:
        where = f"the rows that {', '.join(met.unsought)} learned from"
        yield Warned("unsought", f"Test rows were not looked for among {where}; some may have been trained on.")
    named = {target.metric for target in verdict.targets}
    cheaper = [arm for arm in comparison.arms[:-1] if arm in simpler and arm != REFERENCE]
    yield from _of_simpler(comparison, cheaper, named)
    yield from _against_base(comparison, named)
    yield from _of_slices(comparison, comparison.arms[-1])
    yield from _of_forgetting(verdict)


def _quality(comparison: Comparison) -> list[Measure]:
    """What was measured but for time, by which cheaper arms always win."""
    return [measure for measure in comparison.measures if not measure.unit]


def _main(quality: list[Measure], named: Collection[str]) -> list[Measure]:
    """What targets name, or else the first metric."""
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


def _told(measures: Sequence[Measure], arm: str, confidence: float) -> list[tuple[Measure, Meaning]]:
    """What the last arm is to another, by each metric that both have."""
    return [
        (measure, meaning(measure.differences[arm], measure.better, confidence))
        for measure in measures
        if arm in measure.differences
    ]


def _beaten(told: Sequence[tuple[Measure, Meaning]], named: Collection[str]) -> bool:
    """Whether the last arm is worse by a metric that targets name, and better by none of them."""
    means = {means for measure, means in told if measure.name in named}
    return "worse" in means and "better" not in means


def _of_simpler(comparison: Comparison, arms: Sequence[str], named: Collection[str]) -> Iterator[Warned]:
    """Each arm that is better, then those that are as good, together."""
    last, ties = comparison.arms[-1], []
    measures = _main(_quality(comparison), named)
    for arm in arms:
        told = _told(measures, arm, comparison.confidence)
        worse = [measure for measure, means in told if means == "worse"]
        if worse:
            said = f"{_called(arm)} beats the {last} one by {worse[0].name}: {_held_against(worse[0], arm, last)}."
            yield Warned("simpler", said, _beaten(told, named))
        elif told and all(means == "unclear" for _, means in told):
            ties.append((arm, told[0][0]))
    if len(ties) == 1:
        ((arm, measure),) = ties
        yield Warned(
            "simpler",
            f"{_called(arm)} does as well as the {last} one, as far as these rows tell: by {measure.name},"
            f" {_held_against(measure, arm, last)}.",
        )
    elif ties:
        measure = ties[0][1]
        figures = ", ".join(f"{arm} {_known(held.arms[arm].value, held.unit)}" for arm, held in ties)
        yield Warned(
            "simpler",
            f"As far as these rows tell, {len(ties)} arms that cost less than tuning do as well: by {measure.name},"
            f" {last} {_known(measure.arms[last].value, measure.unit)}, {figures}.",
        )


def _called(arm: str) -> str:
    return CALLED.get(arm, f"The arm {arm!r}")


def _against_base(comparison: Comparison, named: Collection[str]) -> Iterator[Warned]:
    quality, last = _quality(comparison), comparison.arms[-1]
    told = _told(quality, REFERENCE, comparison.confidence)
    lost = [measure for measure, means in told if means == "worse"]
    for measure in sorted(lost, key=lambda measure: measure.name not in named):
        said = f"Tuning made it worse by {measure.name}: {_held_against(measure, REFERENCE, last)}."
        yield Warned("loss", said, measure.name in named and _beaten(told, named))
    told = _told(_main(quality, named), REFERENCE, comparison.confidence)
    if told and all(means == "unclear" for _, means in told):
        measure = told[0][0]
        yield Warned(
            "noise",
            f"These rows do not show that tuning helped: by {measure.name}, {_held_against(measure, REFERENCE, last)}.",
        )


def _of_slices(comparison: Comparison, last: str) -> Iterator[Warned]:
    """A slice once, by the first metric that shows it; found ones may hold the same rows as others."""
    parts = [(measure, part) for measure in _quality(comparison) for part in measure.slices]
    if comparison.found is not None:
        of = next(measure for measure in comparison.measures if measure.name == comparison.found.metric)
        parts += [(of, part) for part in comparison.found.slices]
    seen: dict[str, tuple[float, str]] = {}
    for measure, part in parts:
        difference = part.differences.get(REFERENCE)
        if meaning(difference, measure.better, comparison.confidence) == "worse" and difference is not None:
            said = f"On {said_slice(part)} ({said_rows(part.num_rows)}) tuning made it worse by {measure.name}: "
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
    if difference.corrected is not None:
        said += f" (p {_chance(difference.corrected)} among all that was compared)"
    return said


def _chance(p_value: float) -> str:
    return "below 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "\N{MINUS SIGN}")


def _known(value: float | None, unit: str) -> str:
    return "nothing measured" if value is None else said_figure(value, unit)
