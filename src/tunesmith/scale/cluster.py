"""The `Executor` of a Ray cluster: the same calls, on the cores of its machines."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

from tunesmith.errors import Error, MissingDependency, RunError, error_from_json

T = TypeVar("T")
CHUNK = 500
"""Items sent at once."""
AHEAD = 2
"""Chunks that wait for each core."""


class Detachable(Protocol):
    """A sequence that points to files of this machine."""

    def detached(self) -> Sequence[Any]:
        """The same with everything in it, to be sent elsewhere."""
        ...


class Cluster:
    """The cores of a Ray cluster, for as long as the block lasts.

    Args:
        address: `local` for one that is started here and ended again, `auto` for the one this machine belongs to, or
            `ray://host:port`.
        cores: how many a local one has.

    Raises:
        MissingDependency: Ray is not installed.
        RunError: the cluster cannot be reached.
    """

    def __init__(self, address: str, cores: int) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingDependency("ray", extra="ray", needed_by="scale.cluster") from error
        self._ray = ray
        self._begun = not ray.is_initialized()
        if not self._begun:
            return
        # Each of its processes computes on one core, and finds what this one finds.
        variables = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        if address == "local":
            where: dict[str, Any] = {"num_cpus": cores, "include_dashboard": False}
            variables["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        else:
            where = {"address": address}
        environment = {"env_vars": variables}
        try:
            ray.init(**where, log_to_driver=False, runtime_env=environment, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError, ray.exceptions.AuthenticationError) as error:
            raise RunError(
                f"the Ray cluster cannot be reached: {str(error).splitlines()[0]}",
                where=f"scale.cluster: {address}",
                fix="check the address, the token (RAY_AUTH_TOKEN) and that the cluster runs, or write `local`",
            ) from error

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._begun:
            self._ray.shutdown()

    def map(self, function: Callable[[Any], T], items: Sequence[Any]) -> Iterator[T]:
        """Calls `function` on every item; yields the results in their order. Raises as `Executor.map` does."""
        call = self._ray.remote(num_cpus=1, max_retries=2)(_call)
        handed = self._ray.put(function)
        cores = max(int(self._ray.cluster_resources().get("CPU", 1)), 1)
        starts = iter(range(0, len(items), CHUNK))
        waiting: deque[Any] = deque()

        def hand() -> None:
            start = next(starts, None)
            if start is not None:
                waiting.append(call.remote(handed, _detached(items[start : start + CHUNK])))

        for _ in range(cores * AHEAD):
            hand()
        while waiting:
            try:
                kind, said = self._ray.get(waiting.popleft())
            except self._ray.exceptions.RayError as error:
                raise RunError(
                    f"the Ray cluster lost a part of the work: {str(error).strip().splitlines()[-1]}",
                    where="scale.cluster",
                    fix="look at the cluster; the same command goes on with the step that was broken off",
                ) from error
            if kind == "error":
                raise error_from_json(said)
            hand()
            yield from said


def _detached(items: Sequence[Any]) -> Sequence[Any]:
    return cast(Detachable, items).detached() if hasattr(items, "detached") else items


def _call(function: Callable[[Any], Any], items: Sequence[Any]) -> tuple[str, Any]:
    try:
        return "done", [function(item) for item in items]
    except Error as error:
        return "error", error.to_json()
