"""The processes that train one model together, one on each device, as one of them sees the others.

Each learns from its share of the rows of every step, and the gradients are added up: what moves the weights is the
gradient of the whole step, and it is the same everywhere, bit for bit. So the weights are too.

Small things (counts, figures, the wish to stop) travel as JSON between CPUs, gradients from device to device. Torch's
own exchange of objects would pickle them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import FileStore

from tunesmith.errors import RunError

T = TypeVar("T")

BUCKET_ELEMENTS = 2**24
"""Gradients added up at once; each such piece is copied into one tensor, so this bounds what that takes."""


@dataclass(frozen=True)
class Ranks:
    """All processes of a training. With one, everything is as if this class were not there.

    What is asked here is asked by every process at the same place of the same step, or all would wait for ever.
    """

    rank: int = 0
    """This process, from 0; the first one writes what is kept."""
    count: int = 1
    """How many there are."""
    shard: bool = False
    """Whether each holds a part of every layer, not all of them (see `shards`)."""

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return torch.device("cuda", self.rank) if torch.cuda.is_available() else torch.device("cpu")

    def told(self, value: Any) -> list[Any]:
        """What each process says, in their order.

        Args:
            value: what this one says: plain JSON, numbers that are not finite included.
        """
        if self.count == 1:
            return [value]
        said_B = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        dist.all_gather(lengths, torch.tensor([len(said_B)]))
        longest = max(int(length) for length in lengths)
        heard = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.count)]
        dist.all_gather(heard, torch.nn.functional.pad(said_B, (0, longest - len(said_B))))
        pairs = zip(heard, lengths, strict=True)
        return [json.loads(bytes(other_B[: int(length)].tolist())) for other_B, length in pairs]

    def any(self, value: bool) -> bool:
        """Whether any process says so."""
        return any(self.told(value))

    def in_turn(self, look: Callable[[], T]) -> T:
        """What `look` finds on the disk: the first process looks alone and may mend, then the others look.

        None goes on before all have looked.
        """
        turns = []
        for leads in (True, False):
            turns += [look()] if self.first == leads else []
            self.told(None)
        return turns[0]

    def sums(self, values: Mapping[str, float]) -> dict[str, float]:
        """Each figure added up over the processes; one that is missing somewhere counts 0 there."""
        total: dict[str, float] = {}
        for said in self.told(dict(values)):
            for name, value in said.items():
                total[name] = total.get(name, 0.0) + value
        return total

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by its sum over the processes; all have the same ones."""
        if self.count == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            for tensor, summed in zip(bucket, torch.split(flat, [tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(summed.view_as(tensor))

    def anywhere(self, flags: Sequence[bool]) -> list[bool]:
        """Which of these many flags any process has set."""
        if self.count == 1:
            return list(flags)
        set_N = torch.tensor(flags, dtype=torch.uint8)
        dist.all_reduce(set_N, op=dist.ReduceOp.MAX)
        return [bool(flag) for flag in set_N.tolist()]


ALONE = Ranks()
"""The only process of a training."""


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for tensor in tensors:
        if bucket and sum(held.numel() for held in bucket) + tensor.numel() > BUCKET_ELEMENTS:
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


@contextmanager
def joined(rank: int, count: int, meeting: Path, patience: float) -> Iterator[Ranks]:
    """Joins the other processes for as long as the block lasts: over nccl on CUDA devices, over gloo on CPUs.

    Args:
        rank: this process, from 0; it computes on the CUDA device of that number, where there are any.
        count: how many processes there are.
        meeting: a file they all can write, not there yet.
        patience: seconds after which a process that does not answer is given up.

    Raises:
        RunError: they are not as many as they should be.
    """
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(rank)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo",
        store=FileStore(str(meeting), count),
        rank=rank,
        world_size=count,
        timeout=timedelta(seconds=patience),
    )
    ranks = Ranks(rank, count)
    # Some launchers run one process in place of several, and say nothing.
    if len({*ranks.told(os.getpid())}) != count:
        raise RunError(f"{count} processes should train, and fewer do", where="scale.devices")
    yield ranks
    dist.destroy_process_group()


def deal(rows: Sequence[int], tokens: Sequence[int], count: int) -> list[list[int]]:
    """Deals the rows of a step to the processes: a pure function, by which all hold about equally many tokens.

    Args:
        rows: what is dealt, in an order that is kept.
        tokens: how long each of them is.
        count: how many processes there are; those beyond the number of rows get none.
    """
    held = [0] * count
    owner = [0] * len(rows)
    for place in sorted(range(len(rows)), key=lambda place: (-tokens[place], place)):
        owner[place] = min(range(count), key=lambda rank: (held[rank], rank))
        held[owner[place]] += tokens[place]
    return [[row for row, mine in zip(rows, owner, strict=True) if mine == rank] for rank in range(count)]
