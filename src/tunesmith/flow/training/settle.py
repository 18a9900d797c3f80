"""What the memory that is free decides for a stage: shards, layers computed again, where frozen outputs are kept."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from tunesmith.data.encode.tokenize import Example
from tunesmith.flow.environment import free_memory, on_gpu, spare_memory
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import Request
from tunesmith.models.facts import BaseFacts
from tunesmith.models.layers.kept import refusal
from tunesmith.models.layers.trunk import bears
from tunesmith.models.load import Model
from tunesmith.models.memory import Estimate, settle_cache, settle_checkpointing
from tunesmith.spec.sections import Freeze, Train
from tunesmith.train.objectives import Objective
from tunesmith.train.order.batches import Batches
from tunesmith.train.regularize import dropout
from tunesmith.train.weights.ranks import Ranks
from tunesmith.train.weights.shards import refuse, why_not

Shard = Literal["auto", "off", "full"]


@dataclass(frozen=True)
class Beginning:
    """A stage that is about to train, and whom it is told to."""

    request: Request
    """What the run was asked for."""
    model: Model
    """Its adapter attached."""
    stage: Train
    """Resolved."""
    examples: Sequence[Example]
    """What it learns from."""
    validation: Sequence[Example]
    """What it is measured on."""
    narrator: Narrator
    ranks: Ranks
    """The processes that train."""

    @property
    def free(self) -> int:
        """Bytes of memory that each process may take."""
        return free_memory() // (1 if on_gpu() else self.ranks.count)

    def place(self, shard: Shard) -> tuple[Train, Ranks]:
        """Settles what memory decides, and brings the model to this process's device.

        Args:
            shard: what the spec says.

        Raises:
            ModelError: layers are to be cut into shards, and cannot be.
        """
        ranks = replace(self.ranks, shard=self._shards(shard))
        stage = without_cache(self.stage) if ranks.shard else self.stage
        stage = _agreed(replace(self, stage=stage, ranks=ranks)._settled(), ranks)
        if not ranks.shard:  # a model that is cut goes there layer by layer
            self.model.to(ranks.device)
        return stage, ranks

    def _shards(self, written: Shard) -> bool:
        """Whether layers are cut into shards; `auto` by whether a step fits into the memory that is free."""
        reason = why_not(self.model, self.stage)
        if written == "full" and reason:
            raise refuse(reason)
        if written != "auto" or self.ranks.count == 1:
            return written == "full"
        request, free, taught = self.request, self.free, _taught(self.request, self.stage)
        heavy = heaviest(self.stage, self.examples)
        settled = settle_checkpointing(request.base, self.stage, free_bytes=free, teachers=taught, **heavy)
        needed = settled[1].total_bytes
        # Free memory changes from look to look: what the first process sees holds for all.
        if self.ranks.told(needed <= free)[0]:
            return False
        tight = f"a step takes about {needed / 1e9:.2f} GB in each process, of {free / 1e9:.2f} GB that are free"
        outcome = f"and {reason}" if reason else "so layers are cut into shards"
        self.narrator.say("note", text=f"{tight}, {outcome}")
        return reason is None

    def _settled(self) -> Train:
        """The stage as this machine and this model take it; says what was decided."""
        if not self.examples:
            return self.stage
        free, stage = self.free, self.stage
        settled = settle_memory(self.request, stage, self.examples, self.validation, free, processes=self.ranks.count)
        if stage.checkpointing == "auto" and settled.stage.checkpointing == "on":
            total = settled.estimated.total_bytes
            self.narrator.say(
                "note",
                text=f"a step would not fit in the {free / 1e9:.2f} GB that are free, so layers are computed again in "
                f"the backward pass; it then takes about {total / 1e9:.2f} GB",
            )
        return _settle_cache(self.model, settled, stage.freeze.cache if stage.freeze else "auto", self.narrator)


def _agreed(stage: Train, ranks: Ranks) -> Train:
    """What the first process has settled, for all."""
    checkpointing, cache = ranks.told([stage.checkpointing, stage.freeze.cache if stage.freeze else None])[0]
    freeze = stage.freeze.model_copy(update={"cache": cache}) if stage.freeze else None
    return stage.model_copy(update={"checkpointing": checkpointing, "freeze": freeze})


def _taught(request: Request, stage: Train) -> list[BaseFacts]:
    """The teachers that the stage's processes open beside its model."""
    return [request.teachers[name] for name in cast(Objective, stage.objective).teachers()]


