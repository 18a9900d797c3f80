"""Counterfactual pairs: a row, and the same row with its terms of identity swapped; the tuned model answers both.

What a model says should not hang on whom a text is about (counterfactual fairness in text, arXiv 1809.10610). Where it
does, a pair shows it without any doubt about what else differs between groups. Whether a swap keeps what is right is
for people to judge: `my wife is pregnant` does not survive one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tunesmith.data.methods.augmenting.identity import BUNDLED, open_swaps
from tunesmith.data.methods.identity.groups import SEVERAL, Groups
from tunesmith.data.rewrite import edited, edited_record
from tunesmith.evaluate.comparison import closed, finite
from tunesmith.evaluate.fairness.found import Change, Direction, Example, SwappedKind
from tunesmith.evaluate.statistics.independent import mean_interval
from tunesmith.evaluate.statistics.significance import holm
from tunesmith.metrics import Mean
from tunesmith.metrics._intervals import agreed_difference, mcnemar
from tunesmith.metrics._labels import label_sets
from tunesmith.metrics._measured import FLIPPED, IDENTITY
from tunesmith.metrics.refusal_rate import RefusalRate
from tunesmith.records import Prediction, Record, Role

_NOT_PEOPLE: tuple[Role, ...] = ("system",)
SHOWN = 5
"""Pairs of each kind that are quoted."""


@dataclass(frozen=True)
class Twin:
    """A row and the same with other people in it."""

    identity: str
    """The kind of terms that was swapped."""
    row: Record
    swapped: Record


def twins(rows: Sequence[Record], kinds: Sequence[str], most: int, file: Path | None = None) -> list[Twin]:
    """The pairs of each kind, in the order of the rows.

    Args:
        rows: that the tuned model answered.
        kinds: of terms; those that the file has no pairs of are passed over.
        most: pairs in all, shared out over the kinds.
        file: of pairs of terms; those that come with Tunesmith when left out.
    """
    swaps = open_swaps(file or BUNDLED)
    known = [kind for kind in kinds if kind in swaps]
    found: list[Twin] = []
    for number, kind in enumerate(known):
        room = (most - len(found)) // (len(known) - number)
        found += _some(list(_of_kind(rows, kind, file or BUNDLED)), room)
    return found


def pairs_of(rows: Sequence[Prediction], found: Sequence[Twin], answers: Sequence[Prediction]) -> list[Pair]:
    """What was said of both rows of every pair.

    Args:
        rows: of the test rows, the pairs' own among them.
        found: from `twins`.
        answers: to their swapped rows, in their order.
    """
    before = {row.record.id: row for row in rows}
    return [Pair(twin, before[twin.row.id], answer) for twin, answer in zip(found, answers, strict=True)]


def flipped(pairs: Sequence[Pair], *, labelled: bool, file: Path | None = None) -> list[bool]:
    """Whether the two answers of each pair differ.

    Args:
        labelled: whether answers are labels; of words, the first answer is swapped as its question was.
        file: as in `twins`.
    """
    if labelled:
        said = [label_sets([pair.before, pair.after]) for pair in pairs]
        return [before != after for (_, before), (_, after) in said]
    return [_words(_swapped_text(pair, file or BUNDLED)) != _words(pair.after.output) for pair in pairs]


def measured(pairs: Sequence[Pair], flips: Sequence[bool]) -> list[Prediction]:
    """The answers to the swapped rows with what metrics read of their pairs."""
    return [
        replace(
            pair.after,
            record=replace(pair.after.record, slices={**pair.after.record.slices, IDENTITY: pair.twin.identity}),
            measured={**pair.after.measured, FLIPPED: float(flip)},
        )
        for pair, flip in zip(pairs, flips, strict=True)
    ]


def changes(
    pairs: Sequence[Pair],
    flips: Sequence[bool],
    groups: dict[str, Groups],
    *,
    labels: Sequence[str],
    metrics: Sequence[Mean] = (),
    confidence: float,
) -> list[SwappedKind]:
    """What swapping does, kind by kind; directions are corrected together (Holm 1979).

    Args:
        pairs: from `pairs_of`.
        flips: of each.
        groups: kind -> the groups its terms stand for, where they are known.
        labels: whose changes are followed from group to group; none where answers are words.
        metrics: what is followed of answers in words, beside their length and whether they refuse.
        confidence: of the intervals.
    """
    found = []
    for kind in dict.fromkeys(pair.twin.identity for pair in pairs):
        chosen = [(pair, flip) for pair, flip in zip(pairs, flips, strict=True) if pair.twin.identity == kind]
        found.append(_kind(kind, chosen, groups.get(kind), labels, metrics, confidence))
    known = iter(holm([each.p_value for one in found for each in one.directions if each.p_value is not None]))
    return [
        replace(
            one,
            directions=[
                each if each.p_value is None else replace(each, corrected=next(known)) for each in one.directions
            ],
        )
        for one in found
    ]


@dataclass(frozen=True)
class Pair:
    """A pair of rows and what was said of each."""

    twin: Twin
    before: Prediction
    after: Prediction


def _of_kind(rows: Sequence[Record], kind: str, file: Path) -> Iterator[Twin]:
    swaps = open_swaps(file)[kind]
    for row in rows:
        swapped = edited_record(row, swaps.edits, leave=_NOT_PEOPLE)
        if swapped.question != row.question:
            yield Twin(kind, row, replace(swapped, id=f"{row.id}~{kind}", parent=row.id))


def _some(found: list[Twin], most: int) -> list[Twin]:
    """As many as there is room for, spread evenly over the rows."""
    if len(found) <= most:
        return found
    return [found[place] for place in np.linspace(0, len(found) - 1, most).round().astype(int)] if most else []


def _swapped_text(pair: Pair, file: Path) -> str:
    said = pair.before.output
    return edited(said, None, open_swaps(file)[pair.twin.identity].edits(said))[0]


def _words(text: str) -> list[str]:
    return text.split()


def _kind(
    kind: str,
    chosen: Sequence[tuple[Pair, bool]],
    groups: Groups | None,
    labels: Sequence[str],
    metrics: Sequence[Mean],
    confidence: float,
) -> SwappedKind:
    pairs = [pair for pair, _ in chosen]
    moved = np.array([_moved(pair) for pair in pairs])
    words = np.array([float(len(pair.after.output.split()) - len(pair.before.output.split())) for pair in pairs])
    refused = [RefusalRate().scores([pair.before, pair.after]) for pair in pairs]
    gained = sum(after > before for before, after in refused)
    lost = sum(after < before for before, after in refused)
    return SwappedKind(
        identity=kind,
        pairs=len(pairs),
        flips=_mean(np.array([float(flip) for _, flip in chosen]), confidence),
        score=_mean(moved[np.isfinite(moved)], confidence),
        words=Change(None, None) if labels else _mean(words, confidence),
        refused=Change(None, None)
        if labels
        else Change((gained - lost) / len(pairs), closed(agreed_difference(gained, lost, len(pairs), confidence))),
        directions=list(_directions(pairs, groups, labels, metrics)) if groups is not None else [],
        examples=[
            Example(
                pair.before.record.question,
                pair.after.record.question,
                pair.before.output,
                pair.after.output,
            )
            for pair, flip in chosen
            if flip
        ][:SHOWN],
    )


def _moved(pair: Pair) -> float:
    """The largest change of any label's probability."""
    both = pair.before.scores.keys() & pair.after.scores.keys()
    return max((abs(pair.after.scores[label] - pair.before.scores[label]) for label in both), default=math.nan)


