"""What trial n is: a function of what was asked, of the seed, and of the trials that it may see.

It sees the outcome of trials 0 to n - together, all of which have ended before it begins, and of those in between their
values alone. So it does not matter which process was faster, nor how often a search was broken off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tunesmith.search.space import distribution, holds, known_as, points, said_by, size, value_at
from tunesmith.search.study import Dimension, Study, Trial, Value
from tunesmith.spec.rooms.search import Search

if TYPE_CHECKING:
    import optuna

STARTUP = 4
"""Trials beside one a dimension before a sampler is asked: what benchmarks/search.py found best."""
GRACE, REDUCTION = 1, 3
"""Looks before a trial may be ended early, and the one in so many that goes on then."""
EXPLORE = 3
"""Of so many trials one is a point of the even spread still, so that no sampler stays in the first good corner."""
TRIES = 20
"""Draws after which a point that was tried already is looked for among those that are left."""
MOST_POINTS = 100_000
"""Points of a grid, at most; a larger one is a mistake."""


@dataclass(frozen=True)
class Asked:
    """What a search is: everything that decides its trials beside what they come to."""

    study: Study
    """Without its trials."""
    rules: Search
    """With nothing left open."""
    first: dict[str, Value]
    """The values that the spec has as it is."""

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        return self.study.dimensions

    @property
    def startup(self) -> int:
        """Trials before the sampler is asked."""
        assert self.rules.startup is not None, "resolved"
        return self.rules.startup

    def seen(self, number: int, trials: Sequence[Trial]) -> list[Trial]:
        """Those whose outcome trial `number` may know."""
        return [trial for trial in trials if trial.number <= number - self.rules.together]


def settled(rules: Search, width: int) -> Search:
    """The rules with what they leave open filled in, where it has an effect.

    Args:
        rules: which pruner is used, and how often trials are looked at, is known.
        width: how many paths are varied.
    """
    found: dict[str, int | None] = {}
    if rules.sampler in ("tpe", "gp"):
        found["startup"] = rules.startup or STARTUP + width
    if rules.pruner != "none":
        found["grace"] = rules.grace or GRACE
    if rules.pruner in ("asha", "hyperband"):
        found["reduction"] = rules.reduction or REDUCTION
    return rules.model_copy(update=found)


def propose(asked: Asked, number: int, trials: Sequence[Trial]) -> tuple[dict[str, Value], str] | None:
    """The values of trial `number`, and what chose them; None where every point was tried.

    Args:
        asked: the search.
        number: of the trial.
        trials: all before it; of those that it does not see only the values are looked at.
    """
    if number == 0:
        return asked.first, "first: the spec as it is"
    taken = [trial.params for trial in trials]
    if asked.rules.sampler == "grid":
        left = _shuffled(asked, [point for point in points(asked.dimensions) if point != asked.first])
        return (left[number - 1], f"point {number} of {len(left)} of the grid") if number <= len(left) else None
    whole = size(asked.dimensions)
    for attempt in range(TRIES):
        params, origin = _draw(asked, number, attempt, trials)
        if params not in taken:
            return params, origin
    if whole is None or whole > MOST_POINTS:
        return params, origin
    left = _shuffled(asked, [point for point in points(asked.dimensions) if point not in taken])
    return (left[0], "one of the points that were left") if left else None


def _shuffled(asked: Asked, left: list[dict[str, Value]]) -> list[dict[str, Value]]:
    """In the order in which points are tried, so that few of them are not a corner of the space."""
    order = np.random.default_rng(asked.rules.seed).permutation(len(left))
    return [left[place] for place in order]


def _draw(asked: Asked, number: int, attempt: int, trials: Sequence[Trial]) -> tuple[dict[str, Value], str]:
    rules, dimensions = asked.rules, asked.dimensions
    drawn = np.random.default_rng([rules.seed, number, attempt])
    known = [trial for trial in asked.seen(number, trials) if holds(dimensions, trial.params)]
    learns = rules.sampler in ("tpe", "gp") and number > asked.startup and number % EXPLORE
    if learns and any(trial.values for trial in known):
        return _asked_of_sampler(asked, number, trials, int(drawn.integers(2**31)))
    if rules.sampler in ("tpe", "gp") and not attempt:
        places, origin = _spread(len(dimensions), number, rules.seed), "spread evenly over the space"
    else:
        places, origin = drawn.random(len(dimensions)), "drawn at random"
    return {d.path: value_at(d, float(place)) for d, place in zip(dimensions, places, strict=True)}, origin


def _spread(width: int, number: int, seed: int) -> np.ndarray[Any, Any]:
    """Point `number` of a scrambled Sobol sequence (Owen 1998), which leaves smaller gaps than chance."""
    from scipy.stats.qmc import Sobol

    sequence = Sobol(width, scramble=True, seed=seed)
    found: np.ndarray[Any, Any] = sequence.fast_forward(number).random(1)[0]
    return found


def _asked_of_sampler(asked: Asked, number: int, trials: Sequence[Trial], seed: int) -> tuple[dict[str, Value], str]:
    """What Optuna's sampler says, fresh from its seed, when it is told of exactly the trials that may be known."""
    import optuna

    seen = asked.seen(number, trials)
    unseen = [trial for trial in trials if trial not in seen]
    sampler: optuna.samplers.BaseSampler
    if asked.rules.sampler == "tpe":
        sampler = optuna.samplers.TPESampler(n_startup_trials=0, multivariate=True, constant_liar=True, seed=seed)
    else:
        sampler = optuna.samplers.GPSampler(n_startup_trials=0, seed=seed)
    study = told(asked.study, [*seen, *(blank(trial) for trial in unseen)], sampler, asked.rules.sampler)
    answer = study.ask({dimension.path: distribution(dimension) for dimension in asked.dimensions}).params
    params = {d.path: said_by(d, answer[d.path]) for d in asked.dimensions}
    return params, f"{asked.rules.sampler}, from {len(seen)} trial{'s' if len(seen) > 1 else ''}"


