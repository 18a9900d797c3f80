"""Single rows explained: what each token adds, what each word is worth, where the model looks.

L layers, H heads, T tokens, W words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tunesmith.data.methods.augmenting.target import said
from tunesmith.data.methods.augmenting.words import Word, pieces
from tunesmith.evaluate.comparison import Estimate, closed
from tunesmith.evaluate.explain.found import Effect, Explained, Sanity, Token
from tunesmith.evaluate.explain.gradients import TOLERANCE, Attribution, attribute
from tunesmith.evaluate.explain.put import Put, answer_of, put, scores
from tunesmith.evaluate.explain.words import without_places
from tunesmith.evaluate.statistics.independent import mean_interval
from tunesmith.models.inference.inside import attentions, shuffled_weights
from tunesmith.records import Prediction, Record

if TYPE_CHECKING:
    from tunesmith.data.encode.tokenize import Codec
    from tunesmith.models.model import Model

FEWEST_WORDS = 3
"""Words below which no two orders are compared."""
MOST_WORDS = 100
"""Words of a row that are left out in turn, the first ones."""

Ask = Callable[[Sequence[Record]], Sequence[Record]]
"""Puts rows as they are put to the model."""


def choose(rows: Sequence[Prediction], count: int) -> list[Prediction]:
    """Rows to explain, half of them answered wrong where there are so many; those of one word are left out."""
    fit = [row for row in rows if len(pieces(said(row.record))) > 1 and row.output]
    wrong = [row for row in fit if row.output != row.expected]
    right = [row for row in fit if row.output == row.expected]
    some = wrong[: max(count // 2, count - len(right))]
    return [*some, *right[: count - len(some)]]


def explain(
    model: Model, codec: Codec, rows: Sequence[Prediction], ask: Ask, *, batch: int, confidence: float, seed: int
) -> tuple[list[Explained], Sanity | None]:
    """Explains what a model answers to some rows, and whether that can be leant on.

    Args:
        model: any that answers.
        codec: of the model.
        rows: as the data hold them, with what the model answers.
        ask: puts rows as they are put to the model.
        batch: rows, or steps of a gradient, computed at once.
        confidence: of the intervals.
        seed: mixes up the weights of the model that is compared with.
    """
    puts = [
        (row, found)
        for row, asked in zip(rows, ask([row.record for row in rows]), strict=True)
        if (found := put(codec, row.record, asked, answer_of(codec, row))) is not None and found.free.any()
    ]
    attributed = [attribute(model, each, batch=batch) for _, each in puts]
    explained = [
        _explained(model, codec, row, each, shares, ask, batch)
        for (row, each), shares in zip(puts, attributed, strict=True)
    ]
    with shuffled_weights(model, seed):
        others = [
            attribute(model, each, batch=batch, most=shares.steps, steps=shares.steps)
            for (_, each), shares in zip(puts, attributed, strict=True)
        ]
    pairs = [
        rank_correlation(one.values[each.free], other.values[each.free])
        for (_, each), one, other in zip(puts, attributed, others, strict=True)
    ]
    return explained, _sanity(explained, attributed, pairs, confidence) if explained else None


def rank_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    """Spearman's; None where there are too few numbers, or all are the same."""
    if len(one) < FEWEST_WORDS or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each value's place in their order; equal ones share the middle of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middles: NDArray[np.float64] = np.cumsum(counts) - (counts - 1) / 2
    return middles[inverse]


def _explained(
    model: Model, codec: Codec, row: Prediction, each: Put, shares: Attribution, ask: Ask, batch: int
) -> Explained:
    question = said(row.record)
    words = pieces(question)
    groups = _together(each)
    values = [float(shares.values[group].sum()) for group, _ in groups]
    spans = [span for _, span in groups]
    whole = float(scores(model, [each], batch=1)[0])
    worth = _worth(model, codec, row.record, words[:MOST_WORDS], each, whole, ask, batch)
    added = np.zeros(len(words))
    for (start, end), value in zip(spans, values, strict=True):
        added[_word_at(words, start, end)] += value
    effects = [Effect(word.text, float(a), w) for word, a, w in zip(words, added, worth, strict=False)]
    ranked = sorted(row.scores, key=lambda label: -row.scores[label])
    return Explained(
        id=row.record.id,
        question=question,
        given=row.output,
        expected=row.expected,
        against=ranked[1] if len(each.answer.written) > 1 else "",
        score=whole,
        difference=shares.difference,
        gap=shares.gap,
        steps=shares.steps,
        tokens=[Token(question[start:end], value) for (start, end), value in zip(spans, values, strict=True)],
        words=effects,
        agreement=rank_correlation(
            np.array([effect.gradients for effect in effects]), np.array([effect.ablation for effect in effects])
        ),
        attention=_attention(model, each, [group for group, _ in groups]),
        neighbours=[],
    )


def _worth(
    model: Model, codec: Codec, record: Record, words: Sequence[Word], each: Put, whole: float, ask: Ask, batch: int
) -> list[float]:
    """[W]: what is lost of what is explained when each word is left out, wherever it stands by itself."""
    shorter = [without_places(record, [word]) for word in words]
    puts = [put(codec, less, asked, each.answer) for less, asked in zip(shorter, ask(shorter), strict=True)]
    there = [found for found in puts if found is not None]
    told = iter(scores(model, there, batch=batch).tolist())
    return [0.0 if found is None else whole - next(told) for found in puts]


def _together(each: Put) -> list[tuple[list[int], tuple[int, int]]]:
    """The question's tokens with the characters they stand for; those that stand for the same ones together."""
    groups: list[tuple[list[int], tuple[int, int]]] = []
    for token in np.flatnonzero(each.free).tolist():
        start, end = each.places[token].tolist()
        if groups and groups[-1][1] == (start, end):
            groups[-1][0].append(token)
        else:
            groups.append(([token], (start, end)))
    return groups


def _word_at(words: Sequence[Word], start: int, end: int) -> int:
    """The word that a stretch shares most characters with, or is nearest to: a blank by itself may be a token."""
    return int(np.argmax([min(end, word.end) - max(start, word.start) for word in words]))


def _attention(model: Model, each: Put, groups: Sequence[Sequence[int]]) -> list[list[float]]:
    """How much the tokens are looked at from where the answer is read off, in the mean of the heads."""
    found_LHTT = attentions(model, each.ids)
    if found_LHTT is None:
        return []
    looked_LTT = found_LHTT.mean(axis=1)
    pooling = model.head.pooling if model.head is not None else "last" if model.family == "causal" else "mean"
    looked_LT = looked_LTT.mean(axis=1) if pooling == "mean" else looked_LTT[:, 0 if pooling == "first" else -1]
    return [[float(looked_T[list(group)].sum()) for group in groups] for looked_T in looked_LT]


def _sanity(
    explained: Sequence[Explained],
    attributed: Sequence[Attribution],
    shuffled: Sequence[float | None],
    confidence: float,
) -> Sanity:
    gaps = [each.gap for each in attributed]
    return Sanity(
        rows=len(explained),
        gap=max(gaps),
        incomplete=sum(gap > TOLERANCE for gap in gaps),
        agreement=_mean([each.agreement for each in explained], confidence),
        shuffled=_mean(shuffled, confidence),
    )


def _mean(values: Sequence[float | None], confidence: float) -> Estimate:
    known = np.array([value for value in values if value is not None])
    if not len(known):
        return Estimate(None, None, 0)
    limits = mean_interval(known, confidence)
    within = limits and (max(-1.0, limits[0]), min(1.0, limits[1]))
    return Estimate(float(known.mean()), closed(within), len(known))
