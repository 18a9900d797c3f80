"""Settles the label of every row that annotators or labelling functions voted on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import combinations
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tunesmith.data.methods.votes import agreement, quality
from tunesmith.data.methods.votes.balance import imbalance
from tunesmith.data.methods.votes.consensus import Consensus as Found
from tunesmith.data.methods.votes.consensus import dawid_skene, majority, one_coin, tied
from tunesmith.data.methods.votes.label_model import label_model
from tunesmith.data.methods.votes.mace import mace
from tunesmith.data.methods.votes.table import Votes, tally
from tunesmith.data.room import Room
from tunesmith.data.steps import KEEP, Outcome, Step, change, drop
from tunesmith.errors import DataError
from tunesmith.records import Record

SETTLED = "label settled by votes"
SILENT = "nobody voted"
UNDECIDED = "votes leave the label undecided"
SURE = "confidence"
"""The slice that says how likely a settled label is."""

_PAIRS = 45
"""Pairs of annotators whose agreement is measured, those with the most items in common."""
_EXCERPT = 300


class Consensus(Step):
    """Settles labels by the votes of annotators or labelling functions, and measures how far these agree and what each
    is worth. A settled label's probability stands in the slice `confidence`.
    """

    method: Literal["majority", "dawid_skene", "one_coin", "mace", "label_model"] = "dawid_skene"
    """How votes are weighed: all alike; by each annotator's confusion matrix; by how often each is right; by how often
    each looks at all (labels about equally common); `label_model` for functions that abstain."""
    min_confidence: float = Field(default=0.0, ge=0, lt=1)
    """A label with a lower probability (`majority`: share of the votes) is undecided."""
    undecided: Literal["drop", "keep_majority"] = "drop"
    """What becomes of undecided rows: left out, or called what most voted for."""
    gold: Literal["keep", "replace"] = "keep"
    """What becomes of a label that a row has already. Either way the settled labels are measured by it."""
    weigh: bool = False
    """Settled rows count in the loss by their confidence."""
    balance: dict[str, float] = Field(default={}, examples=[{"spam": 0.1, "ham": 0.9}])
    """For `label_model`: how common each label is, learned when left out."""
    order: tuple[str, ...] = ()
    """Labels from low to high, so that agreement counts near misses; numbers need none."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.balance and self.method != "label_model":
            raise ValueError(f"balance is used by label_model only, not by {self.method}")
        if any(share <= 0 for share in self.balance.values()):
            raise ValueError("balance: every label's share is above 0")
        return self

    def apply(self, records: Sequence[Record], room: Room) -> Iterator[Outcome]:
        given = list(room.look(_given, records))
        votes = Votes.of((each for each, _ in given), self.balance)
        place = {label: number for number, label in enumerate(votes.labels)}
        gold_N = np.array([-2 if label is None else place.get(label, -1) for _, label in given], np.int64)
        del given
        if not votes.num_items:
            return (drop(SILENT) if gold == -2 else KEEP for gold in gold_N.tolist())
        found, plain = self._settled(votes, room), majority(votes)
        self._tell(votes, found, plain, gold_N, room)
        room.show("rows that annotators dispute the most", _disputed(votes, found, records))
        return self._outcomes(records, votes, found, plain, gold_N)

    def _outcomes(
        self, records: Sequence[Record], votes: Votes, found: Found, plain: Found, gold_N: Any
    ) -> Iterator[Outcome]:
        sure_P, label_P, plain_P = found.confidence_P, found.label_P, plain.label_P
        for record, pattern, gold in zip(records, votes.pattern_N.tolist(), gold_N.tolist(), strict=True):
            if gold != -2 and (self.gold == "keep" or pattern < 0):
                yield KEEP
            elif pattern < 0:
                yield drop(SILENT)
            elif sure_P[pattern] < self.min_confidence and self.undecided == "drop":
                yield drop(UNDECIDED, f"{votes.labels[label_P[pattern]]} at {sure_P[pattern]:.2f}")
            else:
                undecided = sure_P[pattern] < self.min_confidence
                label = votes.labels[(plain_P if undecided else label_P)[pattern]]
                sure = float(found.posterior_PC[pattern, plain_P[pattern]] if undecided else sure_P[pattern])
                weight = record.weight * (max(sure, 0.0) if self.weigh else 1.0)
                slices = {**record.slices, SURE: f"{max(sure, 0.0):.4f}"}
                yield change(replace(record, labels=(label,), slices=slices, weight=weight), SETTLED)

    def _settled(self, votes: Votes, room: Room) -> Found:
        if self.method == "label_model":
            missing = [label for label in votes.labels if self.balance and label not in self.balance]
            if missing:
                raise DataError(
                    f"balance does not say how common {missing[0]!r} is, which was voted for",
                    where="data.steps: consensus",
                    fix="name every label in balance, or leave it out",
                )
            return label_model(votes, balance=self.balance or None)
        if self.method == "mace":
            return mace(votes, seed=room.seed)
        return {"majority": majority, "dawid_skene": dawid_skene, "one_coin": one_coin}[self.method](votes)

    def _tell(self, votes: Votes, found: Found, plain: Found, gold_N: Any, room: Room) -> None:
        items, rows = votes.num_items, len(votes.pattern_N)
        decided = float(votes.count_P @ (found.confidence_P >= self.min_confidence)) / items
        differ = float(votes.count_P @ (found.label_P != plain.label_P)) / items
        ties = int(votes.count_P @ tied(votes))
        of_items = found.confidence_P[votes.pattern_N[votes.pattern_N >= 0]]
        room.measured("confidence of the label", of_items, low=self.min_confidence or None)
        room.figure("votes", {"rows": rows, "rows_with_votes": items, "votes": votes.num_votes, "ties": ties})
        room.figure("agreement", _agreement(votes, self.order, room.seed))
        room.figure("annotators", [asdict(row) for row in quality.annotators(votes, found)])
        room.figure(
            "consensus",
            {
                "method": self.method,
                "iterations": found.iterations,
                "converged": found.converged,
                "decided": decided,
                "differs_from_majority": differ,
            },
        )
        settled = dict(zip(votes.labels, _settled_counts(votes, found), strict=True))
        room.figure("balance", asdict(imbalance(settled)))
        right, judged = quality.accuracy(votes, found.label_P, gold_N)
        if judged:
            by_majority, _ = quality.accuracy(votes, plain.label_P, gold_N)
            room.figure("accuracy", {"rows": judged, "consensus": right, "majority": by_majority})
            room.note(
                f"on {judged} rows with a known label {self.method} is right in {right:.1%}, "
                f"majority in {by_majority:.1%}"
            )
        if not found.converged:
            room.note(f"{self.method} had not come to its end after {found.iterations} iterations")
        if ties and self.method == "majority":
            room.note(
                f"{ties} rows have as many votes for one label as for another; the one commoner in all votes is taken"
            )
        _warn(votes, found, self.method, room)


