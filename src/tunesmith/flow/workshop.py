"""Where and with what the data of a request is prepared: the cache of the workspace, its cores, its models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from tunesmith.data.disk.cache import Cache
from tunesmith.data.workshop import After, Workshop
from tunesmith.flow.environment import threads
from tunesmith.flow.request import Request
from tunesmith.runs import write_text
from tunesmith.scale.cluster import Cluster
from tunesmith.scale.executor import Executor
from tunesmith.vault.store import DEFAULT as VAULT

OWN = ".tunesmith"
"""The folder of a workspace that holds what can be made again."""


@contextmanager
def workshop(request: Request, after: After) -> Iterator[Workshop]:
    """The workshop of a request, for as long as the block lasts."""
    own = request.workspace / OWN
    if not (own / ".gitignore").exists():
        write_text(own / ".gitignore", "*\n")
    scale = request.spec.scale
    workers = scale.workers or threads()
    with ExitStack() as stack:
        here = stack.enter_context(Executor(workers))
        cluster = stack.enter_context(Cluster(scale.cluster, workers)) if scale.cluster else None
        yield Workshop(
            folder=request.folder,
            contents=request.digests,
            vault=request.workspace / VAULT,
            cache=stack.enter_context(closing(Cache(own / "data"))),
            mapper=cluster.map if cluster else here.map,
            reader=here.map,
            after=after,
        )
