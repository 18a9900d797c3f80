"""Where and with what the data of a request is prepared: the cache of the workspace, its cores, its models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from tunesmith.data.disk.cache import Cache
from tunesmith.data.workshop import After, Workshop
from tunesmith.flow.environment import threads
from tunesmith.flow.request import Request
from tunesmith.scale.executor import Executor

CACHE = ".tunesmith/data"
"""Where a workspace keeps prepared rows."""


@contextmanager
def workshop(request: Request, after: After) -> Iterator[Workshop]:
    """The workshop of a request, for as long as the block lasts."""
    with closing(Cache(request.workspace / CACHE)) as cache, Executor(threads()) as executor:
        yield Workshop(
            folder=request.folder,
            contents=request.digests,
            cache=cache,
            mapper=executor.map,
            after=after,
        )
