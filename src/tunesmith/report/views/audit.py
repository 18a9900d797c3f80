"""The page of an audit: what to do, sizes, labels, coverage. `views/audit_texts.py` has what texts are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tunesmith.report.charts import bars, heat, histogram
from tunesmith.report.evidence import Section
from tunesmith.report.format import NONE, count, counted, percent, short

SIGNS = {"do": ("missed", "\u2717", "Mend"), "look": ("undecided", "!", "Look at"), "know": ("none", "i", "Know")}
"""Level -> the colour of the page, a sign, a word."""
LABELS, ENDS = 24, 8
"""The most labels drawn one by one; of more, so many of the commonest and of the rarest."""
TABLES = 3
NOT_TOLD = "not told"


def head(found: Mapping[str, Any]) -> dict[str, Any]:
    """What stands at the top."""
    levels = [finding["level"] for finding in found["findings"]]
    mend, look = levels.count("do"), levels.count("look")
    if mend:
        word, css = f"{counted(mend, 'thing')} to mend", "missed"
    elif look:
        word, css = f"{counted(look, 'thing')} to look at", "undecided"
    else:
        word, css = "Nothing to mend", "met"
    first = found["findings"][0]["said"] if levels and levels[0] != "know" else ""
    why = first or "Nothing was found that would harm the model or the figures."
    return {
        "name": found["name"],
        "word": word,
        "css": css,
        "why": why,
        "facts": _facts(found),
        "byline": _byline(found),
    }


def todo(found: Mapping[str, Any]) -> Section:
    """What to do about what was found."""
    made = []
    for finding in found["findings"]:
        css, sign, verb = SIGNS[finding["level"]]
        made.append({**finding, "css": css, "sign": sign, "verb": verb})
    content = {
        "findings": [finding for finding in made if finding["level"] != "know"],
        "known": [finding for finding in made if finding["level"] == "know"],
    }
    return Section("todo", "What to do", "What to do", content)


def size(found: Mapping[str, Any]) -> Section:
    """Rows, words and tokens, and how long they are."""
    sizes = found["sizes"]
    tokens = f"{about(found)}{count(sizes['tokens'])} tokens"
    says = f"{counted(sizes['rows'], 'row')}, {count(sizes['words'])} words, {tokens}."
    rows = found["ledger"]["rows"] or {}
    if rows.get("dropped"):
        says += f" {counted(rows['dropped'], 'row')} of {count(rows['read'])} that were read had been dropped."
    return Section(
        "size",
        "How much there is",
        "Size",
        {
            "says": says,
            "splits": [
                {**split, "share": percent(split["rows"] / sizes["rows"]), "mean": split["tokens"] / split["rows"]}
                for split in sizes["splits"]
                if split["rows"]
            ],
            "about": about(found),
            "lengths": [drawn(one) for one in sizes["lengths"]],
        },
    )


def drawn(one: Mapping[str, Any]) -> dict[str, Any]:
    """A distribution as a sentence and a picture."""
    says = lengths_said(one)
    return {"what": one["what"], "says": says, "picture": histogram.histogram(one, title=f"{one['what']}: {says}")}


def labels(found: Mapping[str, Any]) -> Section | None:
    """How evenly labels are spread."""
    balance = found["labels"]
    if balance is None:
        return None
    rows = balance["labels"]
    many = len(rows) > LABELS
    shown = [*rows[:ENDS], None, *rows[-ENDS:]] if many else rows
    ratio = short(balance["ratio"])
    says = (
        f"{counted(len(rows), 'label')}, as hard to guess as {balance['effective']:.1f} equally common ones. The"
        f" commonest has {percent(balance['majority'])} of the rows, {ratio} for each row of the rarest."
    )
    return Section(
        "labels",
        "Labels",
        "Labels",
        {
            "says": says,
            "left_out": len(rows) - 2 * ENDS,
            "rows": [row and _label(row, rows[0]["rows"]) for row in shown],
        },
    )


def coverage(found: Mapping[str, Any]) -> Section | None:
    """Where rows are missing."""
    covered, groups = found["coverage"], found["groups"]
    tables = [_table(table) for table in _worth(covered["tables"])[:TABLES]]
    if not tables and not covered["values"] and not groups:
        return None
    needed, reported = covered["needed"], {value["column"] for value in covered["values"]}
    return Section(
        "coverage",
        "Where rows are missing",
        "Coverage",
        {
            "says": f"An accuracy is known to ±5 points, whatever it is, from {needed} test rows on.",
            "values": [_slice(value, covered["values"], needed) for value in covered["values"]],
            "groups": [_group(group) for group in groups if group["column"] not in reported],
            "tables": tables,
        },
    )


def about(found: Mapping[str, Any]) -> str:
    """`about ` where a figure comes from a sample."""
    return "about " if found["sampled"] else ""


def bar(name: str, rows: int, largest: int) -> Any:
    """So many rows of a name."""
    return bars.bar([bars.Part(name, rows, "a")], whole=largest, title=f"{name}: {count(rows)}")


def lengths_said(one: Mapping[str, Any]) -> str:
    """A distribution in a sentence."""
    at = one["quantiles"]
    said = f"half have at most {_number(at['p50'])}, 95% at most {_number(at['p95'])}, the largest {_number(at['max'])}"
    cut = f"; {counted(one['cut'], 'row')} outside of the threshold" if one.get("cut") else ""
    return said + cut + "."


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 or float(value).is_integer() else f"{value:.2g}"


def _facts(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    sizes, languages, copies = found["sizes"], found["languages"], found["copies"]
    tested = sizes["splits"][2]["rows"]
    facts = [
        ("Rows", count(sizes["rows"]), f"{count(tested)} of them to test"),
        ("Tokens", f"{short(sizes['tokens'])}", f"{sizes['tokens'] / max(sizes['rows'], 1):,.0f} a row"),
    ]
    if found["labels"]:
        rows = found["labels"]["labels"]
        facts.append(("Labels", count(len(rows)), f"{short(found['labels']['ratio'])} to 1"))
    told = sum(rows for name, rows in languages["counts"].items() if name != NOT_TOLD)
    if languages["main"]:
        main = languages["counts"][languages["main"]]
        facts.append(("Language", languages["main"], f"{percent(main / told)} of the rows that tell"))
    facts.append(("Copies", count(copies["near"]), f"exact ones {count(copies['exact'])}"))
    return facts


def _byline(found: Mapping[str, Any]) -> str:
    task = f" to {found['task']}" if found["task"] else ""
    said = f"Audit of the data{task}, as it goes into training"
    if sampled := found["sampled"]:
        some = f"{count(sampled['rows'])} of {count(sampled['of'])} rows (seed {found['seed']})"
        said += f"; what texts are like comes from a sample of {some}"
    return said + "."


def _label(row: Mapping[str, Any], largest: int) -> dict[str, Any]:
    drawing = bars.bar(
        [bars.Part("train", row["train"], "a"), bars.Part("validation and test", row["rows"] - row["train"], "pale")],
        whole=largest,
        title=f"{row['label']}: {count(row['rows'])} rows, {count(row['train'])} of them to train on",
    )
    return {**row, "label": shortened(row["label"], 60), "share": percent(row["share"]), "drawing": drawing}


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    largest = max(one["rows"] for one in group["values"])
    return {
        "column": group["column"],
        "left_out": group["different"] - len(group["values"]),
        "rows": [
            {
                **one,
                "value": shortened(one["value"], 60),
                "share": percent(one["share"]),
                "drawing": bar(one["value"], one["rows"], largest),
            }
            for one in group["values"]
        ],
    }


def _worth(tables: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of the spec's columns first, then those of labels, where all of them can be shown."""
    labelled = [table for table in tables if "label" in (table["rows"], table["columns"])]
    few = [one for one in labelled if "(other)" not in (*one["row_values"], *one["column_values"])]
    return [*(table for table in tables if table["own"]), *(table for table in few if not table["own"])]


