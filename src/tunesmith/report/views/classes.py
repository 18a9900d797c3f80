"""Labels against labels: which is taken for which, and how each fares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.evaluate.comparison import Labels
from tunesmith.report.charts import bars, heat
from tunesmith.report.evidence import Evidence, Section
from tunesmith.report.format import count, counted, figure, percent

PRINTED = 20
"""The most classes whose matrix is printed as numbers; more are drawn as a map."""
PAIRS = 15
"""Confused pairs listed."""
CLASSES = 300
"""The most rows of the table of classes."""


def view(evidence: Evidence) -> Section | None:
    """The chapter on classes; None where the task has none."""
    found = evidence.comparison
    if found is None or found.labels is None or len(found.labels.names) < 2:
        return None
    arm, first = found.arms[-1], found.arms[0]
    labels = found.labels
    content: dict[str, Any] = {
        "arm": arm,
        "first": first if first != arm else None,
        "says": f"{counted(len(labels.names), 'class', 'classes')}.",
        "pairs": [],
        "printed": None,
        "map": None,
        "classes": _classes(labels, arm, first)[:CLASSES],
        "num_classes": len(labels.names),
    }
    if arm in labels.confusion:
        counts = np.array(labels.confusion[arm], dtype=np.int64)
        content["pairs"] = confused(labels.names, counts)[:PAIRS]
        content["says"] = _says(labels.names, counts, content["pairs"])
        if len(labels.names) <= PRINTED:
            content["printed"] = _printed(labels.names, counts)
        else:
            title = f"Confusion of {len(labels.names)} classes. {content['says']}"
            content["map"] = heat.heat(counts, labels.names, title=title)
    return Section("classes", "Classes and their confusions" if content["pairs"] else "Classes", "Classes", content)


def confused(names: Sequence[str], counts: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Every mistake that was made, the most frequent first; counts are [right label, given label]."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    support = counts.sum(axis=1)
    pairs = [
        {
            "expected": names[right],
            "called": names[given],
            "rows": int(wrong[right, given]),
            "of": int(support[right]),
            "share": float(wrong[right, given] / support[right]),
            "back": int(wrong[given, right]),
        }
        for right, given in zip(*np.nonzero(wrong), strict=True)
    ]
    return sorted(pairs, key=lambda pair: (-pair["rows"], -pair["share"], pair["expected"], pair["called"]))


def _says(names: Sequence[str], counts: NDArray[np.int64], pairs: Sequence[dict[str, Any]]) -> str:
    right, total = int(np.trace(counts)), int(counts.sum())
    said = f"{count(right)} of {counted(total, 'row')} got the right one of {counted(len(names), 'class', 'classes')}."
    if pairs:
        worst = pairs[0]
        said += (
            f" The most frequent mistake: {worst['expected']} called {worst['called']}"
            f" ({count(worst['rows'])} of {counted(worst['of'], 'row')})."
        )
    return said


def _printed(names: Sequence[str], counts: NDArray[np.int64]) -> dict[str, Any]:
    support = counts.sum(axis=1)
    rows = [
        {
            "label": name,
            "total": int(support[right]),
            "cells": [
                {
                    "count": int(counts[right, given]),
                    "kind": "right" if right == given else "wrong",
                    "level": heat.level(float(counts[right, given] / max(int(support[right]), 1))),
                }
                for given in range(len(names))
            ],
        }
        for right, name in enumerate(names)
        if support[right]
    ]
    return {"columns": names, "rows": rows, "many": len(names) > 6}


def _classes(labels: Labels, arm: str, first: str) -> list[dict[str, Any]]:
    before = {entry.label: entry.f1 for entry in labels.classes.get(first, [])} if first != arm else {}
    entries = labels.classes.get(arm, [])
    ordered = sorted(entries, key=lambda entry: (not entry.support, entry.f1, -entry.support, entry.label))
    return [
        {
            "label": entry.label,
            "rows": entry.support,
            "predicted": entry.predicted,
            "precision": figure(entry.precision if entry.predicted else None),
            "recall": figure(entry.recall if entry.support else None),
            "f1": figure(entry.f1 if entry.support else None),
            "first": figure(before.get(entry.label)),
            "chart": bars.bar([bars.Part("F1", entry.f1, "a")], whole=1.0, title=f"F1 {percent(entry.f1)}"),
        }
        for entry in ordered
    ]
