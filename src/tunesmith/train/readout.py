"""The cross-entropy of next-token prediction, without ever holding all its logits.

Logits are computed some rows at a time, and each piece's gradient is taken while the piece is still at
hand, as in Cut Your Losses (arXiv 2411.09009) and Liger (arXiv 2410.10989), without their kernels.

Shapes: N supervised positions, D hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

if TYPE_CHECKING:
    from tunesmith.models.load import Model

CHUNK_ELEMENTS = 2**21
"""Logits held at once, at least one row of them; larger pieces fall out of the processor's cache."""


class _LinearCrossEntropy(torch.autograd.Function):
    """Sum over rows of `weight * cross_entropy(hidden @ table.T + bias, target)`."""

    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, table_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor,
                weights_N: Tensor) -> Tensor:  # fmt: skip
        rows = max(1, CHUNK_ELEMENTS // table_VD.shape[0])
        wants_hidden, wants_table, wants_bias, *_ = ctx.needs_input_grad
        total = torch.zeros((), dtype=torch.float32, device=hidden_ND.device)
        d_hidden_ND = torch.empty_like(hidden_ND) if wants_hidden else None
        d_table_VD = torch.zeros_like(table_VD, dtype=torch.float32) if wants_table else None
        d_bias_V = torch.zeros_like(bias_V, dtype=torch.float32) if wants_bias and bias_V is not None else None
        for start in range(0, hidden_ND.shape[0], rows):
            piece_ND = hidden_ND[start : start + rows]
            target_N1 = targets_N[start : start + rows, None]
            weight_N1 = weights_N[start : start + rows, None]
            logits_NV = linear(piece_ND, table_VD, bias_V).float()
            normalizer_N1 = logits_NV.logsumexp(dim=1, keepdim=True)
            total += ((normalizer_N1 - logits_NV.gather(1, target_N1)) * weight_N1).sum()
            if not (wants_hidden or wants_table or wants_bias):
                continue
            d_logits_NV = logits_NV.sub_(normalizer_N1).exp_().mul_(weight_N1)
            d_logits_NV.scatter_add_(1, target_N1, -weight_N1)
            if d_bias_V is not None:
                d_bias_V += d_logits_NV.sum(dim=0)
            d_logits_NV = d_logits_NV.to(hidden_ND.dtype)
            if d_hidden_ND is not None:
                torch.mm(d_logits_NV, table_VD, out=d_hidden_ND[start : start + rows])
            if d_table_VD is not None:
                d_table_VD += d_logits_NV.T @ piece_ND
        ctx.save_for_backward(d_hidden_ND, d_table_VD, d_bias_V)
        ctx.dtypes = (hidden_ND.dtype, table_VD.dtype, bias_V.dtype if bias_V is not None else None)
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
    ids_BT, mask_BT, positions_N = tensors["ids_BT"], tensors["mask_BT"], tensors["positions_N"]
    if not _is_plain(model):
        logits_NV = model.logits(ids_BT, mask_BT).flatten(0, 1)[positions_N]
        return weighted_cross_entropy(logits_NV, tensors["targets_N"], tensors["weights_N"])
    hidden_ND = model.hidden(ids_BT, mask_BT).flatten(0, 1)
    if len(positions_N) != len(hidden_ND):
        hidden_ND = hidden_ND[positions_N]
    head = model.inner.get_output_embeddings()
    loss: Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_ND, head.weight, head.bias, tensors["targets_N"], tensors["weights_N"]
    )
    return loss


def weighted_cross_entropy(logits_NV: Tensor, targets_N: Tensor, weights_N: Tensor, smoothing: float = 0.0) -> Tensor:
    """Sum of weighted cross-entropies, in fp32."""
    loss_N = cross_entropy(logits_NV.float(), targets_N, reduction="none", label_smoothing=smoothing)
    return (loss_N * weights_N).sum()


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