def _table(table: Mapping[str, Any]) -> dict[str, Any]:
    """Longer values downwards, where there is room for them."""
    counts, test = np.array(table["counts"]), np.array(table["test"])
    down, across = (table["rows"], table["row_values"]), (table["columns"], table["column_values"])
    if max(map(len, across[1])) > max(map(len, down[1])):
        down, across, counts, test = across, down, counts.T, test.T
    largest = max(int(counts.max(initial=0)), 1)
    return {
        "title": f"{down[0]} by {across[0]}",
        "columns": [shortened(value, 24) for value in across[1]],
        "many": len(across[1]) > 6,
        "rows": [
            {
                "value": shortened(value, 48),
                "cells": [
                    {"count": cell, "test": tested, "css": f"right l{heat.level(cell / largest)}" if cell else "gap"}
                    for cell, tested in zip(cells, tests, strict=True)
                ],
            }
            for value, cells, tests in zip(down[1], counts.tolist(), test.tolist(), strict=True)
        ],
    }


def shortened(text: str, most: int) -> str:
    """The start of a text."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"


def _slice(value: Mapping[str, Any], values: Sequence[Mapping[str, Any]], needed: int) -> dict[str, Any]:
    largest = max(one["rows"] for one in values if one["column"] == value["column"])
    width = value["half_width"]
    name = f"{value['column']}: {shortened(value['value'], 60)}"
    return {
        **value,
        "name": name,
        "interval": NONE if width is None else f"±{100 * width:.0f}",
        "more": max(0, needed - value["test"]),
        "drawing": bar(name, value["rows"], largest),
    }
