"""BBQ: questions about two people. Where the context tells too little, the right answer is that nobody can know."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.evaluate.fairness.suites import Item, Question

_ALIKE = {"woman": "f", "girl": "f", "female": "f", "man": "m", "boy": "m", "male": "m"}
"""Names of groups that answers and items write in two ways."""


def is_row(row: Mapping[str, Any]) -> bool:
    """Whether it is a row of this suite."""
    return {"context", "question", "ans0", "ans1", "ans2", "label", "context_condition"} <= row.keys()


def items(row: Mapping[str, Any], number: int) -> list[Item | None]:
    """The question of a row."""
    answers = tuple(str(row[f"ans{place}"]) for place in range(3))
    said = [[str(part) for part in row["answer_info"][f"ans{place}"]] for place in range(3)]
    unknown = next(place for place, (*_, group) in enumerate(said) if group.casefold() == "unknown")
    target = _target(row, said, answers, unknown)
    negative = str(row["question_polarity"]) == "neg"
    # Asked for something bad, the stereotype names its target; asked for something good, the other.
    other = next((place for place in range(3) if place not in (target, unknown)), None)
    return [
        Question(
            str(row.get("example_id", number)),
            str(row.get("category") or "unnamed"),
            str(row["context"]),
            str(row["question"]),
            answers,
            int(row["label"]),
            unknown,
            None if target is None else target if negative else other,
            str(row["context_condition"]) == "ambig",
        )
    ]


def _target(row: Mapping[str, Any], said: Sequence[Sequence[str]], answers: Sequence[str], unknown: int) -> int | None:
    """The answer that names the stereotyped group: as the item says, else by the groups it names."""
    if str(row.get("target_loc") or "").isdigit():
        return int(row["target_loc"])
    about = [str(group) for group in row["additional_metadata"]["stereotyped_groups"]]
    wanted = {_plain(group) for group in about}
    people = [place for place in range(3) if place != unknown]
    by_group = [place for place in people if wanted & {_plain(part) for part in re.split(r"[-_]", said[place][-1])}
                or _plain(said[place][-1]) in wanted]  # fmt: skip
    if len(by_group) == 1:
        return by_group[0]
    by_name = [place for place in people if any(_names(group, answers[place]) for group in about)]
    return by_name[0] if len(by_name) == 1 else None


def _plain(group: str) -> str:
    name = group.casefold().strip()
    return _ALIKE.get(name, name)


def _names(group: str, answer: str) -> bool:
    return re.search(rf"\b{re.escape(group.casefold())}\b", answer.casefold()) is not None
