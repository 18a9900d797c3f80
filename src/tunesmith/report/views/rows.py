"""Single rows worth reading: what tuning broke, what it still gets wrong, what it mended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any

from markupsafe import Markup, escape

from tunesmith.evaluate.comparison import Case, Cases, Comparison
from tunesmith.records import Prediction
from tunesmith.report.evidence import Evidence, Section
from tunesmith.report.format import excerpt, figure, percent

TEXT = 700
SAID = 400
WORD = re.compile(r"\s+|\w+|[^\w\s]")
"""What answers are compared by: blanks, words, and every other character by itself."""


def view(evidence: Evidence) -> Section:
    """The chapter on single rows."""
    title, short = "Rows to read", "Rows"
    found = evidence.comparison
    if found is None:
        return Section("rows", title, short, missing=evidence.why_no_evaluation())
    if found.cases is None:
        return Section("rows", title, short, missing="No metric of this run scores rows one by one.")
    return Section("rows", title, short, content(found, found.cases, evidence.tuned))


def content(found: Comparison, cases: Cases, tuned: Mapping[str, Prediction]) -> dict[str, Any]:
    """What the chapter's template shows.

    Args:
        found: the comparison.
        cases: its rows worth reading.
        tuned: the last arm's predictions by record id, where they are at hand.
    """
    first, last = found.arms[0], found.arms[-1]
    worst = f"Where {last} does worst"
    if cases.worst and all(_right(found, case, last) for case in cases.worst):
        worst = f"Where {last} is right, but least sure"
    groups = [(worst, cases.worst)]
    if first != last:
        groups = [
            (f"Worse than {first}: what tuning broke" if last == "tuned" else f"Worse than {first}", cases.regressed),
            *groups,
            (f"Better than {first}", cases.improved),
        ]
    groups.append((f"Where {last} does best", cases.best))
    return {
        "metric": cases.metric,
        "last": last,
        "tagged": any(prediction.spans is not None for prediction in tuned.values()),
        "groups": [
            {"title": name, "rows": [_row(found, case, tuned.get(case.id)) for case in chosen], "open": place < 2}
            for place, (name, chosen) in enumerate((name, chosen) for name, chosen in groups if chosen)
        ],
    }


def _row(found: Comparison, case: Case, tuned: Prediction | None) -> dict[str, Any]:
    tagged = tuned is not None and tuned.spans is not None
    return {
        "text": marked(tuned) if tuned is not None and tagged else excerpt(case.prompt, TEXT),
        "expected": excerpt(case.expected, SAID),
        "said": [_said(found, case, arm, tuned) for arm in reversed(found.arms)],
        "change": changed(case.expected[:SAID], case.outputs.get(found.arms[-1], "")[:SAID]),
        "source": case.source,
        "slices": ", ".join(f"{name}: {value}" for name, value in case.slices.items()),
    }


def _said(found: Comparison, case: Case, arm: str, tuned: Prediction | None) -> dict[str, str]:
    """An arm's output: marked right or wrong where the score says just that, else with the score."""
    score, right = case.scores.get(arm), _right(found, case, arm)
    sure = tuned.scores.get(tuned.output) if tuned is not None and arm == "tuned" else None
    return {
        "arm": arm,
        "output": excerpt(case.outputs.get(arm, ""), SAID) or "(nothing)",
        "css": {True: "met", False: "missed", None: ""}[right],
        "sign": {True: "✓ ", False: "✗ ", None: ""}[right],
        "score": f"{percent(sure, 0)} sure" if sure is not None else figure(score) if right is None else "",
    }


def _right(found: Comparison, case: Case, arm: str) -> bool | None:
    """Whether an arm had the row right; None where the score is a matter of degree."""
    metric = found.cases.metric if found.cases else ""
    higher = any(measure.name == metric and measure.better == "higher" for measure in found.measures)
    score = case.scores.get(arm)
    return score == 1.0 if higher and score in (0.0, 1.0) else None


def changed(expected: str, said: str) -> Markup | None:
    """The expected answer turned into the one given, word by word: what was left out, and what came in its place.

    None where the two are the same, share no word, or are labels of a word.
    """
    old, new = WORD.findall(expected), WORD.findall(said)
    if old == new or max(len(old), len(new)) < 3:
        return None
    steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    if not any(tag == "equal" and any(map(str.strip, old[start:end])) for tag, start, end, _, _ in steps):
        return None
    parts = []
    for tag, start, end, first, last in steps:
        gone, come = "".join(old[start:end]), "".join(new[first:last])
        if tag == "equal":
            parts.append(escape(gone))
            continue
        parts += [Markup("<del>{}</del>").format(gone)] if gone else []
        parts += [Markup("<ins>{}</ins>").format(come)] if come else []
    return Markup("").join(parts)


def marked(prediction: Prediction) -> Markup:
    """The text with expected stretches underlined and predicted ones shaded; where both, both."""
    text = (prediction.record.text or "")[:TEXT]
    stretches = {"expected": prediction.record.spans or (), "said-too": prediction.spans or ()}
    edges = {0, len(text)}
    edges |= {min(edge, len(text)) for spans in stretches.values() for span in spans for edge in (span.start, span.end)}
    parts, places = [], sorted(edges)
    for start, end in pairwise(places):
        inside = [name for name, spans in stretches.items() if any(s.start <= start < s.end for s in spans)]
        piece = escape(text[start:end])
        parts.append(Markup('<mark class="{}">{}</mark>').format(" ".join(inside), piece) if inside else piece)
    return Markup("").join(parts)
