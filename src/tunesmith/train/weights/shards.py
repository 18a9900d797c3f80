"""Layers cut into shards: each process holds a part of every layer, and all of one only while it computes (FSDP2).

Embeddings, output layer, norms outside of the layers, virtual tokens and heads of ours stay whole in every process, so
that they can be read directly, and tied weights stay tied. Masters, averages and the optimizer's memory of a cut weight
are plain tensors of this process's part of it. What is written to a checkpoint is put together again, so it is the same
file as without shards.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from tunesmith.errors import ModelError
from tunesmith.models.layers.depth import layers

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor

    from tunesmith.models.load import Model
    from tunesmith.spec.sections import Train
    from tunesmith.train.weights.ranks import Ranks

REFUSED_OPTIMIZERS = ("adafactor", "adamw8bit")
"""They remember rows and columns, or blocks, of whole matrices."""
REFUSED_ARCHITECTURES = ("albert",)
"""Its layers are one layer, called again and again."""


def why_not(model: Model, train: Train) -> str | None:
    """Why this training cannot be cut into shards; None where it can."""
    adapter, optimizer, freeze = train.adapter, train.optimizer, train.freeze
    if adapter is not None and adapter.kind == "qlora":
        return "a 4-bit base is not cut"
    if optimizer is not None and optimizer.kind in REFUSED_OPTIMIZERS:
        return f"{optimizer.kind} remembers whole matrices"
    if freeze is not None and freeze.unfreeze is not None:
        return "layers that begin to learn later are not cut"
    if freeze is not None and freeze.cache in ("memory", "disk"):
        return "processes that know a row's frozen part do not wait for those that do not"
    if model.inner.config.model_type in REFUSED_ARCHITECTURES or not layers(model).count:
        return f"models of type {model.inner.config.model_type!r} have no layers of their own weights"
    return None


def cut(model: Model, ranks: Ranks, dtype: torch.dtype) -> None:
    """Cuts the layers of a model into shards, in place, on the device of this process; they compute in `dtype`."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(ranks.device.type, (ranks.count,))
    inside = [layer for stack, size in layers(model).stacks for layer in _entries(model.inner, stack, size)]
    cut_ids = {id(parameter) for layer in inside for parameter in layer.parameters()}
    both = model.family == "encoder_decoder" and model.head is None
    root = model.inner if both else model.trunk
    rest = [parameter for parameter in _parameters(model) if id(parameter) not in cut_ids]
    for parameter in rest:
        parameter.data = parameter.data.to(ranks.device)
    # Sums over processes are taken in fp32, as those over micro-batches are.
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for layer in inside:
        _sum_up(fully_shard(layer, mesh=mesh, mp_policy=policy, reshard_after_forward=True))
    # Without weights of its own; it has the layers fetched ahead of their turn.
    _sum_up(fully_shard(root, mesh=mesh, mp_policy=policy, ignored_params=set(root.parameters()) & set(rest)))
    for module in (model.module, model.head):
        for buffer in module.buffers() if module is not None else ():
            buffer.data = buffer.data.to(ranks.device)


def own(weight: Tensor) -> Tensor:
    """This process's part of a weight, in the same memory; all of one that is not cut."""
    if not is_cut(weight):
        return weight
    detached = cast("DTensor", weight.detach())
    return detached.to_local()


def is_cut(weight: Tensor) -> bool:
    """Whether other processes hold parts of a weight."""
    # Importing them takes as long as everything else of the product; where they are not, nothing is cut.
    tensors = sys.modules.get("torch.distributed.tensor")
    return tensors is not None and isinstance(weight, tensors.DTensor)


def part(whole: Tensor, weight: Tensor) -> Tensor:
    """What of a whole tensor belongs to this process's part of `weight`."""
    if not is_cut(weight):
        return whole
    mesh = cast("DTensor", weight).device_mesh
    pieces = torch.chunk(whole, mesh.size(), dim=0)
    rank = mesh.get_local_rank()
    return pieces[rank] if rank < len(pieces) else whole[:0]


def whole(part: Tensor, weight: Tensor) -> Tensor:
    """The whole of which each process holds a part, cut as `weight` is; all processes ask for it together."""
    if not is_cut(weight):
        return part
    from torch.distributed.tensor import DTensor

    cut = cast(DTensor, weight)
    pieces = DTensor.from_local(
        part, cut.device_mesh, cut.placements, run_check=False, shape=cut.shape, stride=cut.stride()
    )
    full: Tensor = pieces.full_tensor()
    return full


def refuse(reason: str) -> ModelError:
    """The error for a training that is to be cut and cannot be."""
    return ModelError(
        f"the layers cannot be cut into shards: {reason}",
        where="scale.shard",
        fix="write `shard: off`, which keeps whole layers in every process, or change what stands against it",
    )


def _sum_up(module: Any) -> None:
    # By default gradients are averaged over processes; each holds its part of one sum here.
    sharded = cast("FSDPModule", module)
    sharded.set_gradient_divide_factor(1.0)
    sharded.set_force_sum_reduction_for_comms(True)


def _entries(inner: nn.Module, stack: str, size: int) -> list[nn.Module]:
    found = inner.get_submodule(stack)
    return [found.get_submodule(str(number)) for number in range(size)]


def _parameters(model: Model) -> list[nn.Parameter]:
    return [
        parameter for module in (model.module, model.head) if module is not None for parameter in module.parameters()
    ]
