"""Which trials are ended early: what the pruners say of courses."""

from __future__ import annotations

import pytest
from tests.unit.search_fake import FIRST, asked

from tunesmith.search.pruning import Pruning
from tunesmith.search.study import Aim, Trial


def trial(number: int, scores, state="done") -> Trial:
    course = tuple((10 * look, score) for look, score in enumerate(scores, 1))
    return Trial(number, FIRST, "", state, (scores[-1],), course)


def line(last: float) -> list[float]:
    return [round(last * look / 9, 6) for look in range(1, 10)]


OTHERS = [trial(0, line(0.9)), trial(1, line(0.5)), trial(2, line(0.7)), trial(3, line(0.6)), trial(4, line(0.8))]


def ended_at(search, scores, trials=OTHERS) -> int | None:
    """The look at which a trial is ended, and None where it goes through."""
    pruning = Pruning(search, len(trials), trials)
    return next((look for look, score in enumerate(scores, 1) if pruning.after(score)), None)


def test_a_median_ends_the_lower_half() -> None:
    search = asked(pruner="median", together=1)
    assert ended_at(search, line(0.69)) == 1 and ended_at(search, line(0.71)) is None
    assert ended_at(asked(pruner="median", together=1, grace=4), line(0.5)) == 4
    assert ended_at(search, line(0.1), OTHERS[:3]) is None, "a median of three is nothing"


def test_asha_lets_one_in_three_on_at_its_rungs() -> None:
    search = asked(pruner="asha", together=1)
    assert ended_at(search, line(0.79)) == 1
    assert ended_at(search, line(0.85)) is None
    late = [*line(0.95)[:2], 0.1, *line(0.95)[3:]]
    assert ended_at(search, late) == 3, "the second rung"
    assert ended_at(asked(pruner="asha", together=1, reduction=2), line(0.65)) == 1
    assert ended_at(asked(pruner="asha", together=1, reduction=2), line(0.8)) is None
    assert ended_at(asked(pruner="asha", together=1, grace=2), line(0.5)) == 2


def test_a_trial_sees_only_those_before_it() -> None:
    assert ended_at(asked(pruner="asha", together=1), line(0.6)) == 1
    assert ended_at(asked(pruner="asha", together=6), line(0.6)) is None, "none of the five is seen"
    best_unseen = [trial(0, line(0.5)), trial(1, line(0.9))]
    assert ended_at(asked(pruner="asha", together=2), line(0.6), best_unseen) is None


def test_a_loss_is_better_when_lower() -> None:
    search = asked(pruner="asha", together=1, aims=(Aim("loss", "minimize"),))
    assert ended_at(search, line(0.49)) is None and ended_at(search, line(0.95)) == 1


def test_hyperband_looks_later_at_some() -> None:
    search = asked(pruner="hyperband", together=1)
    found = {ended_at(search, line(0.1), [*OTHERS, *OTHERS, *OTHERS][:count]) for count in range(5, 15)}
    assert len(found) > 1, "trials of different brackets are looked at at different points"
    other = asked(pruner="hyperband", together=1, seed=7)
    counts = range(5, 15)
    assert [ended_at(search, line(0.1), (OTHERS * 3)[:c]) for c in counts] != [
        ended_at(other, line(0.1), (OTHERS * 3)[:c]) for c in counts
    ]


def test_without_a_pruner_all_go_through_and_the_reason_names_the_figures() -> None:
    assert ended_at(asked(pruner="none", together=1), line(0.0)) is None
    pruning = Pruning(asked(pruner="asha", together=1), 5, OTHERS)
    said = pruning.after(0.05)
    assert said is not None
    for part in ("accuracy 0.05 at look 1 of 9", "best 1/3 of 5 trials", "0.1 (asha)"):
        assert part in said, said


@pytest.mark.parametrize("pruner", ["median", "asha", "hyperband"])
def test_nothing_is_ended_at_its_last_look(pruner: str) -> None:
    search = asked(pruner=pruner, together=1, grace=9)
    assert ended_at(search, line(0.01)) is None
