"""The page of an audit says what its figures say, lets nothing of the data become markup, and needs nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from tests.unit.audit_fixture import audited, healthy
from tests.unit.test_report_page import PAYLOADS, VOID, Page

from tunesmith.data.audit.spread import spread
from tunesmith.report.audit import render_audit
from tunesmith.report.charts.histogram import histogram

STEP = {
    "step": "length",
    "settings": {"kind": "length"},
    "read": 100,
    "kept": 90,
    "dropped": 10,
    "changed": 0,
    "made": 0,
    "seconds": 1.5,
    "findings": {
        "distributions": [{**(spread("words of the row", list(range(100))) or {}), "low": 10, "high": 95.5, "cut": 14}],
        "notes": ["3 rows have no words"],
        "examples": {"rows that look wrong": [{"row": "a.jsonl:3", "given": "spam", "score": 0.25}]},
        "figures": {"agreement": {"alpha": 0.8125, "annotators": 3}, "empty": None},
    },
}


@pytest.fixture(autouse=True, scope="module")
def few_detected() -> Iterator[None]:
    """Detecting a language takes milliseconds; some rows will do here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tunesmith.data.audit.MOST_DETECTED", 60)
        yield


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    rows = healthy(900)
    rows += [replace(rows[n], id=f"c{n}") for n in range(60)]
    rows[5] = replace(rows[5], text=" ".join(record.text or "" for record in rows[:300]))
    made = audited(rows, reported=["channel"], ledger={"steps": [STEP]})
    return json.loads(json.dumps(made))  # as the file holds it


def test_what_to_do_stands_first_and_chapters_follow(found: dict[str, Any]) -> None:
    page = Page(render_audit(found))
    assert [section["id"] for section in page.all("section")] == [
        "todo", "size", "labels", "coverage", "topics", "copies", "language", "odd", "steps", "method",
    ]  # fmt: skip
    mend = sum(finding["level"] == "do" for finding in found["findings"])
    assert f"{mend} things to mend" in page.text
    at = [page.text.index(finding["said"], 200) for finding in found["findings"] if finding["level"] != "know"]
    assert at == sorted(at)


def test_the_figures_are_on_the_page(found: dict[str, Any]) -> None:
    text = Page(render_audit(found)).text
    for finding in found["findings"]:
        assert all(finding[part] in text for part in ("said", "why", "fix", "yaml"))
    assert "960 rows" in text and f"{found['sizes']['words']:,} words" in text
    for split in found["sizes"]["splits"]:
        assert f"{split['tokens']:,}" in text
    for label in found["labels"]["labels"]:
        assert label["label"] in text
    for topic in found["topics"]:
        assert ", ".join(topic["words"]) in text
    for row in found["odd"]:
        assert row["source"] in text
    assert f"{found['variety']['distinct']['2']:.3f}" in text
    assert f"{found['readability']['grades']['mean']:.1f}" in text


def test_what_steps_found_is_drawn(found: dict[str, Any]) -> None:
    html = render_audit(found)
    text = Page(html).text
    assert "90 kept, 10 dropped, 1.5 s" in text and "3 rows have no words" in text
    assert "14 rows outside of the threshold" in text
    assert "alpha: 0.812, annotators: 3" in text and "a.jsonl:3" in text
    assert "Rows that look wrong" in text
    assert html.count('class="bound"') == 2 and html.count('class="piece lost"') >= 4


def test_a_distribution_shows_every_bar_and_cuts_by_colour() -> None:
    made = spread("words", [1] * 500 + [50])
    assert made is not None
    drawn = str(histogram({**made, "low": None, "high": 20}, title="t"))
    assert drawn.count("<rect") == 2 and drawn.count("piece lost") == 1
    assert "500 rows from" in drawn


def test_healthy_data_say_that_nothing_is_to_mend() -> None:
    page = Page(render_audit(audited(healthy())))
    assert "Nothing to mend" in page.text and "There is nothing to do before training." in page.text
    assert 'class="verdict met"' in render_audit(audited(healthy()))


def test_the_page_needs_nothing_else_and_is_accessible(found: dict[str, Any]) -> None:
    html = render_audit(found)
    page = Page(html)
    assert "http:" not in html and "https:" not in html and not page.all("script") and not page.all("img")
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "src")], tag
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1 and all(after - before <= 1 for before, after in pairwise(levels))
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(th.get("scope") in ("col", "row") for th in page.all("th"))
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.all("svg"))
    assert len(html) < 250_000


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_of_the_data_becomes_markup(found: dict[str, Any], payload: str) -> None:
    def poisoned(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: poisoned(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [poisoned(each, key) for each in value]
        kept = key in ("level", "id", "why", "rows", "columns", "main") or not isinstance(value, str)
        return value if kept else f"{value}{payload}"

    odd = copy.deepcopy(found["odd"])
    hostile = poisoned(found)
    for row, before in zip(hostile["odd"], odd, strict=True):
        row["why"] = before["why"]
    page, clean = Page(render_audit(hostile)), Page(render_audit(found))
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in clean.tags}
    assert VOID and not page.all("script") and not page.all("iframe") and not page.all("img")
    assert page.text.count(payload.replace("\x07", "")) > 20 or "\x07" in payload
