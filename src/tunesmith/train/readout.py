"""Losses of next-token prediction, without ever holding all its logits.

Logits are computed some rows at a time, and each piece's gradient is taken while the piece is still at
hand, as in Cut Your Losses (arXiv 2411.09009) and Liger (arXiv 2410.10989), without their kernels.

Shapes: N tokens of all rows, M supervised positions, B and C some of them, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tunesmith.models.layers.native.products import mm
from tunesmith.models.layers.precision import rounded
from tunesmith.models.layers.standing import standing
from tunesmith.models.packing.last import hidden_at
from tunesmith.models.packing.rows import logits_of_rows
from tunesmith.train.collate import layout_of

if TYPE_CHECKING:
    from tunesmith.models.load import Model

BLOCK_ELEMENTS = 2**25
"""Logits held at once, in the precision of the model; each block costs a pass over the table and its gradient."""
CHUNK_ELEMENTS = 2**21
"""Logits of a block whose loss is taken at once, in fp32; larger pieces fall out of the processor's cache."""
TABLE_ROWS = 8192
"""Rows of the table whose gradient is computed at once, in the precision of the model."""


PieceLoss = Callable[[Tensor, slice], tuple[Tensor, Tensor]]
"""The summed loss of the logits [C, V] of some of the M positions, in fp32, and its gradient; may overwrite them."""


