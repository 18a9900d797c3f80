"""A study from its first trial to its last: which trial may begin, what one comes to, and where that is written.

trials/0007/trial.json    what it came to; written last: the trial is done, and is never done again
            looks.json    its scores so far, for whoever goes on with it, and for whoever looks on
            ...           what the training keeps to go on by
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from tunesmith.errors import Error, Interrupted, NonFinite, OutOfMemory, RunError, UserError
from tunesmith.runs import read_json, write_json
from tunesmith.scale.pool import Ended, Job, Pool
from tunesmith.search.pruning import Pruning
from tunesmith.search.sampling import Asked, propose
from tunesmith.search.study import Study, Trial

LOOK = 0.5
"""Seconds between two looks at how the trials are doing."""
LIVES = 5
"""A trial whose process is killed so often, and comes no further in between, has failed."""
KEPT = ("trial.json", "looks.json", "events.jsonl")
"""What stays of a trial that has ended."""


class Look(NamedTuple):
    """What a training says of itself when it was measured."""

    step: int
    score: float
    """By the first aim."""
    seconds: float
    tokens: int


Training = Generator[Look, None, tuple[float, ...]]
"""Says each look; looks of an earlier process may come again. Returns one value an aim."""


class Shelf:
    """The files of a study's trials.

    Args:
        folder: the study's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, number: int) -> Path:
        """The folder of a trial."""
        return self.folder / "trials" / f"{number:04}"

    def trial(self, number: int) -> Trial | None:
        """A trial that has ended."""
        path = self.of(number) / "trial.json"
        return Trial.from_json(read_json(path)) if path.exists() else None

    def ended(self) -> list[Trial]:
        """All that have, in the order of their numbers."""
        paths = sorted((self.folder / "trials").glob("*/trial.json"))
        return [Trial.from_json(read_json(path)) for path in paths]

    def looks(self, trial: Trial) -> Trial:
        """A trial with what is known of it so far."""
        path = self.of(trial.number) / "looks.json"
        return Trial.from_json({**trial.to_json(), **read_json(path)}) if path.exists() else trial

    def note(self, trial: Trial) -> None:
        """Keeps what is known of a trial so far."""
        said = {key: value for key, value in trial.to_json().items() if key in ("course", "seconds", "tokens")}
        write_json(self.of(trial.number) / "looks.json", said)

    def finish(self, trial: Trial) -> None:
        """Keeps what a trial came to, and nothing of what it needed for that."""
        write_json(self.of(trial.number) / "trial.json", trial.to_json())
        self.clear(trial.number)

    def clear(self, number: int) -> None:
        """Removes what a trial that has ended needs no more."""
        for path in self.of(number).iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name not in KEPT:
                path.unlink(missing_ok=True)


def carry(asked: Asked, begun: Trial, trials: Sequence[Trial], shelf: Shelf, training: Training) -> Trial:
    """Carries a trial to its end, from where an earlier process left it.

    Args:
        asked: the search.
        begun: its number and values.
        trials: those before it, as far as it may see them.
        shelf: where it is kept.
        training: does it.

    Raises:
        UserError: the spec as it is, trial 0, cannot be trained.
        Interrupted: somebody asked to stop; the same call goes on.
    """
    trial, pruning, reason = shelf.looks(begun), Pruning(asked, begun.number, trials), None
    for _, score in trial.course:
        reason = pruning.after(score)
    try:
        while reason is None:
            try:
                look = next(training)
            except StopIteration as end:
                return _ended(trial, shelf, end.value)
            if trial.course and look.step <= trial.course[-1][0]:
                continue
            if not math.isfinite(look.score):
                raise NonFinite(f"{asked.study.aims[0].name} at step {look.step} is not a number")
            course = (*trial.course, (look.step, look.score))
            trial = replace(trial, course=course, seconds=look.seconds, tokens=look.tokens)
            shelf.note(trial)
            reason = pruning.after(look.score)
    except (NonFinite, OutOfMemory, UserError) as error:
        if isinstance(error, UserError) and not trial.number:
            raise
        return _finished(shelf, replace(trial, state="failed", said=error.what))
    finally:
        training.close()
    return _finished(shelf, replace(trial, state="pruned", values=(trial.course[-1][1],), said=reason))


def _ended(trial: Trial, shelf: Shelf, values: tuple[float, ...]) -> Trial:
    if all(map(math.isfinite, values)):
        return _finished(shelf, replace(trial, state="done", values=values))
    return _finished(shelf, replace(trial, state="failed", said="not every aim could be measured"))


