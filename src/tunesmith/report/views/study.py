"""The page of a study: what won and why, how the search went, what mattered, every trial."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from tunesmith.report.charts import intervals
from tunesmith.report.charts.axes import Axis, padded
from tunesmith.report.charts.heat import LEVELS
from tunesmith.report.charts.parallel import Line, parallel
from tunesmith.report.charts.scatter import Dot, scatter
from tunesmith.report.evidence import Section
from tunesmith.report.format import NONE, count, counted, duration, figure, percent, short
from tunesmith.scale.spending import Spent
from tunesmith.search.importance import importance
from tunesmith.search.study import Aim, Dimension, Study, Trial, best, front

STATES = {"done": "met", "pruned": "none", "failed": "missed", "running": "undecided"}
"""State -> the colour of the page."""
WIDE = 50.0
"""Scores that lie so many times apart are drawn by their logarithm."""


def head(study: Study, took: Spent | None = None) -> dict[str, Any]:
    """What stands at the top: the winner, how far it lies from the spec as it is, and what the search took."""
    cost = []
    if took is not None and took.usd is not None:
        cost = [("Cost", f"{took.usd:,.2f} USD", f"{duration(took.seconds)} on the clock")]
    won, aim = best(study), study.aims[0]
    by_state = {state: sum(trial.state == state for trial in study.trials) for state in STATES}
    said = ", ".join(f"{number:,} {state}" for state, number in by_state.items() if number)
    return {
        "name": str(study),
        "byline": f"Search by {study.sampler}, pruned by {study.pruner}",
        "word": f"Trial {won.number}" if won else "No winner",
        "css": "met" if won else "undecided",
        "why": _why(study, won) if won else "No trial came to its end, so nothing can be said of which is best.",
        "facts": [
            (f"{aim.name} of the winner", figure(won.values[0], aim.unit) if won else NONE, "on the validation rows"),
            ("Trials", f"{len(study.trials):,} of {study.wanted:,}", said),
            ("Tokens trained on", short(sum(trial.tokens for trial in study.trials)), "in all trials"),
            ("Time", duration(sum(trial.seconds for trial in study.trials)), "of all trials, added up"),
            *cost,
        ],
    }


def _why(study: Study, won: Trial) -> str:
    """Why the winner is the winner, against the spec as it is, which is trial 0."""
    aim = study.aims[0]
    done = study.done
    word = "highest" if aim.direction == "maximize" else "lowest"
    said = f"It has the {word} {aim.name} of {counted(len(done), 'finished trial')}: {figure(won.values[0], aim.unit)}"
    first = next((trial for trial in done if trial.number == 0), None)
    if won.number == 0:
        return f"{said}. It is the spec as it is: nothing that was tried is better."
    if first is None:
        return f"{said}. The spec as it is (trial 0) did not finish, so nothing can be said against it."
    gap = won.values[0] - first.values[0]
    side = "above" if gap > 0 else "below"
    if gap == 0:
        return f"{said}, the same as the spec as it is (trial 0)."
    return (
        f"{said}, {figure(abs(gap), aim.unit)} {side} the spec as it is (trial 0, {figure(first.values[0], aim.unit)})."
    )


def winner(study: Study, spec: str | None) -> Section:
    """What the winner is, value by value, beside the spec as it is."""
    won, first = best(study), next((trial for trial in study.trials if trial.number == 0), None)
    rows = [
        {
            "path": dimension.path,
            "won": said(won.params.get(dimension.path)) if won else NONE,
            "first": said(first.params.get(dimension.path), "derived by the rules") if first else NONE,
            "range": range_of(dimension),
            "why": dimension.why,
        }
        for dimension in study.dimensions
    ]
    return Section(
        "winner", "The winner", "Winner", {"rows": rows, "number": won.number if won else None, "spec": spec}
    )


def course(study: Study) -> Section:
    """The best figure so far over the tokens that all trials took."""
    aim, spent, best_so_far = study.aims[0], 0, None
    dots, stairs = [], []
    up = _score_axis(aim, study.trials)
    won = best(study)
    for trial in study.trials:
        spent += trial.tokens
        if not _drawn(trial):
            continue
        score = trial.values[0]
        if trial.state == "done" and (best_so_far is None or aim.gain(score, best_so_far) > 0):
            best_so_far = score
            stairs.append((float(spent), score))
        dots.append(Dot(float(spent), score, _spoken(trial, aim), *_look(trial, won)))
    if stairs:
        stairs.append((float(spent), stairs[-1][1]))
    title = f"Best {aim.name} by tokens trained on"
    if stairs:
        title += f": from {figure(stairs[0][1], aim.unit)} to {figure(stairs[-1][1], aim.unit)}"
    across = Axis("tokens trained on, all trials added up", 0.0, float(max(spent, 1)))
    content = {
        "chart": scatter(dots, across=across, up=up, title=title, stairs=stairs),
        "aim": aim.name,
        "pruned": sum(trial.state == "pruned" for trial in study.trials),
    }
    return Section("course", "How the search went", "Course", content)


def space(study: Study) -> Section | None:
    """Every trial as a line over all dimensions, and each dimension by itself."""
    trials = [trial for trial in study.trials if _drawn(trial)]
    if not trials or not study.dimensions:
        return None
    aim, won = study.aims[0], best(study)
    up = _score_axis(aim, study.trials)
    axes = [_axis_of(dimension, trials) for dimension in study.dimensions]
    shade = _shades(aim, trials)
    # The best last, so that nothing lies over it.
    lines = [
        Line((*(_place(d, trial) for d in study.dimensions), trial.values[0]), _spoken(trial, aim), css)
        for trial in sorted(trials, key=lambda trial: trial.values[0], reverse=aim.direction == "minimize")
        for css in [_line_css(trial, won, shade)]
    ]
    lines.sort(key=lambda line: line.css.endswith(" c"))
    names = ", ".join(dimension.path for dimension in study.dimensions)
    title = f"{counted(len(trials), 'trial')} over {names} and {aim.name}; the table of trials has every value"
    slices = [
        {
            "path": dimension.path,
            "chart": scatter(
                [
                    Dot(place, trial.values[0], _spoken(trial, aim), *_look(trial, won))
                    for trial in trials
                    if (place := _place(dimension, trial)) is not None
                ],
                across=axis,
                up=up,
                title=f"{aim.name} over {dimension.path}",
            ),
        }
        for dimension, axis in zip(study.dimensions, axes, strict=True)
    ]
    content = {"parallel": parallel(lines, [*axes, up], title=title), "slices": slices, "aim": aim.name}
    return Section("space", "What was tried", "Tried", content)


def mattered(study: Study) -> Section:
    """How much of the differences between trials each dimension explains, or why that cannot be said."""
    found = importance(study)
    if isinstance(found, str):
        return Section("importance", "What mattered", "Mattered", missing=found)
    ordered = sorted(found.items(), key=lambda item: -item[1][0])
    rows = [
        {
            "path": path,
            "value": percent(value),
            "interval": f"{percent(low)} to {percent(high)}",
            "chart": intervals.row(
                [intervals.Mark(value, (low, high))],
                span=(0.0, 1.0),
                title=f"{path}: {percent(value)}, {percent(low)} to {percent(high)}",
            ),
        }
        for path, (value, low, high) in ordered
    ]
    return Section("importance", "What mattered", "Mattered", {"rows": rows, "aim": study.aims[0].name})


def pareto(study: Study) -> Section | None:
    """The trials that no other beats in every aim; None where there is one aim."""
    if len(study.aims) < 2:
        return None
    on_front = front(study)
    done = study.done
    first, others = study.aims[0], list(enumerate(study.aims))[1:]
    charts, looks = [], {True: ("c", 4.5), False: ("b", 3.5)}
    for place, aim in others:
        across, up = _aim_axis(aim, done, place), _aim_axis(first, done, 0)
        dots = [
            Dot(trial.values[place], trial.values[0], _spoken(trial, *study.aims), *looks[trial.number in on_front])
            for trial in sorted(done, key=lambda trial: trial.number in on_front)
        ]
        charts.append(
            {
                "caption": f"{first.name} against {aim.name}",
                "chart": scatter(dots, across=across, up=up, title=f"{first.name} over {aim.name}, the front marked"),
            }
        )
    table = [
        {
            "number": trial.number,
            "cells": [figure(value, aim.unit) for aim, value in zip(study.aims, trial.values, strict=True)],
        }
        for trial in sorted(done, key=lambda trial: trial.values[0], reverse=first.direction == "maximize")
        if trial.number in on_front
    ]
    aims = [f"{aim.name} ({'higher' if aim.direction == 'maximize' else 'lower'} is better)" for aim in study.aims]
    return Section("front", "Several aims at once", "Aims", {"charts": charts, "rows": table, "aims": aims})


def table(study: Study) -> Section:
    """Every trial, best first."""
    aim, won = study.aims[0], best(study)
    ordered = sorted(study.trials, key=lambda trial: (trial.state != "done", not trial.values, _cost(aim, trial)))
    rows = [
        {
            "number": trial.number,
            "won": won is not None and trial.number == won.number,
            "css": STATES[trial.state],
            "state": trial.state,
            "values": [figure(value, one.unit) for one, value in zip(study.aims, trial.values, strict=False)]
            + [NONE] * (len(study.aims) - len(trial.values)),
            "params": [said(trial.params.get(dimension.path)) for dimension in study.dimensions],
            "origin": trial.origin,
            "said": trial.said,
            "seconds": duration(trial.seconds),
            "tokens": count(trial.tokens),
        }
        for trial in ordered
    ]
    content = {"rows": rows, "aims": [one.name for one in study.aims], "paths": [d.path for d in study.dimensions]}
    return Section("trials", "Every trial", "Trials", content)


def said(value: Any, unsaid: str = NONE) -> str:
    """A value as one would write it in a spec; `unsaid` where it is left open."""
    if value is None:
        return unsaid
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def range_of(dimension: Dimension) -> str:
    """What a dimension may be."""
    if dimension.kind == "choice":
        return ", ".join(said(choice) for choice in dimension.choices)
    return f"{said(dimension.low)} to {said(dimension.high)}{', by its logarithm' if dimension.log else ''}"


def _drawn(trial: Trial) -> bool:
    return bool(trial.values) and trial.state in ("done", "pruned") and math.isfinite(trial.values[0])


def _cost(aim: Aim, trial: Trial) -> float:
    if not trial.values or not math.isfinite(trial.values[0]):
        return math.inf
    return -aim.gain(trial.values[0], 0.0)


def _spoken(trial: Trial, *aims: Aim) -> str:
    figures = ", ".join(f"{aim.name} {figure(value, aim.unit)}" for aim, value in zip(aims, trial.values, strict=False))
    params = ", ".join(f"{path.rpartition('.')[2]} {said(value)}" for path, value in trial.params.items())
    return f"trial {trial.number} ({trial.state}): {figures}; {params}"


def _look(trial: Trial, won: Trial | None) -> tuple[str, float]:
    """(css, size) of a trial's dot."""
    if trial.state == "pruned":
        return "ghost", 3.0
    return ("c", 5.0) if won is not None and trial.number == won.number else ("a", 3.5)