def heaviest(stage: Train, examples: Sequence[Example]) -> dict[str, Any]:
    """The micro-batch of the first epoch with the most tokens, which decides the memory, as `estimate` takes it."""
    assert stage.batch, "a resolved stage"
    if not examples:
        return {"row_tokens": 0}
    lengths = [example.num_tokens for example in examples]
    batches = Batches(lengths, batch=stage.batch, micro_batch=stage.micro_batch, seed=stage.seed)
    micro = max((each for step in batches.epoch(0) for each in step), key=lambda rows: int(batches.lengths[rows].sum()))
    tokens = int(batches.lengths[micro].sum())
    trained = sum(int(examples[row].trained.sum()) for row in micro)
    # Rows lie one after another, so it is their sum that counts.
    return {
        "row_tokens": -(-tokens // len(micro)),
        "rows_at_once": len(micro),
        "trained_share": trained / max(tokens, 1),
    }


@dataclass(frozen=True)
class Settled:
    """A stage with everything decided that depends on the room there is."""

    stage: Train
    estimated: Estimate
    cache_bytes: int
    """What the outputs of frozen layers take where they are kept."""

    @property
    def cache(self) -> str:
        """Where these are kept."""
        assert self.stage.freeze is not None, "a settled stage says it"
        return self.stage.freeze.cache

    @property
    def said(self) -> str:
        """What is kept, for people; empty where nothing is."""
        where = {"memory": "in memory", "disk": "in a file", "off": ""}[self.cache]
        size = f"{self.estimated.state_bytes:,} bytes a token, {self.cache_bytes / 1e6:,.1f} MB in all"
        return f"{self.frozen} computed once for each row; what it says is kept {where}: {size}" if where else ""

    @property
    def frozen(self) -> str:
        """The layers below everything that trains, and a verb."""
        count = self.estimated.frozen_layers
        return "1 frozen layer is" if count == 1 else f"the stack of {count} frozen layers is"

    @property
    def memory_parts(self) -> dict[str, int]:
        """What takes how much of the memory that `free_memory` counts."""
        found = self.estimated
        return {
            "weights": found.weight_bytes,
            "gradients": found.gradient_bytes,
            "optimizer": found.optimizer_bytes,
            "activations": found.activation_bytes,
            "program": found.process_bytes,
            "cache": self.cache_bytes if self.cache == "memory" and not on_gpu() else 0,
        }


def settle_memory(
    request: Request,
    stage: Train,
    examples: Sequence[Example],
    validation: Sequence[Example],
    free: int,
    processes: int = 1,
) -> Settled:
    """Decides by the room that is free now whether layers are computed again, and where frozen ones' outputs are kept.

    Args:
        request: what the run was asked for.
        stage: resolved.
        examples: what it learns from.
        validation: what it is measured on.
        free: bytes of memory that this process may take.
        processes: how many share what the machine has beside.
    """
    stage, estimated = settle_checkpointing(
        request.base, stage, free_bytes=free, teachers=_taught(request, stage), **heaviest(stage, examples)
    )
    tokens = sum(example.num_tokens for example in (*examples, *validation))
    room, disk = spare_memory(estimated.total_bytes * processes), shutil.disk_usage(request.workspace).free // 2
    room, disk = room // processes, disk // processes
    stage, size = settle_cache(stage, estimated, len(examples), tokens, room_bytes=room, disk_bytes=disk)
    return Settled(stage, estimated, size)


def _settle_cache(model: Model, settled: Settled, written: str, narrator: Narrator) -> Train:
    """The settled stage, without a cache where nobody asked for one and the model does not bear it."""
    stage, depth, reason = settled.stage, settled.estimated.frozen_layers, settled.estimated.not_kept
    if written == "auto" and settled.cache != "off":
        with dropout(model, stage.regularize.dropout):
            reason = None if bears(model, depth) else refusal(model)
    if written == "auto" and depth and reason:
        narrator.say("note", text=f"{settled.frozen} computed in every epoch: {reason}")
        return without_cache(stage)
    if settled.said:
        narrator.say("note", text=settled.said)
    return stage


def without_cache(stage: Train) -> Train:
    """The stage with nothing kept of what its frozen layers say."""
    return stage.model_copy(
        update={"freeze": (stage.freeze or Freeze(cache="off")).model_copy(update={"cache": "off"})}
    )
