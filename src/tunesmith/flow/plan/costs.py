"""Memory, time and money of each method: here, and on machines that can be rented.

Here the time is that of real steps where some were tried: an operation costs what it cost there. On a GPU nobody is at
hand to try, so its figures are by formula and say so:

    time    operations / (GPUs x the peak of one x 35%), and of each step at least a millisecond a layer, since
            small models wait for the launch of their kernels; five minutes to start are added
    memory  the same trace as here, in bf16, without the process, and 0.8 GB for CUDA's context and kernels
    money   hours x the list price of the hour, from `scale/instances.yaml` or the workspace's
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.data.encode.tokenize import Example
from tunesmith.errors import UserError
from tunesmith.flow.plan.trial import Trial
from tunesmith.flow.plan.work import Work, batches_of, work_of
from tunesmith.flow.request import Request
from tunesmith.flow.training.settle import heaviest
from tunesmith.models.memory import Estimate, estimate
from tunesmith.part import ADAPTERS
from tunesmith.scale.instances import Instance
from tunesmith.spec.sections import Train
from tunesmith.train.order.epochs import Order

METHODS = ("full", "lora", "qlora")
GPU_SHARE = 0.35
"""The part of its peak that a GPU reaches over a whole training step; 30 to 50% are usual in papers on training."""
LAYER_SECONDS = 1e-3
"""Of each layer in each step on a GPU, however little there is to compute."""
START_SECONDS = 300.0
"""Paid for before the first step: the machine starts, the image and the model are fetched."""
CONTEXT_BYTES = 800_000_000
"""CUDA's context, kernels and workspaces."""
USED_OF_MEMORY = 0.95
"""Of a GPU's memory; the rest is lost to the allocator's holes."""


@dataclass(frozen=True)
class Rent:
    """A method on a machine that can be rented. Prices are list prices of a date."""

    instance: str
    cloud: str
    gpus: str
    seconds: float
    on_demand: float
    """USD for the whole training."""
    spot: float | None
    as_of: str


@dataclass(frozen=True)
class Cost:
    """What a method takes."""

    method: str
    refused: str
    """Why it cannot be; empty where it can."""
    trained_parameters: int = 0
    memory_bytes: int = 0
    """Here."""
    fits: bool = False
    """In what is free here."""
    gpu_bytes: int = 0
    """Of one GPU's memory."""
    seconds: float = 0.0
    """Here."""
    flops: float = 0.0
    rents: tuple[Rent, ...] = ()
    """Those it fits on, the cheapest on demand first."""


def costs(
    request: Request,
    stage: Train,
    examples: Sequence[Example],
    order: Order,
    free: int,
    trial: Trial | None,
    speed: float,
    machines: Sequence[Instance],
) -> list[Cost]:
    """Each method for one stage.

    Args:
        request: with the base.
        stage: settled.
        examples: what it learns from.
        order: of learning.
        free: bytes that are free here.
        trial: real steps of this base; None where none were tried.
        speed: operations a second of this machine, where none were.
        machines: that can be rented.
    """
    heavy = heaviest(stage, examples)
    found = []
    for method in METHODS:
        try:
            tried = stage.model_copy(update={"adapter": ADAPTERS.make(method)})
            here = estimate(request.base, tried, **heavy)
            there = estimate(request.base, tried.model_copy(update={"precision": "bf16"}), **heavy)
        except UserError as error:
            found.append(Cost(method, error.what))
            continue
        work = work_of(stage, examples, batches_of(stage, examples, order), here, cached=False)
        gpu_bytes = there.total_bytes - there.process_bytes + CONTEXT_BYTES
        found.append(
            Cost(
                method,
                "",
                trained_parameters=here.num_trained,
                memory_bytes=here.total_bytes,
                fits=here.total_bytes < free,
                gpu_bytes=gpu_bytes,
                seconds=trial.seconds(work) if trial else work.flops / speed,
                flops=work.flops,
                rents=rents(work, there, gpu_bytes, machines),
            )
        )
    return found


def rents(work: Work, found: Estimate, gpu_bytes: int, machines: Sequence[Instance]) -> tuple[Rent, ...]:
    """The machines whose GPUs hold a step, the cheapest first."""
    able = [machine for machine in machines if gpu_bytes < machine.gpu.memory_gb * 1e9 * USED_OF_MEMORY]
    made = [_rent(work, found, machine) for machine in able]
    return tuple(sorted(made, key=lambda rent: (rent.on_demand, rent.seconds)))


def _rent(work: Work, found: Estimate, machine: Instance) -> Rent:
    computing = work.flops / (machine.count * machine.gpu.tflops * 1e12 * GPU_SHARE)
    launching = work.steps * found.num_layers * LAYER_SECONDS
    seconds = START_SECONDS + max(computing, launching)
    prices: dict[str, Any] = {
        "on_demand": seconds / 3600 * machine.on_demand,
        "spot": None if machine.spot is None else seconds / 3600 * machine.spot,
    }
    gpus = f"{machine.count}x {machine.gpu.kind}"
    return Rent(machine.name, machine.cloud, gpus, seconds, **prices, as_of=machine.as_of.isoformat())