def _mean(values: np.ndarray[tuple[int], np.dtype[np.float64]], confidence: float) -> Change:
    if not len(values):
        return Change(None, None)
    return Change(finite(float(values.mean())), closed(mean_interval(values, confidence)))


def _directions(
    pairs: Sequence[Pair], groups: Groups, labels: Sequence[str], metrics: Sequence[Mean]
) -> Iterator[Direction]:
    """Each label or figure from each group to each other, over pairs whose rows each name one group."""
    ways: dict[tuple[str, str], list[tuple[Prediction, Prediction]]] = {}
    for pair in pairs:
        one, other = groups.group_of(pair.before.record.question), groups.group_of(pair.after.record.question)
        if one is None or other is None or one == other or SEVERAL in (one, other):
            continue
        # Both ways of a swap are one direction, from the name that comes first.
        if one < other:
            ways.setdefault((one, other), []).append((pair.before, pair.after))
        else:
            ways.setdefault((other, one), []).append((pair.after, pair.before))
    for (one, other), both in sorted(ways.items()):
        for label in labels:
            given = [[float(label in _given(row)) for row in rows] for rows in both]
            shifts = [after.scores[label] - before.scores[label] for before, after in both if label in after.scores]
            yield _direction(one, other, label, given, shifts)
        if not labels:
            for figure, score in _figures(metrics).items():
                flat = score([row for rows in both for row in rows])
                scored = [flat[place : place + 2] for place in range(0, len(flat), 2)]
                yield _direction(one, other, figure, scored, [after - before for before, after in scored])


def _figures(metrics: Sequence[Mean]) -> dict[str, Callable[[Sequence[Prediction]], list[float]]]:
    """What is followed of answers in words; a metric's classifier is asked about all of them at once."""
    return {
        "words": lambda rows: [float(len(row.output.split())) for row in rows],
        "refused": RefusalRate().scores,
        **{metric.name: metric.scores for metric in metrics},
    }


def _direction(
    one: str, other: str, label: str, scored: Sequence[Sequence[float]], shifts: Sequence[float]
) -> Direction:
    gained = sum(after > before for before, after in scored)
    lost = sum(after < before for before, after in scored)
    mean = finite(float(np.mean(shifts))) if shifts else None
    return Direction(one, other, label, gained, lost, len(scored), mean, mcnemar(gained, lost))


def _given(row: Prediction) -> frozenset[str]:
    return label_sets([row])[0][1]
