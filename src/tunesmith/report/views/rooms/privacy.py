"""What the tuned model gives away of its training rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from markupsafe import Markup

from tunesmith.evaluate.privacy import Asked, Exposed, Extraction, Membership, Privacy
from tunesmith.report.charts import intervals
from tunesmith.report.evidence import Evidence, Section
from tunesmith.report.format import counted, figure, interval, percent

ATTACKS = {
    "loss": "by the loss",
    "calibrated": "by the loss less the base's",
    "min_k": "by the least likely tokens",
}
WAYS = {"membership": "membership", "exposure": "planted secrets", "extraction": "recitation"}
CSS = {"found": "missed", "nothing found": "met", "too small to tell": "undecided", "": ""}


class Row(NamedTuple):
    """One line of the table."""

    name: str
    below: str
    value: str
    range: str
    bound: str
    """What a model that learned nothing by heart stays below."""
    found: str
    """Empty for a figure beside the test."""
    drawing: Markup | str = ""


def view(evidence: Evidence) -> Section | None:
    """The chapter on privacy; None where nothing was looked for and nothing promised."""
    found, promise = evidence.privacy, promised(evidence)
    if found is None:
        return Section("privacy", "Privacy", "Privacy", {"promise": promise, "rows": []}) if promise else None
    content = {
        "promise": promise,
        "says": says(found),
        "rows": [(row, CSS[row.found]) for row in rows(found)],
        "axis": intervals.axis(_SPAN),
        "named": named(found),
        "notes": [*_alike(found), *found.notes],
        "alarm": percent(1 - found.confidence, 0),
        "tests": found.tests,
    }
    return Section("privacy", "Privacy", "Privacy", content)


def promised(evidence: Evidence) -> str:
    """What a private training promises, in a sentence; empty where none was."""
    stages = (evidence.lineage.get("stages") or {}).values()
    found = [stage["private"] for stage in stages if isinstance(stage, dict) and stage.get("private")]
    if not found:
        return ""
    one = found[-1]
    return (
        f"Trained with differential privacy: epsilon {one['epsilon']:.3g} at delta {one['delta']:.2g} for every single"
        f" training row (gradients of a row up to {one['clip']:g}, noise of {one['noise']:.3g} times that,"
        f" {percent(one['rate'])} of the rows in each of {counted(one['steps'], 'step')}). Rows that one person wrote"
        " together show by more, and what chose the settings is not counted."
    )


def says(found: Privacy) -> str:
    """What was found, in a sentence or two."""
    findings = found.findings
    if not findings:
        return "Nothing could be looked for."
    by_finding = {
        finding: [WAYS[name] for name, each in findings.items() if each == finding] for finding in findings.values()
    }
    parts = []
    if leaks := by_finding.get("found"):
        parts.append(f"The model gives training rows away: {_listed(leaks)}.")
    if clean := by_finding.get("nothing found"):
        parts.append(f"Nothing beyond chance was found by {_listed(clean)}, which does not show that nothing is there.")
    if small := by_finding.get("too small to tell"):
        parts.append(f"Too small to tell: {_listed(small)}.")
    return " ".join(parts)


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def rows(found: Privacy) -> list[Row]:
    """The figures, one line each."""
    return [
        *(_membership(found.membership) if found.membership else ()),
        *(_exposure(found.exposure) if found.exposure else ()),
        *(_extraction(found.extraction) if found.extraction else ()),
    ]


def named(found: Privacy) -> list[tuple[str, list[str]]]:
    """(what, rows) that give themselves away."""
    listed = []
    if found.membership and found.membership.likeliest:
        listed.append(("Rows that the strongest attack is surest of", found.membership.likeliest))
    if found.extraction and found.extraction.sources:
        listed.append(("Rows recited, or whose personal data were said", found.extraction.sources))
    return listed


_SPAN = (0.4, 1.0)


def _membership(found: Membership) -> Iterator[Row]:
    of = f"{counted(found.members, 'training row')}, {found.held_out:,} held out"
    for attack in found.attacks:
        name = f"Membership, {ATTACKS[attack.name]}"
        mark = intervals.Mark(attack.auc, attack.interval, "b" if attack.found else "a")
        drawing = intervals.row([mark], span=_SPAN, bound=attack.bound, title=f"AUC {figure(attack.auc)}")
        told = "found" if attack.found else "nothing found"
        yield Row(
            name, f"AUC, {of}", figure(attack.auc), interval(attack.interval), figure(attack.bound), told, drawing
        )
        share, range_ = percent(attack.tpr), _shares(attack.tpr_interval)
        yield Row("", "training rows recognised at 1% false alarms", share, range_, percent(attack.tpr_bound), "")
    if not found.attacks:
        yield Row("Membership", of, figure(None), "", "", found.finding)


def _exposure(found: Exposed) -> Iterator[Row]:
    below = f"mean bits of at most {figure(found.highest)}, {counted(found.canaries, 'canary', 'canaries')}"
    below += f" in {found.copies:g} rows each"
    yield Row("Exposure", below, figure(found.mean), interval(found.interval), figure(found.bound), found.finding)


def _extraction(found: Extraction) -> Iterator[Row]:
    below = f"{found.recited} tokens after {found.shown}, of {counted(found.trained.rows, 'row')}"
    others = _rate(found.held_out)
    recited = found.chance is not None and found.chance <= found.level
    told = "found" if recited else "nothing found" if found.chance is not None else "too small to tell"
    yield Row("Rows recited", below, _rate(found.trained), _shares(found.interval), f"{others} of rows held out", told)
    for kind, asked in found.personal.items():
        said = "found" if asked.said else "nothing found"
        yield Row(f"Personal data: {kind}", f"{asked.said} of {asked.rows} said", _rate(asked), "", "none", said)


def _rate(asked: Asked) -> str:
    return percent(asked.rate)


def _shares(bounds: tuple[float, float] | None) -> str:
    return f"{percent(bounds[0])} to {percent(bounds[1])}" if bounds else ""


def _alike(found: Privacy) -> Iterator[str]:
    membership = found.membership
    if membership is None:
        return
    if membership.near_copies:
        near = counted(membership.near_copies, "row")
        yield f"{near} with a near copy on the other side of the split were left out of the attack on membership."
    if not membership.alike:
        yield (
            f"Words alone tell training rows from held-out rows (AUC {figure(membership.words_auc)}), so membership"
            " says nothing about the model. Let chance divide them: a split by time or by group, or a source fixed to"
            " one split, makes rows that differ."
        )
    elif membership.detectable is not None:
        yield f"With so many rows an AUC of {figure(membership.detectable)} would be found in 4 of 5 cases."
