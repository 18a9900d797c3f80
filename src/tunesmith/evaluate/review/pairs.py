"""Preference pairs out of a review, as `data.sources` reads them: one JSON object a line with prompt, chosen, rejected.

A pair is two arms' answers to one question of which people held one to be better: by the criterion `preference`, or by
their ratings where they lie far enough apart. Turns are written as messages, so that no text can be read as anything
but what it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tunesmith.errors import UserError
from tunesmith.evaluate.review.measured import ratings
from tunesmith.evaluate.review.rubric import Choice, Preference
from tunesmith.evaluate.review.stored import Filled


def pairs(review: Filled, criterion: str | None = None, margin: float | None = None) -> Iterator[dict[str, Any]]:
    """The pairs of a review.

    Args:
        review: with its answers.
        criterion: what decides; the first preference, or else the first criterion with numbers, when left out.
        margin: how much better the chosen one must be: of a preference the lead of its share of the raters (0.5 is
            three quarters of them), of ratings the points between the means. Any lead when left out.

    Raises:
        UserError: nothing in the review tells which of two answers is better.
    """
    name = criterion or _decides(review)
    if not any(one.name == name and not isinstance(one, Choice) for one in review.review.rubric.criteria):
        raise UserError(f"no criterion {name!r} says which answer is better", where="--criterion", fix=_fix(review))
    if len(review.review.plan["arms"]) < 2:
        raise UserError(f"{review.review!s} holds answers of one arm, and a pair needs two", fix=_TWO)
    for item in review.items.values():
        texts = {arm: item.shown["outputs"][letter] for letter, arm in item.hidden["arms"].items()}
        said = {arm: ratings(review, item, arm).get(f"review.{name}") for arm in texts}
        ranked = sorted(((value, arm) for arm, value in said.items() if value is not None), reverse=True)
        if len(ranked) < 2 or texts[ranked[0][1]].strip() == texts[ranked[-1][1]].strip():
            continue
        lead = ranked[0][0] - ranked[-1][0]
        if lead <= 0 or (margin is not None and lead < margin):
            continue
        yield {
            "prompt": item.shown["prompt"],
            "chosen": [{"role": "assistant", "content": texts[ranked[0][1]]}],
            "rejected": [{"role": "assistant", "content": texts[ranked[-1][1]]}],
            "id": item.hidden["record"],
            "lead": lead,
        }


_TWO = "draw a review with two arms: tunesmith review new RUN --arms base,tuned"


def _decides(review: Filled) -> str:
    criteria = review.review.rubric.criteria
    best = [one.name for one in criteria if isinstance(one, Preference)]
    best += [one.name for one in criteria if not isinstance(one, Choice)]
    return best[0] if best else ""


def _fix(review: Filled) -> str:
    able = [one.name for one in review.review.rubric.criteria if not isinstance(one, Choice)]
    return f"use one of: {', '.join(able)}" if able else "ask for a preference or a rating"