class _LinearLoss(torch.autograd.Function):
    """A loss of `hidden @ table.T + bias`, summed over its pieces."""

    @staticmethod
    def forward(ctx: Any, hidden_MD: Tensor, table_VD: Tensor, bias_V: Tensor | None, piece_loss: PieceLoss) -> Tensor:
        wants_hidden, wants_table, wants_bias, *_ = ctx.needs_input_grad
        learns = wants_hidden or wants_table or wants_bias
        ctx.dtypes = (hidden_MD.dtype, table_VD.dtype, bias_V.dtype if bias_V is not None else None)
        ctx.table_VD, ctx.last = table_VD, None
        hidden_MD, table_VD = rounded(hidden_MD), rounded(table_VD)
        total = torch.zeros((), dtype=torch.float32, device=hidden_MD.device)
        d_hidden_MD = torch.empty_like(hidden_MD) if wants_hidden else None
        d_table_VD: Tensor | None = None
        d_bias_V = torch.zeros_like(bias_V, dtype=torch.float32) if wants_bias and bias_V is not None else None
        blocks = list(_pieces(len(hidden_MD), BLOCK_ELEMENTS // len(table_VD)))
        for block in blocks:
            logits_BV = mm(hidden_MD[block], table_VD.T)
            if bias_V is not None:
                logits_BV += bias_V
            for chunk in _pieces(len(logits_BV), CHUNK_ELEMENTS // len(table_VD)):
                rows = slice(block.start + chunk.start, block.start + chunk.stop)
                loss, d_logits_CV = piece_loss(logits_BV[chunk].float(), rows)
                total += loss
                if d_bias_V is not None:
                    d_bias_V += d_logits_CV.sum(dim=0)
                # Gradients take the place of their logits; in fp32 they often stand there already.
                if learns and d_logits_CV.data_ptr() != logits_BV[chunk].data_ptr():
                    logits_BV[chunk] = d_logits_CV
            if d_hidden_MD is not None:
                mm(logits_BV, table_VD, out=d_hidden_MD[block])
            if wants_table and block is blocks[-1]:
                ctx.last = logits_BV, hidden_MD[block]  # what it adds to the table is due on the way back
            elif wants_table:
                d_table_VD = _added_to_table(d_table_VD, logits_BV, hidden_MD[block])
        ctx.gradients = (d_hidden_MD, d_table_VD, d_bias_V)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        # They are large, so they are scaled where they stand, and can be taken once.
        (d_hidden_MD, d_table_VD, d_bias_V), ctx.gradients = ctx.gradients, None
        last, ctx.last = ctx.last, None
        scale = grads[0]
        if last is not None:
            stands_VD = standing(ctx.table_VD) if d_table_VD is None else None
            begun_VD = stands_VD if d_table_VD is None else d_table_VD.mul_(scale)
            d_logits_BV, hidden_BD = last
            whole_VD = _added_to_table(begun_VD, d_logits_BV, hidden_BD, scale)
            d_table_VD = whole_VD if stands_VD is None else None
        elif ctx.needs_input_grad[1]:
            d_table_VD = torch.zeros_like(ctx.table_VD)  # nothing is supervised
        hidden_dtype, table_dtype, bias_dtype = ctx.dtypes
        return (
            None if d_hidden_MD is None else d_hidden_MD.mul_(scale).to(hidden_dtype),
            None if d_table_VD is None else d_table_VD.to(table_dtype),
            None if d_bias_V is None else d_bias_V.mul_(scale).to(bias_dtype),
            None,
        )


def _added_to_table(
    d_table_VD: Tensor | None, d_logits_BV: Tensor, hidden_BD: Tensor, scale: Tensor | None = None
) -> Tensor:
    """The table's gradient with a block's part added to it, or begun."""
    begun = d_table_VD is not None
    if d_table_VD is None:
        d_table_VD = hidden_BD.new_empty(d_logits_BV.shape[1], hidden_BD.shape[1], dtype=torch.float32)
    if hidden_BD.dtype == d_table_VD.dtype:
        return mm(d_logits_BV.T, hidden_BD if scale is None else hidden_BD * scale, out=d_table_VD, add=begun)
    for piece in _pieces(len(d_table_VD), TABLE_ROWS):
        part = (d_logits_BV[:, piece].T @ hidden_BD).float()
        part = part if scale is None else part.mul_(scale)
        if begun:
            d_table_VD[piece] += part
        else:
            d_table_VD[piece] = part
    return d_table_VD


def _pieces(length: int, size: int) -> Iterator[slice]:
    """`length` rows in pieces of `size`, at least one row each."""
    size = max(1, size)
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def _cross_entropy(logits_CV: Tensor, target_C1: Tensor, weight_C1: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """The weighted, summed loss of some logits and its gradient, which takes their place in memory.

    `smoothing` of each target is spread evenly over the vocabulary.
    """
    right_C1 = logits_CV.gather(1, target_C1).mul_(1 - smoothing)
    if smoothing:
        right_C1 += smoothing * logits_CV.mean(dim=1, keepdim=True)
    largest_C1 = logits_CV.amax(dim=1, keepdim=True)
    exp_CV = logits_CV.sub_(largest_C1).exp_()
    sum_C1 = exp_CV.sum(dim=1, keepdim=True)
    loss = ((sum_C1.log() + largest_C1 - right_C1) * weight_C1).sum()
    d_logits_CV = exp_CV.mul_(weight_C1 / sum_C1)
    if smoothing:
        d_logits_CV -= weight_C1 * (smoothing / logits_CV.shape[1])
    d_logits_CV.scatter_add_(1, target_C1, weight_C1 * (smoothing - 1))
    return loss, d_logits_CV


_PLAIN: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
"""Whether a model's logits are its last hidden states times one matrix; found out once a model."""


def next_token_loss(model: Model, tensors: dict[str, Tensor], smoothing: float = 0.0) -> Tensor:
    """Summed, weighted cross-entropy of the targets of `collate.causal`; a scalar in fp32."""
    targets_M, weights_M = tensors["targets_M"], tensors["weights_M"]
    if not is_plain(model):
        return weighted_cross_entropy(supervised_logits(model, tensors), targets_M, weights_M, smoothing)

    def piece_loss(logits_CV: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        return _cross_entropy(logits_CV, targets_M[rows, None], weights_M[rows, None], smoothing)

    return linear_loss(model, supervised_hidden(model, tensors), piece_loss)


def linear_loss(model: Model, hidden_MD: Tensor, piece_loss: PieceLoss) -> Tensor:
    """Sum of `piece_loss` over the logits that a plain model's head makes of `hidden_MD`, a piece at a time."""
    head = model.inner.get_output_embeddings()
    loss: Tensor = _LinearLoss.apply(hidden_MD, head.weight, head.bias, piece_loss)  # type: ignore[no-untyped-call]
    return loss


def supervised_hidden(model: Model, tensors: dict[str, Tensor]) -> Tensor:
    """The last hidden states [M, D] from which the targets of `collate.causal` are predicted."""
    return hidden_at(model, tensors["ids_N"], layout_of(tensors), tensors["positions_M"])


def supervised_logits(model: Model, tensors: dict[str, Tensor]) -> Tensor:
    """The logits [M, V] that predict the targets of `collate.causal`, all of them at once."""
    return logits_of_rows(model, tensors["ids_N"], layout_of(tensors))[tensors["positions_M"]]


def weighted_cross_entropy(logits_MV: Tensor, targets_M: Tensor, weights_M: Tensor, smoothing: float = 0.0) -> Tensor:
    """Sum of weighted cross-entropies, in fp32."""
    loss_M = cross_entropy(logits_MV.float(), targets_M, reduction="none", label_smoothing=smoothing)
    return (loss_M * weights_M).sum()


def is_plain(model: Model) -> bool:
    """Whether a model's logits are its last hidden states times one matrix.

    Some architectures scale or cap their logits, so it is measured, on eight tokens.
    """
    if model.module not in _PLAIN:
        _PLAIN[model.module] = _measure_plain(model)
    return _PLAIN[model.module]


@torch.no_grad()
def _measure_plain(model: Model) -> bool:
    head = model.inner.get_output_embeddings()
    if type(head) is not nn.Linear:
        return False
    was_training = model.module.training
    model.module.eval()
    ids_BT = torch.arange(8, device=head.weight.device)[None] % head.weight.shape[0]
    mask_BT = torch.ones_like(ids_BT, dtype=torch.bool)
    expected_BTV = model.logits(ids_BT, mask_BT).float()
    found_BTV = head(model.hidden(ids_BT, mask_BT)).float()
    model.module.train(was_training)
    tolerance = 1e-5 if head.weight.dtype == torch.float32 else 1e-2
    error = float((expected_BTV - found_BTV).abs().max())
    return error <= tolerance * max(float(expected_BTV.abs().max()), 1e-6)