def _given(record: Record) -> tuple[dict[str, str], str | None]:
    return dict(record.votes), ", ".join(record.labels) if record.labels else None


def _settled_counts(votes: Votes, found: Found) -> list[int]:
    """How many items each label gets."""
    return [int(count) for count in tally(found.label_P, votes.count_P, len(votes.labels))]


def _warn(votes: Votes, found: Found, method: str, room: Room) -> None:
    """Says where a method is not made for such votes."""
    one_sided = sum(
        len(np.unique(votes.label_V[votes.annotator_V == a])) == 1 for a in range(min(len(votes.annotators), 1000))
    )
    if (
        method in ("dawid_skene", "one_coin", "mace")
        and len(votes.labels) > 1
        and 2 * one_sided > len(votes.annotators)
    ):
        room.note(
            f"{one_sided} of {len(votes.annotators)} annotators only ever say one label, of which {method} learns "
            "nothing; `method: label_model` is made for that"
        )
    if len(votes.labels) > 1 and max(_settled_counts(votes, found)) == votes.num_items and method != "majority":
        room.note(f"{method} calls every row the same, though {len(votes.labels)} labels were voted for")


def _agreement(votes: Votes, order: Sequence[str], seed: int) -> dict[str, Any]:
    """Every measure that the votes allow, each with its interval."""
    measures = {
        "percent": agreement.percent_agreement(votes, seed=seed),
        "krippendorff_alpha": agreement.krippendorff_alpha(votes, seed=seed),
        "fleiss_kappa": agreement.fleiss_kappa(votes, seed=seed),
    }
    if order and set(order) >= set(votes.labels):
        measures["krippendorff_alpha_ordinal"] = agreement.krippendorff_alpha(votes, "ordinal", order=order, seed=seed)
    elif all(map(_is_number, votes.labels)):
        measures["krippendorff_alpha_ordinal"] = agreement.krippendorff_alpha(votes, "ordinal", seed=seed)
        measures["krippendorff_alpha_interval"] = agreement.krippendorff_alpha(votes, "interval", seed=seed)
    pairs = [
        {"annotators": [one, other], **_plain(agreement.cohen_kappa(votes, one, other, seed=seed))}
        for one, other in _pairs(votes)
    ]
    return {**{name: _plain(measure) for name, measure in measures.items()}, "cohen_kappa": pairs}


def _plain(measure: agreement.Agreement) -> dict[str, Any]:
    return {name: None if value != value else value for name, value in asdict(measure).items()}


def _is_number(label: str) -> bool:
    try:
        return bool(np.isfinite(float(label)))
    except ValueError:
        return False


def _pairs(votes: Votes) -> list[tuple[str, str]]:
    """The pairs of annotators with the most items in common, among the busiest ones."""
    busiest = np.argsort(-votes.votes_A, kind="stable")[:30]
    voted_PA = np.zeros((votes.num_patterns, len(votes.annotators)), bool)
    voted_PA[votes.of_V, votes.annotator_V] = True
    voted_PB = voted_PA[:, busiest].astype(np.float64)
    common_BB = (voted_PB * votes.count_P[:, None]).T @ voted_PB
    found = sorted(combinations(range(len(busiest)), 2), key=lambda pair: -common_BB[pair])[:_PAIRS]
    named = [
        sorted((votes.annotators[busiest[a]], votes.annotators[busiest[b]])) for a, b in found if common_BB[a, b] > 1
    ]
    return [(one, other) for one, other in named]


def _disputed(votes: Votes, found: Found, records: Sequence[Record]) -> Iterator[dict[str, Any]]:
    """The rows whose votes are furthest from unanimous, then those whose label is least certain."""
    counts_PC = votes.counts_PC
    share_PC = counts_PC / counts_PC.sum(1, keepdims=True)
    spread_P = 1 - (share_PC**2).sum(1)
    voted = np.flatnonzero(votes.pattern_N >= 0)
    of_pattern = votes.pattern_N[voted]
    order = np.lexsort((found.confidence_P[of_pattern], -spread_P[of_pattern]))
    for row in voted[order[: min(len(order), 30)]].tolist():
        pattern = votes.pattern_N[row]
        if spread_P[pattern] == 0:
            return
        record = records[row]
        yield {
            "id": record.id,
            "source": record.source,
            "text": record.content()[:_EXCERPT],
            "votes": dict(record.votes),
            "label": votes.labels[found.label_P[pattern]],
            "confidence": round(float(found.confidence_P[pattern]), 4),
        }
