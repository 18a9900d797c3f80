"""Populations that rows are drawn from; what a metric comes to over all of one is what intervals must hold."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from tunesmith.metrics.robustness import measure_names
from tunesmith.records import Prediction, Record, Span

ROWS = 4000
LABELS = ("billing", "delivery", "praise")
PRIORS = (0.6, 0.3, 0.1)
GROUPS = ("email", "phone")
CHANGE = "typos"


@cache
def labels(seed: int, strength: float = 1.5) -> list[Prediction]:
    """Three labels, one of them rare, from a model that is surer than it is right; rows stay, models go by strength."""
    rows = np.random.default_rng(seed)
    right = rows.choice(3, ROWS, p=PRIORS)
    group = rows.choice(2, ROWS, p=(0.7, 0.3))
    evidence = rows.normal(size=(ROWS, 3))
    evidence[np.arange(ROWS), right] += strength - 0.4 * group
    logits = 1.5 * strength * evidence + np.log(PRIORS)
    sure = np.exp(logits - logits.max(1, keepdims=True))
    sure /= sure.sum(1, keepdims=True)
    return [
        Prediction(
            Record(str(row), "", text="", labels=(LABELS[right[row]],), slices={"channel": GROUPS[group[row]]}),
            output=LABELS[int(sure[row].argmax())],
            expected=LABELS[right[row]],
            scores=dict(zip(LABELS, sure[row].tolist(), strict=True)),
        )
        for row in range(ROWS)
    ]


_WORDS = [
    "the",
    "card",
    "was",
    "sent",
    "on",
    "monday",
    "and",
    "came",
    "back",
    "with",
    "no",
    "answer",
    "from",
    "our",
    "desk",
]


@cache
def texts(seed: int, kept: float = 0.8) -> list[Prediction]:
    """Answers of 3 to 12 words, some of them right, others with words lost or changed."""
    rows = np.random.default_rng(seed)
    drawn = []
    for row in range(ROWS):
        wanted = [_WORDS[place] for place in rows.integers(len(_WORDS), size=rows.integers(3, 13))]
        hard = rows.random(len(wanted)) * rows.choice((0.4, 1.0))
        other = [_WORDS[place] for place in rows.integers(len(_WORDS), size=len(wanted))]
        said = [word if by < kept else new for word, by, new in zip(wanted, hard, other, strict=True) if by < 0.95]
        drawn.append(Prediction(Record(str(row), ""), " ".join(said), " ".join(wanted)))
    return drawn


@cache
def tagged(seed: int) -> list[Prediction]:
    """Texts with no name to several, of which some are found and some are invented."""
    rows = np.random.default_rng(seed)
    drawn = []
    for row in range(ROWS):
        right = tuple(Span(10 * place, 10 * place + 5, "name") for place in range(rows.poisson(1.5)))
        found = tuple(span for span in right if rows.random() < 0.7)
        wrong = tuple(Span(10 * place + 6, 10 * place + 9, "name") for place in range(rows.poisson(0.4)))
        text = "x" * 10 * (len(right) + len(wrong) + 1)
        drawn.append(Prediction(Record(str(row), "", text=text, spans=right), "", "", spans=found + wrong))
    return drawn


def _measured(draw: Callable[[np.random.Generator], dict[str, float]], seed: int) -> list[Prediction]:
    rows = np.random.default_rng(seed)
    return [Prediction(Record(str(row), ""), "", "", measured=draw(rows)) for row in range(ROWS)]


@cache
def rated(seed: int, mean: float = 3.6) -> list[Prediction]:
    """Means of two raters on five points, a preference that may be a tie, and what a judge said."""

    def draw(rows: np.random.Generator) -> dict[str, float]:
        points = np.clip(np.round(rows.normal(mean, 1.0) + rows.normal(0, 0.5, 2)), 1, 5)
        won = rows.choice((0.0, 0.5, 1.0), p=(0.25, 0.2, 0.55))
        scale = {"review.helpful.lowest": 1.0, "review.helpful.highest": 5.0}
        ends = {"review.preference.lowest": 0.0, "review.preference.highest": 1.0}
        judged = {"judge.rubric.polite": (points[0] - 1) / 4}
        return {"review.helpful": points.mean(), **scale, "review.preference": won, **ends, **judged}

    return _measured(draw, seed)


@cache
def kept(seed: int) -> list[Prediction]:
    """Items of an ability with four choices: a base that is well above chance, a tuned model that lost some of it."""

    def draw(rows: np.random.Generator) -> dict[str, float]:
        before = rows.beta(3, 2)
        return {"before": before, "after": float(np.clip(before * rows.beta(8, 2), 0, 1)), "chance": 0.25}

    return _measured(draw, seed)


@cache
def changed(seed: int, graded: bool) -> list[Prediction]:
    """Rows before and after typos, scored 0 or 1, or anything between."""
    was, now = measure_names(CHANGE)

    def draw(rows: np.random.Generator) -> dict[str, float]:
        if graded:
            before = rows.beta(4, 1)
            return {was: before, now: before * rows.beta(9, 1) if rows.random() < 0.5 else before}
        before = float(rows.random() < 0.85)
        return {was: before, now: before * (rows.random() < 0.9) or float(rows.random() < 0.02)}

    return _measured(draw, seed)


@cache
def attacked(seed: int) -> list[Prediction]:
    """Rows that were trained on, or not, with what an attack makes of each."""

    def draw(rows: np.random.Generator) -> dict[str, float]:
        member = float(rows.random() < 0.5)
        return {"privacy.member": member, "privacy.loss": rows.normal(0.4 * member, 1.0)}

    return _measured(draw, seed)


@cache
def timed(seed: int, factor: float = 1.0) -> list[Prediction]:
    """Calls with a long tail of times, their tokens, and the nll of what is right."""
    rows = np.random.default_rng(seed)
    drawn = []
    for row in range(ROWS):
        read, written = int(rows.integers(20, 200)), int(rows.geometric(0.05))
        tokens = {"prompt_tokens": float(read), "answer_tokens": float(written)}
        nats = float(rows.gamma(2.0, 0.4, written).sum())
        seconds = factor * float(rows.lognormal(-1, 0.6))
        drawn.append(
            Prediction(
                Record(str(row), ""), "", "", nll=nats, num_tokens=written, num_chars=4 * written, seconds=seconds,
                measured=tokens,
            )
        )  # fmt: skip
    return drawn
