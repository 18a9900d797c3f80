"""What a training must remember to go on as if it had never stopped."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tunesmith.errors import GateFailed
from tunesmith.models.layers.freeze import freeze
from tunesmith.models.layers.trunk import Trunk
from tunesmith.runs import fingerprint
from tunesmith.train.checkpoint import Checkpoints, Saved
from tunesmith.train.order.horizon import Position
from tunesmith.train.weights import Weights, choose_precision
from tunesmith.train.weights.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from tunesmith.data.encode.tokenize import Example
    from tunesmith.models.load import Model
    from tunesmith.spec.sections import Train


STATE = ("position", "watchers", "best_value", "stopped", "random_python", "random_numpy", "random_others", "prints")
"""What `capture` puts into `Saved.state`."""


@dataclass
class State:
    """Everything that changes during training beside weights, optimizer and random numbers."""

    position: Position = field(default_factory=Position)
    memories: list[dict[str, Any]] = field(default_factory=list)
    """One for each watcher."""
    best_step: int | None = None
    """The step with the best validation figure so far."""
    best_value: float | None = None
    stopped: str | None = None
    """Why training ended before its time."""


def seed_everything(seed: int, rank: int = 0, step: int = 0) -> None:
    """Starts torch's, numpy's and Python's global random numbers from `seed`.

    Args:
        seed: what a training of one process starts from.
        rank: each process draws numbers of its own.
        step: where a process that was not there before joins a training.
    """
    if rank:
        seed = int(np.random.SeedSequence((seed, rank, step)).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def capture(
    state: State,
    weights: Weights,
    optimizer: torch.optim.Optimizer,
    prints: Mapping[str, str],
    device: torch.device,
    ranks: Ranks = ALONE,
) -> Saved:
    """All of a training, ready to be written by the first process."""
    kinds = {"weights": weights.masters, "average": weights.average}
    tensors = weights.whole(
        (f"{kind}/{name}", name, tensor) for kind, named in kinds.items() for name, tensor in named.items()
    )
    tensors |= weights.whole(
        (f"optimizer/{key}", name, tensor) for key, name, tensor in _memory(optimizer, weights.masters)
    )
    numbers = ranks.told(_random(device))
    for rank, drawn in enumerate(numbers):
        tensors |= {
            _random_name(kind, rank): torch.tensor(drawn[kind], dtype=torch.uint8)
            for kind in ("torch", "cuda")
            if kind in drawn
        }
    return Saved(
        tensors,
        {
            "position": asdict(state.position),
            "watchers": state.memories,
            "best_value": state.best_value,
            "stopped": state.stopped,
            "random_python": numbers[0]["python"],
            "random_numpy": numbers[0]["numpy"],
            "random_others": [{kind: drawn[kind] for kind in ("python", "numpy")} for drawn in numbers[1:]],
            "prints": dict(prints),
        },
    )


def _random(device: torch.device) -> dict[str, Any]:
    """The state of this process's random numbers, as plain JSON."""
    numpy_state: Any = np.random.get_state()
    return {
        "torch": torch.get_rng_state().tolist(),
        **({"cuda": torch.cuda.get_rng_state(device).tolist()} if device.type == "cuda" else {}),
        "python": list(random.getstate()[1]),
        "numpy": [numpy_state[1].tolist(), *numpy_state[2:]],
    }


def _random_name(kind: str, rank: int) -> str:
    return f"random/{kind}" if rank == 0 else f"random/{kind}/{rank}"


def _go_on_drawing(saved: Saved, device: torch.device, rank: int) -> None:
    """Puts this process's random numbers where they were; those of one that was not there before stay as they are."""
    drawn = [saved.state["random_python"], saved.state["random_numpy"]]
    others = [[other["python"], other["numpy"]] for other in saved.state.get("random_others", [])]
    if rank > len(others):
        return
    python, (keys, *rest) = [drawn, *others][rank]
    torch.set_rng_state(saved.tensors[_random_name("torch", rank)])
    if device.type == "cuda":
        torch.cuda.set_rng_state(saved.tensors[_random_name("cuda", rank)], device)
    random.setstate((3, tuple(python), None))
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), *rest))


def _memory(optimizer: torch.optim.Optimizer, masters: Mapping[str, Tensor]) -> Iterator[tuple[str, str, Tensor]]:
    """What an optimizer remembers: `<index of the weight>/<name>`, the weight's name, and the value.

    Counts kept as whole numbers become int64.
    """
    written: set[int] = set()
    names = _names(optimizer, masters)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for index, weight in enumerate(weights):
        for name, value in optimizer.state.get(weight, {}).items():
            tensor = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.int64)
            # Tables that all weights share cannot be written under two names.
            shared = tensor.data_ptr() in written
            written.add(tensor.data_ptr())
            yield f"{index}/{name}", names[index], tensor.clone() if shared else tensor


