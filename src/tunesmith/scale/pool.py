"""Long jobs, one at a time in each of several processes: in this one, in some of this machine, or on a Ray cluster.

Jobs leave what they come to in files, so a job that is lost with its process can be begun again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Protocol, Self, cast

from tunesmith.errors import Error, RunError, error_from_json
from tunesmith.scale.cluster import Cluster
from tunesmith.scale.executor import Lost, Worker

Job = Callable[[Any], Any]
"""A function of a module; it, and what it is given, can travel."""


@dataclass(frozen=True)
class Ended:
    """A job that has ended, however it did."""

    name: int
    error: Error | None = None
    """What it raised."""
    lost: str = ""
    """What became of its process, where that was lost: `was killed (SIGKILL)`."""


class Pool(AbstractContextManager["Pool"], Protocol):
    """Where jobs are done; nothing of it is left when the block ends."""

    @property
    def free(self) -> int:
        """How many more jobs would be begun at once."""
        ...

    def begin(self, name: int, job: Job, given: Any) -> None:
        """Begins a job; there must be a place that is free."""
        ...

    def ended(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since; waits for one, but no longer than so many seconds."""
        ...


class Here(Pool):
    """Does one job after another in this process; `ended` does it."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Job, Any]] = []

    def __exit__(self, *_: object) -> None:
        self._waiting.clear()

    @property
    def free(self) -> int:
        return 1 - len(self._waiting)

    def begin(self, name: int, job: Job, given: Any) -> None:
        self._waiting.append((name, job, given))

    def ended(self, seconds: float) -> list[Ended]:
        if not self._waiting:
            return []
        name, job, given = self._waiting.pop()
        try:
            job(given)
        except Error as error:
            return [Ended(name, error)]
        return [Ended(name)]


class Processes(Pool):
    """Does jobs in processes of this machine, which stay for the next job; a lost one is replaced.

    Args:
        environments: what differs from this process's environment, one for each process.
    """

    def __init__(self, environments: Sequence[Mapping[str, str]]) -> None:
        self._environments = list(environments)
        self._workers: list[Worker | None] = [None] * len(environments)
        self._names: dict[int, int] = {}
        """The place of each process that has a job -> the job's name."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            if worker is not None:
                worker.end()

    @property
    def free(self) -> int:
        return len(self._workers) - len(self._names)

    def begin(self, name: int, job: Job, given: Any) -> None:
        place = next(place for place in range(len(self._workers)) if place not in self._names)
        worker = self._workers[place] or Worker(self._environments[place])
        self._workers[place], self._names[place] = worker, name
        worker.ask(job, [given])

    def ended(self, seconds: float) -> list[Ended]:
        busy = {cast(Worker, self._workers[place]).connection: place for place in self._names}
        return [self._end(busy[cast(Connection, ready)]) for ready in wait(list(busy), seconds)]

    def _end(self, place: int) -> Ended:
        worker, name = cast(Worker, self._workers[place]), self._names.pop(place)
        try:
            worker.hear()
        except Error as error:
            return Ended(name, error)
        except Lost as lost:
            self._workers[place] = None
            worker.end()
            if lost.code >= 0:  # no other's hand, but a mistake of ours, which would be made again
                return Ended(name, RunError(f"the process {lost}; what it said stands above", where=f"job {name}"))
            return Ended(name, lost=str(lost))
        return Ended(name)


class OnRay(Pool):
    """Does jobs on the cores of a Ray cluster, whose machines all see the same files.

    Args:
        address: see `Cluster`.
        jobs: how many at once.
        threads: cores of each.
    """

    def __init__(self, address: str, jobs: int, threads: int) -> None:
        self._cluster = Cluster(address, jobs * threads)
        import ray

        self._ray, self._jobs, self._threads = ray, jobs, threads
        self._names: dict[Any, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reference in self._names:
            self._ray.cancel(reference, force=True)
        self._cluster.__exit__(kind, error, trace)

    @property
    def free(self) -> int:
        return self._jobs - len(self._names)

    def begin(self, name: int, job: Job, given: Any) -> None:
        call = self._ray.remote(num_cpus=self._threads, max_retries=0)(_call)
        self._names[call.remote(job, given)] = name

    def ended(self, seconds: float) -> list[Ended]:
        if not self._names:
            return []
        until, found = time.monotonic() + seconds, list[Ended]()
        while not found and time.monotonic() < until:
            ready, _ = self._ray.wait(list(self._names), timeout=min(seconds, 0.2))
            found = [self._end(reference) for reference in ready]
        return found

    def _end(self, reference: Any) -> Ended:
        name = self._names.pop(reference)
        try:
            said = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            return Ended(name, RunError(f"a process of the Ray cluster broke off: {str(error).splitlines()[-1]}"))
        except self._ray.exceptions.RayError as error:
            return Ended(name, lost=f"was lost ({type(error).__name__})")
        return Ended(name, error_from_json(said) if said else None)


def _call(job: Job, given: Any) -> dict[str, str] | None:
    try:
        job(given)
    except Error as error:
        return error.to_json()
    return None