def blank(trial: Trial) -> Trial:
    """A trial as one that is under way: its values alone are known."""
    return replace(trial, state="running", values=(), course=(), said="")


def told(
    study: Study, trials: Sequence[Trial], sampler: optuna.samplers.BaseSampler | None = None, name: str = ""
) -> optuna.Study:
    """A study of Optuna's, in memory, that knows these trials as far as they lie in the space.

    A trial that failed counts as the worst that was seen: nothing better is known of it. Parzen estimators know what a
    trial that was ended early is worth, by how far it came; a Gaussian process takes its last score.
    """
    import optuna
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = optuna.create_study(sampler=sampler, directions=[aim.direction for aim in study.aims])
    worst = [_worst(study, trials, place) for place in range(len(study.aims))]
    for trial in trials:
        if not holds(study.dimensions, trial.params):
            continue
        values: list[float | None] = list(trial.values)
        looks: dict[int, float] = {}
        state = {"running": TrialState.RUNNING, "pruned": TrialState.PRUNED}.get(trial.state, TrialState.COMPLETE)
        if trial.state == "failed":
            values = worst
        if trial.state == "pruned" and name == "gp":
            state = TrialState.COMPLETE
        elif trial.state == "pruned":
            values, looks = [], {look: score for look, (_, score) in enumerate(trial.course, 1)}
        if state == TrialState.COMPLETE and (len(values) < len(study.aims) or None in values):
            continue
        made.add_trial(
            create_trial(
                state=state,
                values=cast(list[float], values) if state == TrialState.COMPLETE else None,
                params={d.path: known_as(d, trial.params[d.path]) for d in study.dimensions},
                distributions={d.path: distribution(d) for d in study.dimensions},
                intermediate_values=looks,
            )
        )
    return made


def _worst(study: Study, trials: Sequence[Trial], place: int) -> float | None:
    found = [trial.values[place] for trial in trials if len(trial.values) > place]
    if not found:
        return None
    return min(found) if study.aims[place].direction == "maximize" else max(found)
