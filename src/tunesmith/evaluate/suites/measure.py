"""What a model's answers to a suite come to. N items, C choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from tunesmith.evaluate.comparison import Estimate, closed, finite
from tunesmith.evaluate.statistics.resample import draw
from tunesmith.evaluate.suites.ask import Answer
from tunesmith.evaluate.suites.suite import Item, Suite
from tunesmith.metrics import Floats, Metric
from tunesmith.metrics._intervals import wilson
from tunesmith.part import METRICS
from tunesmith.records import Prediction, Record


@dataclass(frozen=True)
class SuiteResult:
    """A model on a suite."""

    suite: str
    model: str
    kind: str
    num_rows: int
    few_shot: int
    figures: dict[str, Estimate]
    """`acc` and `acc_norm` of choices, the suite's metric of generated answers, `perplexity` of likelihoods."""
    chance: float | None
    """What guessing would score; None where it is no matter of choosing."""
    cut: int
    """Items whose context was cut at its beginning, because the model reads no more."""
    confidence: float
    licence: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain: dict[str, Any] = TypeAdapter(SuiteResult).dump_python(self, mode="json")
        return plain


def right_choices(items: Sequence[Item], answers: Sequence[Answer], *, by_length: bool) -> Floats:
    """[N] 1 where the likeliest choice is the right one, 0 elsewhere.

    Args:
        by_length: likelihoods are shared out over the characters of each choice (`acc_norm`), or not (`acc`).
    """
    found = [
        np.argmax(np.asarray(answer.likely) / ([len(choice) for choice in item.choices] if by_length else 1.0))
        == item.right
        for item, answer in zip(items, answers, strict=True)
    ]
    return np.array(found, dtype=np.float64)


def scores(suite: Suite, answers: Sequence[Answer]) -> list[tuple[float, float]]:
    """(score, what chance would score) of each item, both from 0 to 1: what retention is made of.

    A choice scores the share of its likelihood that the right one has, which tells small changes that the likeliest
    one alone does not. A likelihood scores the probability of the right answer's tokens, in their geometric mean.
    """
    if suite.kind == "choice":
        found = []
        for item, answer in zip(suite.items, answers, strict=True):
            apart_C = np.exp(np.asarray(answer.likely) - max(answer.likely))
            found.append((float(apart_C[item.right] / apart_C.sum()), 1 / len(item.choices)))
        return found
    if suite.kind == "likelihood":
        return [(float(np.exp(answer.likely[0] / max(1, answer.num_tokens))), 0.0) for answer in answers]
    metric = suite.metric
    per_row = metric.per_row(metric.statistics(_predictions(suite, answers)))
    share = (np.nan_to_num(per_row, nan=metric.lowest) - metric.lowest) / (metric.highest - metric.lowest)
    return [(float(value), 0.0) for value in share]


def measure(
    suite: Suite,
    answers: Sequence[Answer],
    model: str,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> SuiteResult:
    """The figures of a suite, with intervals."""
    if suite.kind == "choice":
        figures = {
            name: _proportion(right_choices(suite.items, answers, by_length=by_length), confidence)
            for name, by_length in (("acc", False), ("acc_norm", True))
        }
    else:
        metric = suite.metric if suite.kind == "generate" else METRICS.make("perplexity")
        assert isinstance(metric, Metric)
        figures = {metric.name: _estimate(metric, _predictions(suite, answers), confidence, resamples, seed)}
    choices = [1 / len(item.choices) for item in suite.items if item.choices]
    return SuiteResult(
        suite=suite.name,
        model=model,
        kind=suite.kind,
        num_rows=len(suite.items),
        few_shot=suite.settings.few_shot,
        figures=figures,
        chance=float(np.mean(choices)) if choices else None,
        cut=sum(answer.cut for answer in answers),
        confidence=confidence,
        licence=suite.settings.licence,
    )


def _proportion(right: Floats, confidence: float) -> Estimate:
    return Estimate(float(right.mean()), closed(wilson(float(right.sum()), len(right), confidence)), len(right))


def _estimate(metric: Metric, rows: list[Prediction], confidence: float, resamples: int, seed: int) -> Estimate:
    statistics = metric.statistics(rows)
    drawn = draw([(metric, statistics)], resamples, seed)[0]
    num_rows = int(np.isfinite(metric.per_row(statistics)).sum())
    return Estimate(finite(metric.whole(statistics)), closed(metric.interval(statistics, drawn, confidence)), num_rows)


def _predictions(suite: Suite, answers: Sequence[Answer]) -> list[Prediction]:
    return [
        Prediction(
            Record(id=item.id, source=item.id, text=item.context, references=item.answers[1:]),
            output=answer.text,
            expected=item.answers[0],
            nll=-answer.likely[0] if answer.likely else None,
            num_tokens=answer.num_tokens,
            num_chars=len(item.answers[0]),
        )
        for item, answer in zip(suite.items, answers, strict=True)
    ]