def _names(optimizer: torch.optim.Optimizer, masters: Mapping[str, Tensor]) -> list[str]:
    """The names of an optimizer's weights, in its order."""
    names = {id(master): name for name, master in masters.items()}
    return [names[id(weight)] for group in optimizer.param_groups for weight in group["params"]]


def restore(
    saved: Saved,
    weights: Weights,
    optimizer: torch.optim.Optimizer,
    prints: Mapping[str, str],
    device: torch.device,
    where: str,
    rank: int = 0,
) -> State:
    """Puts a training back where it was saved, in process `rank`; there may be others than there were.

    Raises:
        GateFailed: the checkpoint lacks something, or belongs to other data or settings.
    """
    _refuse_missing(saved, weights, device, where)
    for name, value in prints.items():
        if saved.state["prints"].get(name) != value:
            raise GateFailed(
                f"the checkpoint was made with other {name}",
                where=where,
                fix=f"bring the {name} back as they were, or delete the folder to train from the beginning",
            )
    weights.load(saved.part("weights"))
    for name, average in saved.part("average").items():
        weights.average[name].copy_(weights.part(name, average))
    optimizer_state: dict[int, dict[str, Any]] = {}
    names = _names(optimizer, weights.masters)
    for name, remembered in saved.part("optimizer").items():
        index, _, key = name.partition("/")
        tensor = weights.part(names[int(index)], remembered)
        optimizer_state.setdefault(int(index), {})[key] = tensor.item() if tensor.dtype == torch.int64 else tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": optimizer_state})
    _go_on_drawing(saved, device, rank)
    return State(
        position=Position(**saved.state["position"]),
        memories=[dict(memory) for memory in saved.state["watchers"]],
        best_step=saved.state["best_step"],
        best_value=saved.state["best_value"],
        stopped=saved.state["stopped"],
    )


def _refuse_missing(saved: Saved, weights: Weights, device: torch.device, where: str) -> None:
    values = (*STATE, "best_step", "tensors")
    missing = [name for name in values if name not in saved.state]
    missing += [f"weights/{name}" for name in weights.masters if f"weights/{name}" not in saved.tensors]
    missing += [f"average/{name}" for name in weights.average if f"average/{name}" not in saved.tensors]
    wanted = {*saved.state.get("tensors", ()), "random/torch", *(["random/cuda"] if device.type == "cuda" else [])}
    missing += sorted(wanted - set(saved.tensors))
    if missing:
        raise GateFailed(
            f"the checkpoint lacks {', '.join(repr(name) for name in missing[:5])}",
            where=where,
            fix="it was made by another version or for another model; delete the folder to train from the beginning",
        )


def put_result(model: Model, train: Train, checkpoints: Checkpoints) -> None:
    """Puts what a finished training came to into a model that took no part in it: one whose layers are whole.

    Args:
        model: as it was before the training.
        train: its stage.
        checkpoints: of the training; its last step has been saved.
    """
    freeze(model, train.freeze)
    weights = Weights(model, choose_precision(train.precision, model.device), train.regularize.ema)
    saved = checkpoints.latest()
    assert saved is not None, "a finished training has saved its last step"
    best = saved.state["best_step"]
    kept = checkpoints.best(best) if best is not None else None
    weights.finish(kept or saved.part("average") or saved.part("weights"))


def print_of_examples(*sets: Sequence[Example]) -> str:
    """16 hex digits that name everything a loss can read in these examples, in their order."""
    digest = hashlib.sha256()
    for examples in sets:
        digest.update(f"{len(examples)};".encode())
        for example in examples:
            digest.update(f"{example.id!r} {example.weight!r} {example.label!r} {len(example.ids)};".encode())
            for values in (example.ids, example.trained, example.tags, example.answer_ids):
                digest.update(b"-" if values is None else values.tobytes())
    return digest.hexdigest()[:16]


NOTHING_TO_FROZEN_LAYERS = {"optimizer", "schedule", "duration", "watch", "validate_every", "freeze", "adapter"}
"""Settings that change nothing of what frozen layers say, once it is known how many there are; LoRA too."""


def print_of_trunk(model: Model, train: Train, trunk: Trunk, prints: Mapping[str, str]) -> str:
    """Names all that decides what frozen layers say of the rows of a training: the layers, the rows, and which of them
    are read together.

    Args:
        model: what trains.
        train: the resolved stage.
        trunk: its frozen layers.
        prints: of its examples and of their order.
    """
    adapter = train.model_dump(mode="json")["adapter"]
    rounds = None if adapter is None or adapter["kind"] in ("full", "lora") else adapter
    settings = train.model_dump(mode="json", exclude=NOTHING_TO_FROZEN_LAYERS)
    return fingerprint([model.digest, len(trunk.layers), settings, rounds, prints["data"], prints["order"]])
