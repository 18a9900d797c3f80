"""A training stage on as many devices as the spec says: in this process, or in several that it launches."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from tunesmith.errors import GateFailed
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.environment import threads
from tunesmith.flow.narrator import Narrator
from tunesmith.flow.request import Request
from tunesmith.flow.training import train_here
from tunesmith.runs import Run
from tunesmith.scale.launch import launch
from tunesmith.spec.sections import Scale

PROCESS = [sys.executable, "-m", "tunesmith.flow.training.process"]


def train(
    run: Run, request: Request, job: Job, number: int, start: str, narrator: Narrator, stop: Callable[[], bool]
) -> dict[str, Any]:
    """Trains stage `number` from the model `start` and saves it; resumes from its checkpoints.

    Returns:
        What the stage came to: steps, tokens, seconds, the best figure, the number of processes.

    Raises:
        Interrupted, NonFinite, UserError: see `tunesmith.train.loop.fit`.
        RunError: one of several processes was killed or broke off.
    """
    count = processes(request.spec.scale)
    if count == 1:
        return {**train_here(run, request, job, number, start, narrator, stop), "processes": 1}
    each = max(1, threads() // count)
    narrator.say("note", text=f"{count} processes train together, each with {each} thread{'s' if each > 1 else ''}")
    asked = {
        "run": str(run.path),
        "spec": str(request.written.path.resolve()),
        "workspace": str(request.workspace.resolve()),
        "number": number,
        "start": start,
        "shard": request.spec.scale.shard,
    }

    def hear(event: dict[str, Any]) -> None:
        kind = event.pop("kind")
        if kind == "progress":
            narrator.progressing(**event)
        else:
            narrator.say(kind, **event)

    result: dict[str, Any] = launch(
        [*PROCESS, json.dumps(asked)], count, environment={"OMP_NUM_THREADS": str(each)}, hear=hear, stop=stop
    )
    return {**result, "processes": count}


def processes(scale: Scale) -> int:
    """How many processes train, one for each GPU where there are any.

    Raises:
        GateFailed: there are fewer GPUs, or shards are asked for where one process trains.
    """
    import torch

    gpus = torch.cuda.device_count()
    if gpus and scale.devices is not None and scale.devices > gpus:
        raise GateFailed(
            f"{scale.devices} processes need a GPU each, and this machine has {gpus}",
            where="scale.devices",
            fix=f"write at most {gpus}",
        )
    count = scale.devices or gpus or 1
    if count == 1 and scale.shard == "full":
        raise GateFailed(
            "one process holds all there is, so nothing can be cut into shards",
            where="scale.shard",
            fix="write `devices: 2` or more beside it, or leave it out",
        )
    return count
