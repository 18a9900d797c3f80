"""How the training went: curves, what was kept, what stopped it."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from tunesmith.report.charts import lines
from tunesmith.report.charts.axes import Axis, padded
from tunesmith.report.charts.scatter import Dot, scatter
from tunesmith.report.evidence import Evidence, Section, number
from tunesmith.report.format import count, counted, figure, percent

Points = list[tuple[float, float]]
Span = tuple[float, float]
TOLD = ("note", "diagnosis")
"""Events whose sentences are shown; a resumed run may say one again."""


def view(evidence: Evidence) -> Section:
    """The chapter on training, one group of curves a stage."""
    steps = evidence.events_of("step")
    if not steps:
        return Section("training", "Training", "Training", missing=_why_no_steps(evidence))
    stages = list(dict.fromkeys(event.get("stage", "train") for event in steps))
    told = {kind: list(dict.fromkeys(str(event["text"]) for event in evidence.events_of(kind))) for kind in TOLD}
    return Section(
        "training",
        "Training",
        "Training",
        {
            "stages": [_stage(evidence, stage) for stage in stages],
            "found": [_found(number, found) for number, found in evidence.found.items()],
            "notes": told["note"],
            "diagnoses": told["diagnosis"],
        },
    )


def _found(number: int, found: dict[str, Any]) -> dict[str, Any]:
    """What was looked for before a stage, in words and pictures."""
    rate, batch = found["rate"], found["batch"]
    return {
        "name": f"train-{number + 1}",
        "says": [part["says"] for part in (rate, batch) if part],
        "cost": f"Looking took {count(found['spent'])} tokens, {percent(found['spent'] / max(1, found['planned']))} of "
        f"the {count(found['planned'])} that the training was to read.",
        "rates": _rates(rate) if rate.get("probes") else None,
        "tried": [
            (f"{count(each['size'])} {batch['unit']}", each["tokens"] / each["seconds"] if each["fits"] else None)
            for each in batch.get("tried") or ()
        ],
    }


def _rates(rate: dict[str, Any]) -> Markup:
    """The loss of each rate that was tried, of rows it had not learned; hollow where it diverged."""
    steps = rate["steps"]
    held = {probe["lr"]: [number(loss) for loss in probe["held"]] for probe in rate["probes"]}
    means = {lr: sum(losses) / len(losses) for lr, losses in held.items() if losses}
    shown = {lr: mean for lr, mean in means.items() if math.isfinite(mean)}
    low, high = padded(list(shown.values()), 0.15)
    dots = [
        Dot(lr, shown.get(lr, high), f"lr {lr:g}: {f'loss {figure(shown[lr])}' if lr in shown else 'diverged'}",
            "ghost" if lr not in shown else "c" if lr == rate["lr"] else "a", 5.0 if lr == rate["lr"] else 3.5)
        for lr in held
    ]  # fmt: skip
    across = Axis("learning rate", min(held) * 0.8, max(held) * 1.25, log=True)
    title = f"Loss after {steps} steps by learning rate: {'; '.join(dot.says for dot in dots)}"
    return scatter(dots, across=across, up=Axis("loss", low, high), title=title)


def _why_no_steps(evidence: Evidence) -> str:
    for event in evidence.events_of("stage"):
        if event.get("status") == "borrowed" and str(event["stage"]).startswith("train"):
            lender = event.get("run", "an earlier one")
            return f"The training was done before with the same inputs; its curves are in the report of run {lender}."
    return "No training step was recorded in this run."


def _stage(evidence: Evidence, name: str) -> dict[str, Any]:
    steps = [event for event in evidence.events_of("step") if event.get("stage", "train") == name]
    checks = [event for event in evidence.events_of("validation") if event.get("stage", "train") == name]
    best = kept_step(checks)
    losses = _points(steps, "loss")
    seen = _validated(checks)
    axis = (float(steps[0]["step"]), float(steps[-1]["step"]))
    return {
        "name": name,
        "says": _says(steps, losses, checks, best),
        "loss": _loss(losses, seen.pop("loss", []), best, axis),
        "panels": [*_measured(seen, best, axis), *_health(steps, axis)],
    }


def kept_step(checks: list[dict[str, Any]]) -> float | None:
    """The step whose checkpoint was kept: the last validation that was the best so far."""
    best = [event["step"] for event in checks if event.get("best")]
    return best[-1] if best else None


def _points(steps: list[dict[str, Any]], key: str) -> Points:
    return [(float(event["step"]), number(event[key])) for event in steps if event.get(key) is not None]


def _validated(checks: list[dict[str, Any]]) -> dict[str, Points]:
    figures: dict[str, Points] = {}
    for event in checks:
        for metric, value in (event.get("figures") or {}).items():
            figures.setdefault(metric, []).append((float(event["step"]), number(value)))
    return figures


def speed(steps: list[dict[str, Any]]) -> Points:
    """(step, tokens a second) from one told step to the next; events count tokens and seconds from the start."""
    told = [(float(e["step"]), number(e.get("tokens_seen")), number(e.get("seconds"))) for e in steps]
    return [(step, (b - a) / (t - s)) for (_, a, s), (step, b, t) in pairwise(told) if t > s and b > a]


def _says(steps: list[dict[str, Any]], losses: Points, checks: list[dict[str, Any]], best: float | None) -> str:
    last = steps[-1]
    finite = [loss for _, loss in losses if math.isfinite(loss)]
    parts = []
    if finite:
        parts.append(f"The training loss went from {figure(finite[0])} to {figure(finite[-1])} in")
    else:
        parts.append("Trained for")
    parts.append(counted(int(last["step"]), "step"))
    if last.get("epoch") is not None:
        parts.append(f"({number(last['epoch']):.3g} epochs)")
    said = " ".join(parts) + "."
    planned = last.get("total_steps")
    if planned and last["step"] < planned:
        said += f" {counted(int(planned), 'step')} were planned; it ended earlier."
    if best is not None:
        kept = next(event for event in reversed(checks) if event["step"] == best).get("figures") or {}
        figures = f" (validation loss {figure(number(kept['loss']))})" if "loss" in kept else ""
        said += f" The checkpoint of step {best:,.0f}{figures} was the best on the validation rows and was kept."
    return said


def _loss(train: Points, validation: Points, best: float | None, axis: Span) -> Markup:
    series = [lines.Series("training loss", train, "a")]
    if validation:
        series.append(lines.Series("validation loss", validation, "c", dots=True))
    return lines.panel(series, title="Loss by step", steps=axis, best=best, log=True)


def _measured(figures: dict[str, Points], best: float | None, axis: Span) -> list[dict[str, Any]]:
    return [
        {
            "caption": f"{metric} on the validation rows",
            "chart": lines.panel(
                [lines.Series(metric, points, "c", dots=True)], title=f"{metric} by step", steps=axis, best=best
            ),
        }
        for metric, points in figures.items()
    ]


def _health(steps: list[dict[str, Any]], axis: Span) -> list[dict[str, Any]]:
    panels = []
    speeds = speed(steps)
    if speeds:
        chart = lines.panel(
            [lines.Series("tokens/s", speeds, "b")], title="Tokens a second by step", steps=axis, zero=True
        )
        panels.append({"caption": "Tokens a second", "chart": chart})
    for key, caption, log in (
        ("lr", "Learning rate", False),
        ("grad_norm", "Gradient norm before clipping", True),
    ):
        points = _points(steps, key)
        if points:
            chart = lines.panel(
                [lines.Series(caption, points, "b")], title=f"{caption} by step", steps=axis, log=log, zero=True
            )
            panels.append({"caption": caption, "chart": chart})
    return panels
