"""The cross-entropy of next-token prediction, without ever holding all its logits.

Logits are computed some rows at a time, and each piece's gradient is taken while the piece is still at
hand, as in Cut Your Losses (arXiv 2411.09009) and Liger (arXiv 2410.10989), without their kernels.

Shapes: N tokens of all rows, M supervised positions, D hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from tunesmith.models.packing.rows import hidden_of_rows, logits_of_rows
from tunesmith.train.collate import layout_of

if TYPE_CHECKING:
    from tunesmith.models.load import Model

CHUNK_ELEMENTS = 2**21
"""Logits held at once, at least one row of them; larger pieces fall out of the processor's cache."""


class _LinearCrossEntropy(torch.autograd.Function):
    """Sum over rows of `weight * cross_entropy(hidden @ table.T + bias, target)`."""

    @staticmethod
    def forward(ctx: Any, hidden_MD: Tensor, table_VD: Tensor, bias_V: Tensor | None, targets_M: Tensor,
                weights_M: Tensor) -> Tensor:  # fmt: skip
        rows = max(1, CHUNK_ELEMENTS // table_VD.shape[0])
        wants_hidden, wants_table, wants_bias, *_ = ctx.needs_input_grad
        total = torch.zeros((), dtype=torch.float32, device=hidden_MD.device)
        d_hidden_MD = torch.empty_like(hidden_MD) if wants_hidden else None
        d_table_VD = torch.zeros_like(table_VD, dtype=torch.float32) if wants_table else None
        d_bias_V = torch.zeros_like(bias_V, dtype=torch.float32) if wants_bias and bias_V is not None else None
        for start in range(0, hidden_MD.shape[0], rows):
            piece_MD = hidden_MD[start : start + rows]
            target_M1 = targets_M[start : start + rows, None]
            weight_M1 = weights_M[start : start + rows, None]
            logits_MV = linear(piece_MD, table_VD, bias_V).float()
            normalizer_M1 = logits_MV.logsumexp(dim=1, keepdim=True)
            total += ((normalizer_M1 - logits_MV.gather(1, target_M1)) * weight_M1).sum()
            if not (wants_hidden or wants_table or wants_bias):
                continue
            d_logits_MV = logits_MV.sub_(normalizer_M1).exp_().mul_(weight_M1)
            d_logits_MV.scatter_add_(1, target_M1, -weight_M1)
            if d_bias_V is not None:
                d_bias_V += d_logits_MV.sum(dim=0)
            d_logits_MV = d_logits_MV.to(hidden_MD.dtype)
            if d_hidden_MD is not None:
                torch.mm(d_logits_MV, table_VD, out=d_hidden_MD[start : start + rows])
            if d_table_VD is not None:
                d_table_VD += d_logits_MV.T @ piece_MD
        ctx.save_for_backward(d_hidden_MD, d_table_VD, d_bias_V)
        ctx.dtypes = (hidden_MD.dtype, table_VD.dtype, bias_V.dtype if bias_V is not None else None)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scaled = [
            None if kept is None else (kept * grads[0]).to(dtype)
            for kept, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return (*scaled, None, None)


_PLAIN: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
"""Whether a model's logits are its last hidden states times one matrix; found out once a model."""


def next_token_loss(model: Model, tensors: dict[str, Tensor]) -> Tensor:
    """Summed, weighted cross-entropy of the targets of `collate.causal`; a scalar in fp32."""
    ids_N, positions_M, layout = tensors["ids_N"], tensors["positions_M"], layout_of(tensors)
    if not _is_plain(model):
        logits_MV = logits_of_rows(model, ids_N, layout)[positions_M]
        return weighted_cross_entropy(logits_MV, tensors["targets_M"], tensors["weights_M"])
    hidden_MD = hidden_of_rows(model, ids_N, layout)
    if len(positions_M) != len(hidden_MD):
        hidden_MD = hidden_MD[positions_M]
    head = model.inner.get_output_embeddings()
    loss: Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_MD, head.weight, head.bias, tensors["targets_M"], tensors["weights_M"]
    )
    return loss


def weighted_cross_entropy(logits_MV: Tensor, targets_M: Tensor, weights_M: Tensor, smoothing: float = 0.0) -> Tensor:
    """Sum of weighted cross-entropies, in fp32."""
    loss_M = cross_entropy(logits_MV.float(), targets_M, reduction="none", label_smoothing=smoothing)
    return (loss_M * weights_M).sum()


def _is_plain(model: Model) -> bool:
    """Some architectures scale or cap their logits, so it is measured, on eight tokens."""
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
