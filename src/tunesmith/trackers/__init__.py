"""Trackers: programs that keep the curves of many runs, and how a run is sent to them.

A tracker reads what stands in the run's folder and nothing else, so a run can be sent while it goes or
years later, and again without harm: a point that is there already is not put there twice.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Protocol, cast

from tunesmith.errors import MissingDependency
from tunesmith.part import Part
from tunesmith.runs import Run
from tunesmith.trackers._told import Facts, Row, Told

__all__ = ["Facts", "Row", "Sink", "Told", "Tracker", "check_trackers", "send"]


class Sink(Protocol):
    """One run on its way to a tracker."""

    where: str
    """What to tell a user who looks for it: a folder or an address."""

    def points(self, rows: Sequence[Row]) -> None:
        """Takes figures; those it has already are not put there twice."""

    def facts(self, facts: Facts) -> None:
        """Takes what is known of the whole run; a later word replaces an earlier one."""

    def close(self) -> None:
        """Everything is where it belongs when this returns."""


class Tracker(Part):
    """Sends runs to another program."""

    needs: ClassVar[str] = ""
    """The package to import; empty where none is needed."""
    extra: ClassVar[str] = "track"
    """The extra of Tunesmith that brings it."""

    folder: str | None = None
    """Where its files are put; when left out, `tracked/` beside `runs/`."""

    def check(self) -> None:
        """Refuses, before anything is done, what could not be sent.

        Raises:
            MissingDependency: the tracker's package is not installed.
        """
        # A folder of that name on the path is a namespace, and no package: it has no origin.
        found = find_spec(self.needs) if self.needs else None
        if self.needs and (found is None or found.origin is None):
            raise MissingDependency(self.needs, extra=self.extra, needed_by=f"track: {self.kind}")

    @abstractmethod
    def open(self, run: Run, folder: Path) -> Sink:
        """Begins, or goes on with, sending `run`.

        Args:
            run: the run folder.
            folder: where files are put.
        """

    def place(self, run: Run) -> Path:
        """The folder for this tracker's files; a relative `folder` is one of the workspace."""
        workspace = run.path.parent.parent.parent
        return (workspace / Path(self.folder or "tracked").expanduser()).absolute()


def check_trackers(trackers: Iterable[Part]) -> None:
    """Refuses trackers that could not send anything, before a run is made for them.

    Raises:
        MissingDependency: the package of one is not installed.
    """
    for tracker in trackers:
        cast(Tracker, tracker).check()


def send(run: Run, tracker: Tracker) -> tuple[str, int]:
    """Sends what a run has told so far.

    Returns:
        Where it can be found, and how many rows of figures are there.

    Raises:
        MissingDependency: the tracker's package is not installed.
    """
    tracker.check()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other packages' deprecations are no news to the user
        told = Told(run)
        sink = tracker.open(run, tracker.place(run))
        try:
            rows = told.rows()
            sink.points(rows)
            sink.facts(told.facts())
        finally:
            sink.close()
    return sink.where, len(rows)
