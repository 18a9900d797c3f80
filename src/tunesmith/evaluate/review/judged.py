"""What people said in a review beside what a judge said of the same answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunesmith.evaluate.judged import Held, JudgedCriterion
from tunesmith.evaluate.review.measured import rated
from tunesmith.evaluate.review.rubric import Preference
from tunesmith.evaluate.review.stored import Filled
from tunesmith.metrics.judged import measure_name
from tunesmith.records import Prediction


def people_and_judge(found: JudgedCriterion, review: Filled, arms: Mapping[str, Sequence[Prediction]]) -> list[Held]:
    """The answers that both rated by a criterion of the same name; none where the review asks for no such one.

    A judge that compares is held against people's preference between the same two arms, any other against what
    people said of each arm's answers by themselves.

    Args:
        found: of the judge.
        review: with its answers.
        arms: the run's predictions, with what judges said of them.
    """
    asked = {criterion.name: criterion for criterion in review.review.rubric.criteria}.get(found.criterion)
    compares = bool(found.against)
    if asked is None or isinstance(asked, Preference) != compares:
        return []
    if compares and set(review.review.plan["arms"]) != {found.against, "tuned"}:
        return []
    name, said = f"review.{found.criterion}", measure_name(found.judge, found.criterion)
    pairs = []
    for arm in ["tuned"] if compares else review.review.plan["arms"]:
        for row in rated(arms.get(arm, ()), review, arm):
            if {name, said} <= row.measured.keys():
                low, high = row.measured[f"{name}.lowest"], row.measured[f"{name}.highest"]
                people = (row.measured[name] - low) / (high - low)
                pairs.append(Held(row.record.id, people, row.measured[said]))
    return pairs
