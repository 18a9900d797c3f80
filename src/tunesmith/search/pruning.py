"""Whether a trial is worth going on with: a function of its own scores and of the trials that it may see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunesmith.search.sampling import Asked
from tunesmith.search.study import Trial

if TYPE_CHECKING:
    import optuna

FEWEST = 4
"""Trials that must have ended before a median is anything."""


class Pruning:
    """Asks Optuna's pruner of one trial, look by look.

    It is told of the trials seen, each look in its turn, in a study of its own in memory; so what it says does not
    depend on what else is under way. The n-th look at one trial is compared with the n-th at others: the same share
    of either training, whatever its batches.

    Args:
        asked: the search.
        number: the trial's.
        trials: all before it.
    """

    def __init__(self, asked: Asked, number: int, trials: Sequence[Trial]) -> None:
        self._asked, self._seen = asked, asked.seen(number, trials)
        self._trial = None if asked.rules.pruner == "none" else self._begun(number)
        self._looks = 0

    def after(self, score: float) -> str | None:
        """Hears of the next score; returns why the trial is not worth going on with, or None."""
        self._looks += 1
        if self._trial is None:
            return None
        self._trial.report(score, self._looks)
        assert self._asked.rules.looks is not None
        # At the last look there is nothing left to spare.
        worse = self._trial.should_prune() and self._looks < self._asked.rules.looks
        return self._reason(score) if worse else None

    def _begun(self, number: int) -> optuna.Trial:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            study_name=str(self._asked.rules.seed),  # by which Hyperband shares trials out
            direction=self._asked.study.aims[0].direction,
            pruner=_pruner(self._asked),
            sampler=optuna.samplers.RandomSampler(seed=0),  # nothing is drawn
        )
        states = {"done": optuna.trial.TrialState.COMPLETE, "pruned": optuna.trial.TrialState.PRUNED}
        seen = {trial.number: trial for trial in self._seen}
        for place in range(number):
            told, trial = study.ask(), seen.get(place)
            for look, (_, score) in enumerate(trial.course if trial else (), 1):
                told.report(score, look)
                told.should_prune()  # which is where a pruner notes how far a trial has come
            if trial is None:
                continue
            state = states.get(trial.state, optuna.trial.TrialState.FAIL)
            study.tell(told, trial.values[0] if trial.state == "done" else None, state)
        return study.ask()

    def _reason(self, score: float) -> str:
        aim, rules = self._asked.study.aims[0], self._asked.rules
        there = [trial.course[self._looks - 1][1] for trial in self._seen if len(trial.course) >= self._looks]
        best = max(there) if aim.direction == "maximize" else min(there)
        what = (
            "is not better than the median" if rules.pruner == "median" else f"is not in the best 1/{rules.reduction}"
        )
        others = f"{len(there)} trial{'s' if len(there) > 1 else ''}"
        return (
            f"{aim.name} {score:.4g} at look {self._looks} of {rules.looks} {what} of {others} there, the best "
            f"with {best:.4g} ({rules.pruner})"
        )


def _pruner(asked: Asked) -> optuna.pruners.BasePruner:
    import optuna

    rules = asked.rules
    assert rules.looks is not None and rules.grace is not None, "settled"
    if rules.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=FEWEST, n_warmup_steps=rules.grace)
    assert rules.reduction is not None, "settled"
    if rules.pruner == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=rules.grace, reduction_factor=rules.reduction)
    return optuna.pruners.HyperbandPruner(
        min_resource=rules.grace, max_resource=max(rules.looks, rules.grace), reduction_factor=rules.reduction
    )
