"""`card.md`: the Hugging Face model card of a run, made from its files.

Markdown has no autoescape of its own, so every value that the template prints is escaped: a label or a
file name can form neither a link, nor a table cell, nor HTML.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tunesmith.evaluate.comparison import Comparison, Measure, SliceMeasure
from tunesmith.report import format as write
from tunesmith.report.evidence import Evidence
from tunesmith.report.metadata import adapter_kind, kind_of, metadata, pipeline_tag, stages, task
from tunesmith.report.views import cost, slices, verdict
from tunesmith.report.views.comparison import difference_cell, estimate_cell, folded, says
from tunesmith.report.views.provenance import leaves
from tunesmith.report.views.rooms import explain, fairness, privacy, robustness
from tunesmith.runs import Run

SPECIAL = re.compile(r"([\\`*_\[\]|~&$<>@]|^[#+-](?=[ #+-])|:(?=//)|(?<=www)\.)")
"""What Markdown, GitHub's links of bare addresses and the hub's formulas would take for their own."""
SLICES = 12
"""The most slices listed, worst first."""


def card(run: Run) -> str:
    """The model card of a run: YAML metadata, then sections in Markdown.

    Args:
        run: the run folder; what it lacks is left out with a sentence saying so.
    """
    evidence = Evidence(run)
    body = _templates().get_template("card.md.j2").render(**_content(evidence))
    text = f"---\n{metadata(evidence).to_yaml()}\n---\n\n{body.strip()}\n"
    return text.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair cannot be written


def escaped(value: Any) -> Markup:
    """A value as Markdown text on one line; what a macro of the template made is that already."""
    return value if isinstance(value, Markup) else Markup(SPECIAL.sub(r"\\\1", re.sub(r"\s+", " ", str(value))))


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("tunesmith.report"),
        finalize=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,  # marks what macros make as done; `finalize` turns every other value into Markdown
    )
    environment.filters.update(count=write.count, counted=write.counted)
    return environment


def _content(evidence: Evidence) -> dict[str, Any]:
    found, decided = evidence.comparison, evidence.verdict
    return {
        "run": str(evidence.run),
        "name": evidence.run.name,
        "task": task(evidence) or "",
        "adapter": adapter_kind(evidence) or "",
        "base": str((evidence.lineage.get("base") or {}).get("reference") or "A language model"),
        "verdict": None if decided is None else {"word": decided.decision, "why": verdict.sentence(decided.reason)},
        "warnings": [] if decided is None else [warning.text for warning in decided.warnings],
        "targets": [
            (verdict.target_name(t), verdict.bound_of(t), write.figure(t.value, t.unit), verdict.limit_of(t), t.outcome)
            for t in (decided.targets if decided else [])
        ],
        "said": {"intended_use": None, "out_of_scope": None, **(evidence.spec.get("card") or {})},
        "labels": list(_labels(evidence)),
        "data": _data(evidence),
        "stages": [_stage(stage, number) for number, stage in enumerate(stages(evidence), 1)],
        "prompt": _prompt(evidence),
        "evaluation": None if found is None else _evaluation(found),
        "no_evaluation": evidence.why_no_evaluation(),
        "robustness": robustness.of_card(evidence.robustness),
        "weak": None if found is None else _weak(found),
        "privacy": _privacy(evidence),
        "unmeasured": _unmeasured(evidence),
        "groups": list(fairness.says(evidence.fairness)) if evidence.fairness else [],
        "reasons": explain.lines(evidence.explanation),
        "cost": cost.facts(evidence),
        "took": write.duration(sum(stage["seconds"] or 0.0 for stage in cost.stage_times(evidence))),
        "tunesmith": str(evidence.environment.get("tunesmith", "")),
        "packages": sorted((evidence.environment.get("packages") or {}).items()),
    }


def _prompt(evidence: Evidence) -> list[tuple[str, str]]:
    """How the model is to be asked; a head of ours reads texts as they are."""
    asked = pipeline_tag(evidence) not in ("text-classification", "token-classification")
    return [(path, str(value)) for path, value in leaves(evidence.spec.get("prompt") or {}) if value and asked]


def _unmeasured(evidence: Evidence) -> str:
    """What nobody looked at, as the beginning of a sentence."""
    looked = {"bias": evidence.fairness, "privacy": evidence.privacy, "misuse": None}
    *names, last = [name for name, found in looked.items() if found is None]
    return f"{', '.join(names)} and {last} were".capitalize() if names else f"{last} was".capitalize()


def _privacy(evidence: Evidence) -> dict[str, Any] | None:
    found, promise = evidence.privacy, privacy.promised(evidence)
    if found is None:
        return {"promise": promise, "says": "", "rows": [], "alarm": ""} if promise else None
    rows = [
        (
            f"{row.name or 'and'}: {row.below}",
            f"{row.value} ({row.range})" if row.range else row.value,
            row.bound,
            row.found,
        )
        for row in privacy.rows(found)
    ]
    return {
        "promise": promise,
        "says": privacy.says(found),
        "rows": rows,
        "alarm": write.percent(1 - found.confidence, 0),
    }


def _labels(evidence: Evidence) -> dict[str, int]:
    train = (evidence.ledger.get("splits") or {}).get("train") or {}
    return train.get("labels") or {}


def _data(evidence: Evidence) -> dict[str, Any] | None:
    ledger = evidence.ledger
    if not ledger:
        return None
    licences = (evidence.spec.get("card") or {}).get("licences") or {}
    digests = {str(entry.get("path")): str(entry.get("sha256", "")) for entry in evidence.lineage.get("data") or []}
    return {
        "sources": [
            (
                source["path"],
                source["format"],
                source["read"],
                source["kept"],
                licences.get(source["path"], "not said"),
                digests.get(source["path"], "")[:16],
            )
            for source in ledger["sources"]
        ],
        "rows": ledger["rows"],
        "dropped": [(entry["step"], entry["reason"], entry["count"]) for entry in ledger["dropped"]],
        "splits": [(name, split["rows"]) for name, split in ledger["splits"].items()],
        "steps": [kind_of(step) for step in (evidence.spec.get("data") or {}).get("steps") or []],
    }


def _stage(stage: dict[str, Any], number: int) -> dict[str, Any]:
    settings = [(path.removesuffix(".kind"), str(value)) for path, value in leaves(stage) if value is not None]
    return {"number": number, "settings": settings}


def _evaluation(found: Comparison) -> dict[str, Any]:
    return {
        "says": says(found),
        "arms": found.arms,
        "paired": len(found.arms) > 1,
        "num_rows": found.num_rows,
        "folded": folded(found),
        "confidence": write.percent(found.confidence, 0),
        "rows": [
            (
                measure.name,
                [_cell(measure, measure.arms, arm) for arm in found.arms],
                [_difference(found, measure, measure, arm) for arm in found.arms[:-1]],
            )
            for measure in found.measures
        ],
        "others": found.arms[:-1],
        "last": found.arms[-1],
        "slices": _slices(found),
    }


def _cell(measure: Measure, arms: dict[str, Any], arm: str) -> str:
    cell = estimate_cell(arms.get(arm), measure.unit)
    return f"{cell['value']} ({cell['interval']})" if cell["interval"] else cell["value"]


def _difference(found: Comparison, measure: Measure, entry: Measure | SliceMeasure, arm: str) -> str:
    cell = difference_cell(entry.differences.get(arm), measure.better, measure.unit, found.confidence)
    return f"{cell['value']} ({cell['interval']})" if cell["interval"] else str(cell["value"])


def _slices(found: Comparison) -> dict[str, Any] | None:
    """The first metric by slice."""
    measure = next((measure for measure in found.measures if measure.slices), None)
    if measure is None:
        return None
    ordered = slices.worst_first(found, measure)
    return {
        "metric": measure.name,
        "rows": [
            (
                f"{entry.column}: {entry.value}",
                entry.num_rows,
                [_cell(measure, entry.arms, arm) for arm in found.arms],
            )
            for entry in ordered[:SLICES]
        ],
        "left_out": max(0, len(ordered) - SLICES),
    }


def _weak(found: Comparison) -> str:
    """Where it does worst, as far as slices tell."""
    measure = next((measure for measure in found.measures if measure.slices), None)
    return "" if measure is None else slices.says(found, measure, slices.worst_first(found, measure))
