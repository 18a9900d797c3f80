"""What a trial is: a function of the spec, the seed and the trials it may see."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError
from tests.unit.search_fake import FIRST, KIND, LR, RANK, SHARE, asked, score

from tunesmith.search.sampling import propose
from tunesmith.search.space import count, distribution, known_as, points, said_by, size, value_at
from tunesmith.search.study import Aim, Dimension, Study, Trial, best, front
from tunesmith.spec.rooms.search import Search


def done(number: int, params, value: float | None = None, state="done") -> Trial:
    value = score(params, 9) if value is None else value
    return Trial(number, params, "", state, () if state == "failed" else (value,), ((90, value),))


def played(search, count: int) -> list[Trial]:
    trials: list[Trial] = []
    for number in range(count):
        said = propose(search, number, trials)
        if said is None:
            break
        trials.append(done(number, said[0]))
    return trials


def test_values_lie_in_the_space_and_are_tidy() -> None:
    for place in (0.0, 0.31, 0.5, 0.9999):
        lr, rank, share = (value_at(dimension, place) for dimension in (LR, RANK, SHARE))
        assert LR.holds(lr) and float(f"{lr:.4g}") == lr
        assert rank in (4, 8, 12, 16) and isinstance(rank, int)
        assert SHARE.holds(share)
    assert value_at(LR, 0.5) == pytest.approx(1e-3), "half-way on a log scale"
    assert [value_at(KIND, place) for place in (0.0, 0.49, 0.51)] == ["full", "full", {"kind": "lora"}]
    whole = Dimension("x", "int", 1, 100, log=True)
    assert value_at(whole, 0.0) == 1 and value_at(whole, 0.9999) == 100 and value_at(whole, 0.5) < 20


def test_a_space_is_counted_and_walked() -> None:
    stepped = Dimension("x", "float", 0.0, 0.3, step=0.1)
    assert count(stepped) == 4 and count(LR) is None and size((LR, RANK)) is None
    assert [point["x"] for point in points([stepped])] == [0.0, 0.1, 0.2, 0.3]
    assert size((stepped, RANK, KIND)) == 32 == len(list(points((stepped, RANK, KIND))))
    for dimension, value in ((stepped, 0.2), (RANK, 12), (KIND, {"kind": "lora"})):
        assert said_by(dimension, known_as(dimension, value)) == value
        assert distribution(dimension)._contains(distribution(dimension).to_internal_repr(known_as(dimension, value)))


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp"])
def test_a_trial_is_a_function_of_what_it_may_see(sampler: str) -> None:
    rules = {"sampler": sampler, "together": 3, "seed": 5} | ({} if sampler == "random" else {"startup": 3})
    search = asked(**rules)
    trials = played(search, 6)
    for number in (4, 5):
        again = propose(search, number, trials[:number])
        assert again is not None and again[0] == trials[number].params
        # What the last two came to is not seen: whether they have ended is no matter.
        blind = [replace(t, values=(0.0,), state="running") if t.number > number - 3 else t for t in trials[:number]]
        assert propose(search, number, blind) == again
    others = played(asked(**rules | {"seed": 6}), 6)
    assert [t.params for t in others[1:]] != [t.params for t in trials[1:]]


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_samplers_learn_and_say_from_what(sampler: str) -> None:
    search = asked(sampler=sampler, startup=3, together=1, seed=1)
    trials = played(search, 7)
    said = [propose(search, number, trials[:number])[1] for number in range(7)]
    assert said[0] == "first: the spec as it is" and said[1] == "spread evenly over the space"
    assert said[3] == "spread evenly over the space" and said[6] == f"{sampler}, from 6 trials"
    ranked = sorted(trials[:6], key=lambda trial: trial.values)
    turned = [replace(a, values=b.values) for a, b in zip(ranked, ranked[::-1], strict=True)]
    other = sorted(turned, key=lambda trial: trial.number)
    assert propose(search, 6, other)[0] != propose(search, 6, trials[:6])[0], "what was found decides"


def test_a_failed_trial_counts_as_the_worst() -> None:
    from tunesmith.search.sampling import told

    search = asked()
    trials = [done(0, FIRST, 0.8), done(1, FIRST | {"train.adapter.rank": 4}, 0.3), done(2, FIRST, state="failed")]
    assert [trial.value for trial in told(search.study, trials).trials] == [0.8, 0.3, 0.3]
    low = replace(search.study, aims=(Aim("loss", "minimize"),))
    assert [trial.value for trial in told(low, trials).trials] == [0.8, 0.3, 0.8]


def test_values_outside_of_the_space_are_told_to_no_sampler() -> None:
    search = asked(first=FIRST | {"train.optimizer.lr": 0.9, "train.adapter.rank": None}, sampler="tpe", startup=1)
    trials = played(search, 6)
    assert trials[0].params["train.optimizer.lr"] == 0.9
    assert all(LR.holds(trial.params["train.optimizer.lr"]) for trial in trials[1:])


def test_a_grid_is_walked_once_in_an_order_of_its_own() -> None:
    space = (RANK, Dimension("train.regularize.dropout", "float", 0.0, 0.2, step=0.1))
    first = {"train.adapter.rank": 8, "train.regularize.dropout": 0.1}
    trials = played(asked(space, first, sampler="grid"), 30)
    assert len(trials) == 12 and trials[0].params == first
    assert len({str(trial.params) for trial in trials}) == 12
    other = played(asked(space, first, sampler="grid", seed=1), 30)
    assert [t.params for t in other] != [t.params for t in trials]


def test_no_point_is_tried_twice_while_others_are_left() -> None:
    space = (RANK, KIND)
    first = {"train.adapter.rank": 8, "train.adapter": "full"}
    for sampler in ("random", "tpe"):
        trials = played(asked(space, first, sampler=sampler), 30)
        assert len(trials) == 8 == len({str(trial.params) for trial in trials})


def test_the_best_and_the_front() -> None:
    aims = (Aim("accuracy", "maximize"), Aim("size", "minimize", "MB"))
    values = [(0.8, 10.0), (0.9, 20.0), (0.9, 15.0), (0.7, 12.0), (0.9, 15.0)]
    trials = tuple(Trial(n, {}, "", "done", v) for n, v in enumerate(values))
    study = Study("x", 1, aims, (), "tpe", "none", 5, (*trials, Trial(5, {}, "", "pruned", (0.99,))))
    assert best(study).number == 1, "by the first aim, the earliest of equals"
    assert front(study) == (0, 2, 4)
    assert Study.from_json(study.to_json()) == study
    assert best(replace(study, trials=())) is None


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"vary": {"a": {"low": 2, "high": 1}}}, "low must be below high"),
        ({"vary": {"a": {"low": 0, "high": 1, "log": True}}}, "begins above 0"),
        ({"vary": {"a": {"low": 1, "high": 2, "log": True, "step": 1}}}, "steps are of equal size"),
        ({"vary": {"a": {"low": 1}}}, "write a list of values, or a range"),
        ({"vary": {"a": [1, 1]}}, "a choice stands there twice"),
        ({"vary": {"a": {"choices": [1, 2], "log": True}}}, "log belongs to a range"),
        ({"aims": ["accuracy", "size"], "pruner": "asha"}, "asha looks at one aim alone"),
        ({"aims": ["size", "size"]}, "an aim stands there twice"),
        ({"sampler": "random", "startup": 3}, "startup is for tpe and gp"),
        ({"pruner": "none", "grace": 2}, "grace is for trials that are ended early"),
        ({"pruner": "median", "reduction": 2}, "reduction is for asha and hyperband"),
    ],
)
def test_what_has_no_effect_or_no_sense_is_refused(said, wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        Search.model_validate(said)
