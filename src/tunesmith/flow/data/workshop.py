"""Where and with what the data of a request is prepared: the cache of the workspace, its cores, its models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from tunesmith.data.disk.cache import Cache
from tunesmith.data.encode.tokenize import Codec
from tunesmith.data.passes.workshop import After, Workshop
from tunesmith.flow.environment import threads
from tunesmith.flow.request import Request
from tunesmith.models.roles import OpenModels
from tunesmith.models.roles.remembered import Remembered
from tunesmith.models.roles.remote import RemoteResponder
from tunesmith.records import Responder
from tunesmith.runs import fingerprint, write_text
from tunesmith.scale.cluster import Cluster
from tunesmith.scale.executor import Executor
from tunesmith.spec.sections import Scale
from tunesmith.vault.store import DEFAULT as VAULT

OWN = ".tunesmith"
"""The folder of a workspace that holds what can be made again."""

OPENED = 12.0
"""Seconds of work from which on it is worth that every process loads a tokenizer for itself."""


class RememberingModels(OpenModels):
    """Models that steps, arms and judges may ask; what responders say is kept."""

    def __init__(self, request: Request, tokenizer: Any) -> None:
        super().__init__(workspace=request.workspace, folder=request.folder, codec=Codec, tokenizer=tokenizer)
        self._base = request.base

    def digest(self, reference: str) -> str:
        """That of `base` is the spec's base, by whose tokenizer tokens are counted."""
        return self._base.digest if reference == "base" else super().digest(reference)

    def responder(self, reference: str) -> Responder:
        file = self.workspace / OWN / "answers" / f"{fingerprint(self.digest(reference))}.jsonl"
        return Remembered(super().responder(reference), file)

    def drawer(self, endpoint: str, top_p: float) -> Responder:
        """An endpoint whose answers are drawn among the likeliest tokens; see `RemoteResponder.top_p`."""
        file = self.workspace / OWN / "answers" / f"{fingerprint([self.digest(endpoint), top_p])}.jsonl"
        return Remembered(RemoteResponder(endpoint, top_p=top_p), file)


def tokenizers(scale: Scale) -> Executor:
    """The cores that make rows tokens."""
    return Executor(_workers(scale), OPENED)


def _workers(scale: Scale) -> int:
    return scale.workers or threads()


@contextmanager
def workshop(request: Request, after: After, tokenizer: Any = None) -> Iterator[Workshop]:
    """The workshop of a request, for as long as the block lasts.

    Args:
        tokenizer: the base's; without one, steps cannot count tokens.
    """
    own = request.workspace / OWN
    if not (own / ".gitignore").exists():
        write_text(own / ".gitignore", "*\n")
    scale = request.spec.scale
    models = RememberingModels(request, tokenizer)
    with ExitStack() as stack:
        here = stack.enter_context(Executor(_workers(scale)))
        cluster = stack.enter_context(Cluster(scale.cluster, _workers(scale))) if scale.cluster else None
        yield Workshop(
            folder=request.folder,
            contents=request.digests,
            models=models,
            model_print=models.digest,
            seed=request.spec.data.split.seed,
            vault=request.workspace / VAULT,
            cache=stack.enter_context(closing(Cache(own / "data"))),
            mapper=cluster.map if cluster else here.map,
            reader=here.map,
            after=after,
        )
