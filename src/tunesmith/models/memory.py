"""What a training stage takes: parameters, memory and arithmetic, from shapes alone.

The forward and backward pass of one micro-batch is run on fake tensors, which have shapes and no
storage, so every architecture and adapter is measured as it is, and nothing is allocated.

Tensors: B rows, T tokens, D hidden width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tunesmith.models.adapters import Adapter
from tunesmith.models.facts import BaseFacts, meta_module
from tunesmith.spec.sections import Freeze, Train

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tunesmith.models.model import Model

_PROCESS_BYTES = 560_000_000
"""What a process holds that has read its data and opened a model, the model aside: Python, torch, transformers.
Measured on Linux as the resident set of runs right before they open a model, and the code that the first step touches.
"""
_PEFT_BYTES = 58_000_000
"""What PEFT takes beside, which is loaded only where an adapter is one of its own; measured alike."""
HELD, HELD_BOTH_WAYS = 1.35, 1.05
"""What the heap holds for each byte that a backward pass keeps: freed blocks that fit nothing, copies attention makes
of its rows, gradients on their way. Where attention looks both ways the trace keeps masks that packed rows do without.
Chosen by hand and then set by few runs of benchmarks/estimates.py: the first agreed with two of the bundled base, the
second was set by one of an encoder and has not been held against another."""
_PACKING_BYTES = 60_000_000
"""What packing a base leaves in the heap; set by one run of the bundled base, not held against another."""
_BLOCK_ELEMENTS = 2**25
"""Logits held at once (`train.readout.BLOCK_ELEMENTS`)."""
_CHUNK_BYTES = 3 * 2**21 * 4
"""Logits, their exponentials and their gradient, of the piece of the loss computed at once."""


@dataclass(frozen=True)
class Estimate:
    """What one training stage takes."""

    num_parameters: int
    """Of the whole model, adapter and head of ours aside."""
    num_trained: int
    """Parameters that move, a head of ours aside."""
    weight_bytes: int
    """The model and its teachers; of what trains the fp32 masters where it computes in bf16, and the average kept."""
    gradient_bytes: int
    optimizer_bytes: int
    activation_bytes: int
    """What the backward pass of one micro-batch needs."""
    process_bytes: int
    """The program itself."""
    flops_per_token: float
    """Floating-point operations, forward and backward, of each token read, attention aside."""
    flops_per_pair: float
    """Those of attention for each pair of tokens of a row: they grow with the square of its length."""
    flops_per_trained_token: float
    """Those of a causal model's language head beside them, for each token the loss counts."""
    num_layers: int
    frozen_layers: int
    """Layers that lie below everything that trains."""
    not_kept: str | None
    """Why what those layers say of a row cannot be kept for later epochs; None where it can."""
    state_bytes: int
    """What keeping it takes, for each token read."""
    flops_spared: float
    """Floating-point operations that this spares for each token."""

    def flops(self, tokens: float, pairs: float, trained: float) -> float:
        """Operations of rows that have so many tokens, squares of tokens, and trained tokens together."""
        return tokens * self.flops_per_token + pairs * self.flops_per_pair + trained * self.flops_per_trained_token

    @property
    def total_bytes(self) -> int:
        """The most memory the stage is expected to hold."""
        return (
            self.weight_bytes + self.gradient_bytes + self.optimizer_bytes + self.activation_bytes + self.process_bytes
        )