def _line_css(trial: Trial, won: Trial | None, shade: Callable[[Trial], int]) -> str:
    if won is not None and trial.number == won.number:
        return "line c"
    return f"line thread {'b dashed' if trial.state == 'pruned' else 'a'} l{shade(trial)}"


def _shades(aim: Aim, trials: Sequence[Trial]) -> Callable[[Trial], int]:
    """From the worst, pale, to the best, full, by rank: one far-off figure does not make all others alike."""
    ordered = sorted(trials, key=lambda trial: -_cost(aim, trial))
    places = {trial.number: place for place, trial in enumerate(ordered)}
    most = max(1, len(trials) - 1)
    return lambda trial: 1 + round(places[trial.number] / most * (LEVELS - 2))


def _score_axis(aim: Aim, trials: Sequence[Trial]) -> Axis:
    return _aim_axis(aim, [trial for trial in trials if _drawn(trial)], 0)


def _aim_axis(aim: Aim, trials: Sequence[Trial], place: int) -> Axis:
    values = [trial.values[place] for trial in trials]
    name = f"{aim.name} ({aim.unit})" if aim.unit else aim.name
    log = bool(values) and min(values) > 0 and max(values) > WIDE * min(values)
    low, high = (min(values) * 0.8, max(values) * 1.25) if log else padded(values)
    return Axis(name, low, high, log=log)


def _axis_of(dimension: Dimension, trials: Sequence[Trial]) -> Axis:
    """The axis of a dimension; a value outside its range, which the spec as it is may have, widens it."""
    if dimension.kind == "choice":
        return Axis.of_names(dimension.path, _names(dimension, trials))
    numbers = [float(value) for trial in trials if isinstance(value := trial.params.get(dimension.path), (int, float))]
    bounds = [bound for bound in (dimension.low, dimension.high) if bound is not None]
    low, high = min(numbers + bounds), max(numbers + bounds)
    return Axis(dimension.path, low, high, log=dimension.log and low > 0)


def _names(dimension: Dimension, trials: Sequence[Trial]) -> list[str]:
    also = [said(trial.params[dimension.path]) for trial in trials if dimension.path in trial.params]
    return list(dict.fromkeys([*map(said, dimension.choices), *also]))


def _place(dimension: Dimension, trial: Trial) -> float | None:
    value = trial.params.get(dimension.path)
    if value is None:
        return None
    if dimension.kind == "choice":
        names = _names(dimension, [trial])
        return float(names.index(said(value)))
    return float(value) if isinstance(value, (int, float)) else None
