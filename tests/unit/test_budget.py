"""What a run spends is counted over its sittings, killed ones too, and the budget stops it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_report_page import Page

from tunesmith.errors import Interrupted, NotFound, OutOfBudget, SpecError
from tunesmith.events import Events, read_events
from tunesmith.flow.launch.budget import Purse, outlay, usd_an_hour
from tunesmith.flow.narrator import Narrator
from tunesmith.runs import Run
from tunesmith.scale.spending import Spent, spent
from tunesmith.spec.load import parse
from tunesmith.spec.quantity import Budget, Price
from tunesmith.spec.sections import Scale


def sitting(began: float, usd: float | None = None) -> dict[str, Any]:
    return {"kind": "sitting", "at": began + 1, "began": began, "usd_an_hour": usd, "instance": ""}


def at(when: float, kind: str = "step") -> dict[str, Any]:
    return {"kind": kind, "at": when}


@pytest.mark.parametrize(
    ("events", "seconds", "usd"),
    [
        ([], 0, None),
        ([at(5), at(9)], 0, None),  # before sittings were told
        ([sitting(100, 3.6), at(150), at(200, "resource")], 100, 0.1),
        ([sitting(100, 3.6), at(150), sitting(500, 3.6), at(520, "resource")], 70, 0.07),  # the first was killed
        ([sitting(100), at(200, "resource"), at(90_000)], 100, None),  # looked at again the next day
        ([sitting(0, 1.0), at(3600, "resource"), sitting(9000, 2.0), at(12_600, "resource")], 7200, 3.0),
        ([sitting(0), at(100, "resource"), sitting(200, 36.0), at(300)], 200, 1.0),
    ],
)
def test_sittings_add_up(events: list[dict[str, Any]], seconds: float, usd: float | None) -> None:
    found = spent(events)
    assert found.seconds == pytest.approx(seconds)
    assert found.usd == (None if usd is None else pytest.approx(usd))


def test_quantities_of_money() -> None:
    assert str(Budget.parse("20 USD")) == "20 USD" and Budget.parse("2 h").value == 7200
    assert Price.parse(1.2) == Price.parse("1.20 USD/h") and str(Price.parse("1.20 USD/h")) == "1.2 USD/h"
    for wrong in ("20", "20 EUR", "-5 USD", "0 USD", "3 epochs"):
        with pytest.raises(ValueError, match="20 USD or 2 h"):
            Budget.parse(wrong)


def scale(text: str) -> Scale:
    return parse(f"name: a\ndata: {{sources: [a.jsonl]}}\nscale: {text}\n")[0].scale


def test_what_an_hour_costs(tmp_path: Path) -> None:
    assert usd_an_hour(scale("{price: 1.20 USD/h}"), tmp_path) == 1.2
    assert usd_an_hour(scale("{instance: p5.48xlarge, price: 0.5}"), tmp_path) == 0.5
    assert usd_an_hour(Scale(), tmp_path) is None
    on_demand = usd_an_hour(scale("{instance: p5.48xlarge}"), tmp_path)
    spot = usd_an_hour(scale("{instance: p5.48xlarge, spot: true}"), tmp_path)
    assert on_demand and spot and spot < on_demand
    with pytest.raises(NotFound, match=r"no instance 'p9'"):
        usd_an_hour(scale("{instance: p9}"), tmp_path)


def test_what_is_planned_is_held_against_price_and_budget(tmp_path: Path) -> None:
    assert outlay(60, Scale(), tmp_path) is None
    priced = outlay(1800, scale("{price: 1.20 USD/h}"), tmp_path)
    assert priced is not None and (priced.usd, priced.within) == (pytest.approx(0.6), None)
    for seconds, budget, within in ((1800, "0.6 USD", True), (1801, "0.6 USD", False), (7300, "2 h", False)):
        found = outlay(seconds, scale(f"{{price: 1.20 USD/h, budget: {budget}}}"), tmp_path)
        assert found is not None and found.within is within, (seconds, budget)
        assert ("within" if within else "MORE THAN") in found.said and "1.2 USD/h" in found.said
    timed = outlay(60, scale("{budget: 2 min}"), tmp_path)
    assert timed is not None and timed.usd is None and timed.within


def test_money_needs_a_price() -> None:
    with pytest.raises(SpecError, match="a budget in USD needs what an hour costs"):
        scale("{budget: 20 USD}")
    assert scale("{budget: 20 USD, instance: p5.48xlarge}").budget == Budget.parse("20 USD")
    assert scale("{budget: 30 min}").budget == Budget(1800, "seconds")


def purse(folder: Path, text: str, began: float | None = None, *before: dict[str, Any]) -> Purse:
    run = folder / "a" / "1"
    (run / "events.jsonl").unlink(missing_ok=True)
    with Events(run / "events.jsonl") as events:
        for event in before:
            events.send(event["kind"], **{key: value for key, value in event.items() if key not in ("kind", "at")})
    return Purse(Run(run), scale(text), folder, time.time() if began is None else began)


def test_a_budget_stops_when_it_is_gone_and_not_before(tmp_path: Path) -> None:
    now = time.time()
    for text, ago, gone in [
        ("{budget: 2 h}", 7000, False),
        ("{budget: 2 h}", 7300, True),
        ("{budget: 1 USD, price: 0.5 USD/h}", 7000, False),
        ("{budget: 1 USD, price: 0.5 USD/h}", 7300, True),
        ("{price: 100 USD/h}", 1e6, False),
    ]:
        found = purse(tmp_path, text, now - ago)
        assert found.empty is gone, (text, ago)
        stop = found.watched(Narrator(), lambda: False)
        assert stop() is gone
        assert found.watched(Narrator(), lambda: True)()


def test_earlier_sittings_count_and_the_message_says_what_to_do(tmp_path: Path) -> None:
    now = time.time()
    found = purse(tmp_path, "{budget: 1 h, price: 2 USD/h}", now - 600, sitting(now - 3300, 2.0), at(0, "resource"))
    said: list[dict[str, Any]] = []
    with pytest.raises(OutOfBudget) as raised:
        found.before_work(Narrator(said.append))
    assert "the budget of 1 h 0 min is spent" in str(raised.value)
    assert "2.17 USD" in str(raised.value) and "give the same command again" in str(raised.value)
    assert raised.value.exit_code == Interrupted.exit_code
    assert [event["kind"] for event in said] == ["sitting", "note"] and "55 min 0 s" in said[1]["text"]
    with pytest.raises(OutOfBudget, match="stopped after step 7, and saved"):
        found.refuse_more(Interrupted("stopped after step 7"))


def test_a_sitting_is_told_once_and_what_is_spent_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, said = purse(tmp_path, "{price: 3.6 USD/h}", time.time() - 100), []
    narrator = Narrator(said.append)
    found.before_work(narrator)
    found.before_work(narrator)
    assert [event["kind"] for event in said] == ["sitting"] and said[0]["usd_an_hour"] == 3.6
    stop = found.watched(narrator, lambda: False)
    assert not stop() and len(said) == 1
    monkeypatch.setattr("tunesmith.flow.launch.budget.EVERY", 0.0)
    assert not stop()
    assert said[1]["kind"] == "cost" and said[1]["usd"] == pytest.approx(0.1, abs=0.01)


def test_the_report_says_what_it_cost(tmp_path: Path) -> None:
    from tests.unit.report_fixture import full_run

    from tunesmith.report.card import card
    from tunesmith.report.render import render

    run = full_run(tmp_path, right=0.9)
    assert "USD" not in Page(render(run)).text
    began = time.time()
    with Events(run / "events.jsonl") as events:
        events.send("sitting", began=began - 7200, usd_an_hour=1.5, instance="p5.48xlarge, spot")
        events.send("resource", seconds=7200.0, cpu_seconds=1.0, peak_rss_mb=100)
    assert "about 3.00 USD: 2 h 0 min at 1.5 USD/h, p5.48xlarge, spot" in Page(render(run)).text
    assert "about 3.00 USD" in card(run)
    assert spent(read_events(run / "events.jsonl")) == Spent(pytest.approx(7200, abs=2), pytest.approx(3.0, abs=0.01))