def _finished(shelf: Shelf, trial: Trial) -> Trial:
    shelf.finish(trial)
    return trial


class Conductor:
    """Begins trials in their order and takes them in as they end.

    Args:
        asked: the search.
        shelf: where its trials are kept.
        pool: where they train.
        job: trains one; called with what `given` makes of its number and values.
        given: whatever the job needs, of a trial that begins.
        told: called with the study whenever something has happened, and with what.
        stop: asked again and again; True: no more trials begin.
        halt: makes those under way save and end.
    """

    def __init__(
        self,
        asked: Asked,
        shelf: Shelf,
        pool: Pool,
        job: Job,
        given: Callable[[Trial], Any],
        told: Callable[[Study, Trial | None, str], None],
        stop: Callable[[], bool],
        halt: Callable[[], None],
    ) -> None:
        self.asked, self.shelf, self.pool, self.job, self.given, self.told = asked, shelf, pool, job, given, told
        self._stop, self._halt = stop, halt
        self.trials: list[Trial] = []
        """All that have begun, in the order of their numbers."""
        self._lost: dict[int, tuple[int, int]] = {}
        """How often a trial's process was killed since it had so many looks: (looks, times)."""
        self._gone: set[int] = set()
        """Trials under way that ended before their end."""
        self._whole = False

    @property
    def study(self) -> Study:
        return replace(self.asked.study, trials=tuple(self.trials))

    def conduct(self) -> Study:
        """Does all trials that are not done.

        Raises:
            Error: what a trial could not be trained for.
            Interrupted: somebody asked to stop.
        """
        errors: list[Error] = []
        halted = False
        while True:
            if not halted and (errors or self._stop()):
                self._halt()
                halted = True
            if not halted:
                self._begin()
            if not self._under_way:
                break
            for ended in self.pool.ended(LOOK):
                errors += self._take(ended, halted)
            self._look()
        if errors:
            raise next((error for error in errors if not isinstance(error, Interrupted)), errors[0])
        if halted:
            raise Interrupted("the search was stopped", where=str(self.study), fix="give the same command to go on")
        return self.study

    @property
    def _under_way(self) -> bool:
        return any(trial.state == "running" and trial.number not in self._gone for trial in self.trials)

    def _begin(self) -> None:
        """Begins the trials whose turn it is: what they may see has ended."""
        together = self.asked.rules.together
        while len(self.trials) < self.asked.study.wanted and not self._whole:
            number = len(self.trials)
            if any(trial.state == "running" for trial in self.trials[: max(number - together + 1, 0)]):
                return
            trial = self.shelf.trial(number)
            if trial is None:
                if self.pool.free < 1:
                    return
                proposed = propose(self.asked, number, self.trials)
                if proposed is None:
                    self._whole = True
                    return
                trial = Trial(number, proposed[0], proposed[1], "running")
                self.pool.begin(number, self.job, self.given(trial))
            else:
                self.shelf.clear(number)  # in case it was killed in between
            self.trials.append(trial)

    def _take(self, ended: Ended, halted: bool) -> list[Error]:
        """Takes in a trial; returns what ends the study."""
        trial = self.trials[ended.name]
        done = self.shelf.trial(trial.number)
        if done is not None:
            self.trials[trial.number] = done
            self.told(self.study, done, "")
            return []
        if ended.lost and not halted:
            self._begin_again(trial, ended.lost)
            return []
        self._gone.add(trial.number)
        return [ended.error or RunError(f"the process of trial {trial.number} {ended.lost or 'left nothing'}")]

    def _begin_again(self, trial: Trial, lost: str) -> None:
        looks, times = len(self.shelf.looks(trial).course), 1
        if trial.number in self._lost and self._lost[trial.number][0] == looks:
            times += self._lost[trial.number][1]
        self._lost[trial.number] = looks, times
        if times < LIVES:
            self.told(self.study, None, f"the process of trial {trial.number} {lost}; the trial goes on in another")
            self.pool.begin(trial.number, self.job, self.given(trial))
            return
        failed = replace(self.shelf.looks(trial), state="failed", said=f"its process {lost}, {times} times in a row")
        self.shelf.finish(failed)
        self.trials[trial.number] = failed
        self.told(self.study, failed, "")

    def _look(self) -> None:
        """Looks at how the trials under way are doing."""
        self.trials = [self.shelf.looks(trial) if trial.state == "running" else trial for trial in self.trials]
        self.told(self.study, None, "")
