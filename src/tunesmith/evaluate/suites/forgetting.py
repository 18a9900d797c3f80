"""Forgetting: what a model could do before it was tuned, and what it still can.

Each ability is a suite, asked of the base and of the tuned model. A row carries both scores in `measured`, as `before`
and `after`, and `chance`, what guessing would score; the metric `retention` makes its value of their sums. Whether the
base can do a thing at all is looked at first: of what it only guesses at, nothing can be kept or lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from tunesmith.evaluate.comparison import Estimate, closed, finite
from tunesmith.evaluate.statistics.resample import draw
from tunesmith.evaluate.suites.ask import Answer
from tunesmith.evaluate.suites.measure import scores
from tunesmith.evaluate.suites.suite import Suite
from tunesmith.metrics.retention import ABILITY, Retention
from tunesmith.records import Plain, Prediction, Record

Asked = Callable[[Suite], Sequence[Answer]]
"""Asks a model a suite."""


@dataclass(frozen=True)
class AbilityResult:
    """What became of one ability, or of all together."""

    ability: str | None
    """None for all together."""
    num_rows: int
    chance: float
    """What guessing scores in the mean."""
    before: float
    """The base's mean score."""
    after: float
    """The tuned model's mean score."""
    retention: Estimate
    """(after - chance) / (before - chance)."""
    doubt: str
    """Why nothing can be said of it; empty where something can."""


@dataclass(frozen=True)
class Forgetting(Plain):
    """The abilities of a run, before and after, as `evaluation/retention.json` holds them."""

    abilities: list[AbilityResult]
    """Each, and last all together of which something can be said."""
    confidence: float

    def counted(self, rows: Sequence[Prediction]) -> list[Prediction]:
        """The rows of abilities that the base has; those where it only guesses would be noise in what is kept."""
        guessed = {found.ability for found in self.abilities[:-1] if found.doubt}
        return [row for row in rows if row.record.slices[ABILITY] not in guessed] or list(rows)

    def doubts(self) -> dict[str, str]:
        """Name of a metric -> why no target can rest on it."""
        return {Retention(ability=found.ability).name: found.doubt for found in self.abilities if found.doubt}


def retention_rows(suites: Sequence[Suite], base: Asked, tuned: Asked) -> list[Prediction]:
    """One row an item, with the scores of both models.

    Args:
        suites: the abilities.
        base, tuned: how each model is asked; the base is asked everything first, so that one model is held at a time.
    """
    before = [base(suite) for suite in suites]
    rows = []
    for suite, said in zip(suites, before, strict=True):
        answers = tuned(suite)
        first, second = scores(suite, said), scores(suite, answers)
        for item, answer, (was, chance), (now, _) in zip(suite.items, answers, first, second, strict=True):
            record = Record(f"{suite.name}/{item.id}", item.id, text=item.context, slices={ABILITY: suite.name})
            measured = {"before": was, "after": now, "chance": chance}
            right = item.choices[item.right] if item.choices else item.answers[0]
            rows.append(Prediction(record, answer.text, right, measured=measured))
    return rows


def forgetting(
    rows: Sequence[Prediction], *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Forgetting:
    """What the rows of `retention_rows` come to, for each ability and for all that the base has."""
    names = list(dict.fromkeys(row.record.slices[ABILITY] for row in rows))
    found = [_result(name, rows, confidence, resamples, seed) for name in names]
    told = Forgetting([*found, _result(None, rows, confidence, resamples, seed)], confidence)
    able = told.counted(rows)
    if len(able) == len(rows):
        return told
    return replace(told, abilities=[*found, _result(None, able, confidence, resamples, seed)])


def _result(
    ability: str | None, rows: Sequence[Prediction], confidence: float, resamples: int, seed: int
) -> AbilityResult:
    metric = Retention(ability=ability)
    chosen = [row for row in rows if ability in (None, row.record.slices[ABILITY])]
    statistics = metric.statistics(chosen)
    doubt = _doubt(statistics[:, 0], confidence)
    drawn = draw([(metric, statistics)], resamples, seed)[0]
    value = finite(metric.whole(statistics))
    mean = {name: float(np.mean([row.measured[name] for row in chosen])) for name in ("before", "after", "chance")}
    return AbilityResult(
        ability=ability,
        num_rows=len(chosen),
        chance=mean["chance"],
        before=mean["before"],
        after=mean["after"],
        # A ratio over next to nothing is no figure.
        retention=Estimate(
            None if doubt else value,
            None if doubt else closed(metric.interval(statistics, drawn, confidence)),
            len(chosen),
        ),
        doubt=doubt,
    )


def _doubt(ahead_N: np.ndarray, confidence: float) -> str:
    """Why nothing can be said of retention, given how far the base is above chance on each item; empty where it can."""
    mean = float(ahead_N.mean())
    error = float(ahead_N.std(ddof=1)) / math.sqrt(len(ahead_N)) if len(ahead_N) > 1 else math.inf
    if mean - NormalDist().inv_cdf(confidence) * error > 0:
        return ""
    return (
        f"the base itself is not clearly better than guessing on these {len(ahead_N)} items"
        f" ({mean:+.3f} from chance), so there is nothing that could be kept"
    )
