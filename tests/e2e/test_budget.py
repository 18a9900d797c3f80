"""Who has spent its budget stops like one that was asked to, and with a larger one goes on to the same end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.desk import make_desk
from tunesmith.errors import OutOfBudget
from tunesmith.events import read_events
from tunesmith.flow.launch import budget
from tunesmith.flow.run import run
from tunesmith.flow.search import search
from tunesmith.scale.spending import spent


class Clock:
    """Time that passes by an hour with every training step, or with whatever else."""

    def __init__(self, says: str = "") -> None:
        self.hours, self.monotonic, self.says = 0, time.monotonic, says

    def time(self) -> float:
        return time.time() + 3600 * self.hours

    def hear(self, event: dict[str, Any]) -> None:
        self.hours += str(event.get("text")).startswith(self.says) if self.says else event["kind"] == "step"


def test_a_budget_stops_a_run_that_a_larger_one_carries_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, clock = make_desk(tmp_path, duration="12 steps"), Clock()
    monkeypatch.setattr(budget, "time", clock)

    def sit(*changes: str) -> None:
        run(spec, ["train.watch=[]", "scale.price=2 USD/h", *changes], tmp_path, until="train", listen=clock.hear)

    with pytest.raises(OutOfBudget, match=r"the budget of 9 USD is spent: 5 h .*stopped after step 5, and saved"):
        sit("scale.budget=9 USD")
    events = tmp_path / "runs" / "colours" / "1" / "events.jsonl"
    assert [event["step"] for event in read_events(events, "step")] == [1, 2, 3, 4, 5]
    # In the diary time went by the real clock, of which little passed; a time this short is spent at once.
    with pytest.raises(OutOfBudget, match=r"the budget of 1 ms is spent") as refused:
        sit("scale.budget=0.001 s")
    assert str(refused.value).count("is spent") == 1
    assert len(read_events(events, "step")) == 5
    # A larger one makes no other run: it goes on to the end.
    sit("scale.budget=100 h")
    assert [event["step"] for event in read_events(events, "step")] == list(range(1, 13))
    assert not (tmp_path / "runs" / "colours" / "2").exists()
    assert len(read_events(events, "sitting")) == 3 and spent(read_events(events)).usd


def test_a_budget_stops_a_search_between_trials_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, clock = make_desk(tmp_path, duration="6 steps"), Clock(says="trial ")
    monkeypatch.setattr(budget, "time", clock)
    vary = "search.vary={train.optimizer.lr: {low: 1e-4, high: 1e-2, log: true}}"

    def sit(*changes: str):
        asked = ("scale.price=2 USD/h", vary, "search.pruner=none", "search.reduction=null", *changes)
        return search(spec, asked, tmp_path, listen=clock.hear)

    with pytest.raises(OutOfBudget, match="the budget of 3 USD is spent: 2 h"):
        sit("search.trials=3", "scale.budget=3 USD")
    assert len(sorted((tmp_path / "studies/colours/1/trials").glob("*/trial.json"))) == 2
    with pytest.raises(OutOfBudget) as refused:
        sit("search.trials=3", "scale.budget=0.001 s")
    assert str(refused.value).count("is spent") == 1, "what was refused before any work was not saved"
    found = sit("search.trials=3", "scale.budget=30 USD")
    assert len(found.study.done) == 3 and found.path.name == "1" and found.spent.usd
    assert "on the clock" in (found.path / "report.html").read_text()
    # A search that is done costs nothing to ask again, whatever is left.
    assert sit("search.trials=3", "scale.budget=0.001 s").spent == found.spent
