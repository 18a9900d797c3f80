"""Membership inference: can training rows be told from held-out rows by the model's loss on them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tunesmith.evaluate.privacy import Attack, Membership
from tunesmith.evaluate.privacy.alike import told_by_words
from tunesmith.metrics import Floats
from tunesmith.metrics._roc import (
    auc,
    auc_bound,
    auc_interval,
    detectable_auc,
    hits,
    hits_bound,
    hits_interval,
    statistics_of,
)
from tunesmith.records import Record

FEWEST = 30
"""Rows of each kind below which nothing can be told."""
FALSE_ALARMS = 0.01
"""Share of held-out rows that may be accused where hits are counted."""
NAMED = 10
"""Rows that are named where something was found."""
WORDS_LEVEL, WORDS_SPREAD = 0.01, 1.4
"""The chance that rows which are alike are taken for different ones, and how much wider than by chance alone the area
of words scatters, since one model judges all rows of a fold (simulated: 1.1 to 1.4 times)."""


def scores_of(tuned: Sequence[Floats], base: Sequence[Floats] | None, min_k: float) -> dict[str, Floats]:
    """[N] by attack: the larger, the likelier the row was trained on; nan where a row has no target.

    Args:
        tuned: nats of each row's targets.
        base: the same of the base; None where it has no such loss.
        min_k: the share of a row's targets that `min_k` looks at, the least likely ones.
    """
    found = {"loss": -_means(tuned)}
    if base is not None:
        found["calibrated"] = _means(base) - _means(tuned)
    least = [np.sort(nats)[::-1][: max(1, round(min_k * len(nats)))] for nats in tuned]
    return {**found, "min_k": -_means(least)}


def _means(rows: Sequence[Floats]) -> Floats:
    return np.array([nats.mean() if len(nats) else np.nan for nats in rows], np.float64)


def enough(members: int, held_out: int) -> bool:
    """Whether there are rows enough for anything to be told."""
    return min(members, held_out) >= FEWEST


def attacked(
    members: Sequence[Record],
    held_out: Sequence[Record],
    scores: Mapping[str, Floats],
    *,
    near_copies: int,
    level: float,
    confidence: float,
    seed: int,
) -> Membership:
    """What the attacks come to.

    Args:
        members: rows that were trained on.
        held_out: rows like them that were not.
        scores: [N] by attack, members first.
        near_copies: rows left out before.
        level: the chance of each test to accuse a model that knows no row.
        confidence: of the intervals.
        seed: of the folds in which words alone are tried.
    """
    ones = np.repeat([1.0, 0.0], [len(members), len(held_out)])
    if not enough(len(members), len(held_out)):
        return Membership(len(members), len(held_out), near_copies, [], None, None, None, [])
    by_words = statistics_of(ones, told_by_words(members, held_out, seed))
    words_auc = float(auc(by_words, np.ones((1, len(ones))))[0])
    words_bound = 0.5 + WORDS_SPREAD * (auc_bound(len(members), len(held_out), WORDS_LEVEL) - 0.5)
    alike = words_auc <= words_bound
    attacks = [_attack(name, statistics_of(ones, found), level, confidence) for name, found in scores.items()]
    found = [attack for attack in attacks if attack.found] if alike else []
    likeliest: list[str] = []
    if found:
        strongest = scores[max(found, key=lambda attack: attack.auc).name][: len(members)]
        likeliest = [members[place].source for place in np.argsort(-strongest)[:NAMED].tolist()]
    return Membership(
        members=len(members),
        held_out=len(held_out),
        near_copies=near_copies,
        attacks=attacks if alike else [],
        words_auc=words_auc,
        words_bound=words_bound,
        detectable=detectable_auc(len(members), len(held_out), level),
        likeliest=likeliest,
    )


def _attack(name: str, statistics: Floats, level: float, confidence: float) -> Attack:
    counted = int(statistics[:, 0].sum()), int(statistics[:, 1].sum())
    once = np.ones((1, len(statistics)))
    value = float(auc(statistics, once)[0])
    interval, tpr_interval = (
        auc_interval(value, *counted, confidence),
        hits_interval(statistics, FALSE_ALARMS, confidence),
    )
    assert interval and tpr_interval, "both kinds have rows"
    return Attack(
        name=name,
        auc=value,
        interval=interval,
        bound=auc_bound(*counted, level),
        tpr=float(hits(statistics, once, FALSE_ALARMS)[0]),
        tpr_interval=tpr_interval,
        tpr_bound=hits_bound(*counted, FALSE_ALARMS, level),
    )
