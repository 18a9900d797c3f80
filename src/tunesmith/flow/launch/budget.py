"""What a run may spend: counted while it works, and stopped in order when it is all gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tunesmith.errors import Interrupted, OutOfBudget
from tunesmith.events import read_events
from tunesmith.flow.narrator import Narrator
from tunesmith.report.format import duration
from tunesmith.runs import Run
from tunesmith.scale.instances import find_instance
from tunesmith.scale.spending import Spent, spent
from tunesmith.spec.quantity import Budget
from tunesmith.spec.sections import Scale

EVERY = 60.0
"""Seconds between two times that the diary is told what was spent."""


def usd_an_hour(scale: Scale, workspace: Path) -> float | None:
    """What an hour costs; None where nothing says it.

    Raises:
        NotFound: no instance of that name is known.
    """
    if scale.instance is None or scale.price is not None:
        return scale.price.value if scale.price else None
    return find_instance(scale.instance, workspace).price(scale.spot)


@dataclass(frozen=True)
class Outlay:
    """What a run that has not begun would cost."""

    usd: float | None
    """None where no hour has a price."""
    within: bool | None
    """Whether the budget allows it; None where there is none."""
    said: str


def outlay(seconds: float, scale: Scale, workspace: Path) -> Outlay | None:
    """What so much time costs by the spec's price, held against its budget; None where neither is written."""
    price, budget = usd_an_hour(scale, workspace), scale.budget
    if price is None and budget is None:
        return None
    usd = None if price is None else seconds / 3600 * price
    within = None
    if budget is not None:
        within = (seconds if budget.unit == "seconds" else usd or 0.0) <= budget.value
    parts = [f"at {price:g} USD/h"] if price is not None else []
    if budget is not None:
        parts.append(f"{'within' if within else 'MORE THAN'} the budget of {allowed(budget)}, evaluation aside")
    return Outlay(usd, within, "; ".join(parts))


class Purse:
    """What one sitting may spend of a run's budget.

    Args:
        run: its diary tells what earlier sittings took.
        scale: what the spec allows.
        workspace: may hold prices of its own.
        began: when the sitting began, in seconds since the epoch.
    """

    def __init__(self, run: Run, scale: Scale, workspace: Path, began: float) -> None:
        self.budget, self.price, self.began = scale.budget, usd_an_hour(scale, workspace), began
        self.instance = f"{scale.instance}{', spot' if scale.spot else ''}" if scale.instance else ""
        self.before = spent(read_events(run / "events.jsonl"))
        self._told, self._begun = time.monotonic(), False

    def before_work(self, narrator: Narrator) -> None:
        """Begins the sitting in the diary, once, and says what may be spent.

        Raises:
            OutOfBudget: that is nothing.
        """
        if not self._begun:
            self._begun = True
            narrator.say("sitting", began=self.began, usd_an_hour=self.price, instance=self.instance)
            if self.budget is not None:
                said = f", of which {_said(self.before)} were spent before" if self.before.seconds else ""
                narrator.say("note", text=f"the budget is {allowed(self.budget)}{self._lasting()}{said}")
        self.refuse_more()

    def _lasting(self) -> str:
        if self.budget is None or self.budget.unit != "USD" or not self.price:
            return ""
        return f", {duration(self.budget.value / self.price * 3600)} at {self.price:g} USD/h"

    @property
    def spent(self) -> Spent:
        """By all sittings up to now."""
        return self.before.and_also(max(0.0, time.time() - self.began), self.price)

    @property
    def empty(self) -> bool:
        """Whether the budget is gone."""
        if self.budget is None:
            return False
        now = self.spent
        return (now.usd or 0.0 if self.budget.unit == "USD" else now.seconds) >= self.budget.value

    def watched(self, narrator: Narrator, stop: Callable[[], bool]) -> Callable[[], bool]:
        """`stop`, which also says so when the budget is gone; asked often, it tells the diary now and then."""

        def asked() -> bool:
            if self.price is not None and time.monotonic() - self._told > EVERY:
                self._told = time.monotonic()
                narrator.say("cost", **self.spent.to_json())
            return stop() or self.empty

        return asked

    def refuse_more(self, broken_off: Interrupted | None = None) -> None:
        """Ends the sitting where nothing is left to spend.

        Args:
            broken_off: what the work says that was stopped.

        Raises:
            OutOfBudget: the budget is gone.
        """
        if self.budget is None or not self.empty or isinstance(broken_off, OutOfBudget):  # which has said so
            return
        done = f"; {broken_off.what}, and saved" if broken_off else ""
        raise OutOfBudget(
            f"the budget of {allowed(self.budget)} is spent: {_said(self.spent)}{done}",
            where="scale.budget",
            fix="write a larger one and give the same command again: it goes on where it stopped",
        ) from broken_off


def allowed(budget: Budget) -> str:
    """A budget, for people."""
    return duration(budget.value) if budget.unit == "seconds" else str(budget)


def _said(spent: Spent) -> str:
    return duration(spent.seconds) + ("" if spent.usd is None else f", {spent.usd:,.2f} USD")