def estimate(
    facts: BaseFacts,
    train: Train,
    row_tokens: int,
    teachers: Sequence[BaseFacts] = (),
    *,
    rows_at_once: int | None = None,
    trained_share: float = 1.0,
) -> Estimate:
    """Measures a stage on fake tensors.

    Args:
        facts: of the base.
        train: a resolved stage.
        row_tokens: the length of its longer rows, which decides the memory; the answers that an
            encoder-decoder learns are taken to be as long.
        teachers: models that are run beside it and do not train.
        rows_at_once: rows of that length computed together; what the stage's micro-batch says when left out.
        trained_share: of the tokens, those whose logits the loss takes.

    Raises:
        ModelError: the adapter does not fit the base.
    """
    from tunesmith.models.layers.depth import layers, num_frozen
    from tunesmith.models.layers.trunk import why_not

    lm = getattr(train.objective, "head", "lm") == "lm"
    model, (packed, packed_bytes, unpacked) = _shapes(facts, train, lm)
    width = 2 if train.precision == "bf16" else 4
    frozen = num_frozen(model)
    trained = sum(parameter.numel() for parameter in model.module.parameters() if parameter.requires_grad)
    rows = rows_at_once or _rows(train, row_tokens)
    tokens = min(row_tokens, model.context)
    activations, flops = _traced(model, rows, tokens, width)
    if train.checkpointing == "on":
        layers_kept, flops = _traced(model, rows, tokens, width, recompute=True)
        # One layer at a time is computed again and kept for its backward pass.
        activations = min(activations, layers_kept + activations // max(layers(model).count, 1))
    taught = sum(teacher.num_parameters for teacher in teachers)
    trained_tokens = math.ceil(rows * tokens * trained_share)
    head_flops, head_bytes = (0.0, 0)
    if lm and facts.family == "causal":
        head_flops, head_bytes = _language_head(model, trained_tokens, width)
    held = HELD if facts.family == "causal" else HELD_BOTH_WAYS
    peft = train.adapter is not None and train.adapter.kind not in ("full", "bottleneck")
    return Estimate(
        num_parameters=facts.num_parameters,
        num_trained=trained,
        weight_bytes=_weights(model, train, width) - packed * width + packed_bytes + taught * width,
        gradient_bytes=trained * 4,
        optimizer_bytes=int(trained * getattr(train.optimizer, "state_bytes", 8.0)),
        # Of what is packed, one layer at a time is unpacked, in the forward and in the backward pass.
        activation_bytes=int(activations * held) + head_bytes + unpacked * width,
        process_bytes=_PROCESS_BYTES + _PEFT_BYTES * peft + _PACKING_BYTES * (packed > 0),
        flops_per_token=flops / (rows * tokens) + 2.0 * taught,
        flops_per_pair=_attention_flops(model),
        flops_per_trained_token=head_flops,
        num_layers=layers(model).count,
        frozen_layers=frozen,
        not_kept=why_not(model, frozen, train.regularize),
        state_bytes=model.inner.config.get_text_config().hidden_size * 4,
        flops_spared=2.0 * _count_lowest(model, frozen),
    )


def settle_checkpointing(
    facts: BaseFacts,
    train: Train,
    row_tokens: int,
    free_bytes: int,
    teachers: Sequence[BaseFacts] = (),
    **more: Any,
) -> tuple[Train, Estimate]:
    """Decides `checkpointing: auto` by whether a step fits into `free_bytes`; returns the stage and its estimate.

    `more` is what `estimate` takes beside."""
    plain = estimate(facts, train, row_tokens, teachers, **more)
    if train.checkpointing != "auto":
        return train, plain
    able = getattr(meta_module(facts.config, facts.family), "supports_gradient_checkpointing", False)
    tight = plain.total_bytes > free_bytes and able
    settled = train.model_copy(update={"checkpointing": "on" if tight else "off"})
    return settled, estimate(facts, settled, row_tokens, teachers, **more) if tight else plain


def settle_cache(
    train: Train, found: Estimate, rows: int, tokens: int, *, room_bytes: int, disk_bytes: int
) -> tuple[Train, int]:
    """Decides `freeze: {cache: auto}`; returns the stage, and the bytes of what is kept.

    Args:
        train: a resolved stage.
        found: its estimate.
        rows: the rows it learns from.
        tokens: of these and of the validation rows.
        room_bytes: the machine's memory that is free beside the training.
        disk_bytes: what a file may take.
    """
    rule, size = train.freeze or Freeze(cache="off"), tokens * found.state_bytes
    way: str = "auto" if train.freeze is None else rule.cache
    if way == "auto":
        where = "memory" if size <= room_bytes else "disk" if size <= disk_bytes else "off"
        way = where if found.not_kept is None and _epochs(train, rows, tokens) > 1 else "off"
    settled = train.model_copy(update={"freeze": rule.model_copy(update={"cache": way})})
    return settled, 0 if way == "off" else size


def _epochs(train: Train, rows: int, tokens: int) -> float:
    """About how often each row is read; without end where the duration is a time."""
    assert train.duration and train.batch, "a resolved stage"
    length, batch = train.duration, train.batch
    if length.unit == "steps":
        return length.value * batch.value / (rows if batch.unit == "rows" else tokens)
    return {"epochs": length.value, "tokens": length.value / tokens, "seconds": math.inf}[length.unit]


def _weights(model: Model, train: Train, width: int) -> int:
    """Bytes of all weights as they compute, of the fp32 they are rounded from, and of their average."""
    from tunesmith.models.layers.precision import matrices

    rounded = {id(weight) for weight in matrices(model.module)} if width == 2 else set()
    total = 0
    for weight in model.module.parameters():
        half = id(weight) in rounded
        kept = half and (weight.requires_grad or model.adapter is None)
        averaged = weight.requires_grad and train.regularize.ema is not None
        total += weight.numel() * ((2 if half else 4) + 4 * kept + 4 * averaged)
    return total


def _rows(train: Train, row_tokens: int) -> int:
    """Rows computed at once."""
    at_once = train.micro_batch or train.batch
    if at_once is None:
        return 1
    return max(1, int(at_once.value) if at_once.unit == "rows" else int(at_once.value) // row_tokens)


def _count_lowest(model: Model, layers_below: int) -> int:
    """Parameters of the lowest layers."""
    from tunesmith.models.layers.depth import layers

    found = layers(model)
    places = ((found.of(name), parameter.numel()) for name, parameter in model.inner.named_parameters())
    return sum(size for place, size in places if 0 <= place < layers_below)


def _shapes(facts: BaseFacts, train: Train, lm: bool) -> tuple[Model, tuple[int, int, int]]:
    """The model with its adapter on the meta device, and what the adapter holds packed (`Adapter.packed`)."""
    import torch

    from tunesmith.models.heads import Head
    from tunesmith.models.layers.freeze import freeze
    from tunesmith.models.model import Model, Origin

    with torch.device("meta"):
        head = None if lm else Head("tag", 1, 1, pooling="mean", dropout=0.0, seed=0)
        model = Model(
            module=meta_module(facts.config, facts.family),
            head=head,
            tokenizer=cast(Any, None),
            family=facts.family,
            head_kind="lm" if lm else "tag",
            labels=(),
            multi_label=False,
            context=facts.context,
            pad_id=0,
            reference=facts.reference,
            digest=facts.digest,
            origin=Origin(facts.reference, facts.revision, "pretrained", 0, facts.digest),
        )
        packed = (0, 0, 0)
        if train.adapter is not None:
            adapter = cast(Adapter, train.adapter)
            packed = adapter.packed(model)
            adapter.attach(model, seed=0)
    freeze(model, train.freeze)
    return model, packed


def _traced(model: Model, rows: int, tokens: int, width: int, *, recompute: bool = False) -> tuple[int, float]:
    """Bytes kept for the backward pass of a micro-batch, and operations of both passes, head aside."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    from tunesmith.models.layers.precision import Halved
    from tunesmith.models.quiet import quiet

    kept: dict[int, int] = {}
    with quiet(), FakeTensorMode(allow_non_fake_inputs=True):
        _give_devices(model.module)
        halved = Halved([model.module], torch.bfloat16 if width == 2 else torch.float32)
        weights = {parameter.untyped_storage()._cdata for parameter in model.module.parameters()}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in weights:
                kept[storage._cdata] = storage.nbytes()
            return tensor

        model.module.train()
        if recompute:
            # Shapes draw nothing at random, and fake tensors have no random state to keep.
            keeps = {"use_reentrant": False, "preserve_rng_state": False}
            model.inner.activation_checkpointing_enable(activation_checkpointing_kwargs=keeps)
        ids_BT = torch.zeros(rows, tokens, dtype=torch.long)
        with (
            halved.computing(torch.device("cpu")),
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            FlopCounterMode(display=False) as ops,
        ):
            if model.family == "encoder_decoder" and model.head is None:
                model.module(input_ids=ids_BT, decoder_input_ids=ids_BT, use_cache=False).logits.sum().backward()
            else:
                # Without a cache transformers looks for packed rows, which fake tensors answer with a mask.
                cacheless = {"use_cache": False} if recompute and model.family == "causal" else {}
                model.trunk(input_ids=ids_BT, **cacheless).last_hidden_state.sum().backward()
    return sum(kept.values()), float(ops.get_total_flops())


def _give_devices(module: nn.Module) -> None:
    """Turns meta tensors into fake ones of the CPU, whose kernels the trace then takes."""
    import torch

    made: dict[int, Any] = {}

    def like(tensor: Tensor) -> Tensor:
        return torch.empty(tensor.shape, dtype=tensor.dtype)

    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            # Tied weights stay tied.
            if id(parameter) not in made:
                made[id(parameter)] = torch.nn.Parameter(like(parameter), requires_grad=parameter.requires_grad)
            setattr(part, name, made[id(parameter)])
        for name, buffer in part.named_buffers(recurse=False):
            setattr(part, name, like(buffer))


def _attention_flops(model: Model) -> float:
    """What the fused attention kernels do with a pair of tokens, which torch does not count: two products forward, five
    backward."""
    config = model.inner.config.get_text_config()
    seen = 0.5 if model.family == "causal" else 1.0
    return seen * 14.0 * int(config.hidden_size * config.num_hidden_layers)


def _language_head(model: Model, trained_tokens: int, width: int) -> tuple[float, int]:
    """Operations for each trained token, and bytes, of the head and its loss over so many of them."""
    table_VD = model.inner.get_output_embeddings().weight
    trains = table_VD.requires_grad
    block = min(trained_tokens * len(table_VD), _BLOCK_ELEMENTS) * width
    return table_VD.numel() * (6.0 if trains else 4.0), block + _CHUNK_BYTES + (table_VD.numel() * 4 if trains else 0)
