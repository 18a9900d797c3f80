"""Products of matrices in fp32, faster than torch's.

Torch multiplies with MKL. On processors of AMD without bf16 instructions OpenBLAS is faster, most of all where the
second matrix is transposed, as weights are in a forward pass, and a kernel of our own that packs less than OpenBLAS is
faster yet where the first one is not (docs/log.md).

Tensors: N tokens, D inputs, O outputs of a layer.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.models.layers.native.library import Library, in_use
from tunesmith.models.layers.native.replaced import Replaced, are_plain
from tunesmith.models.layers.standing import standing

FEW = 48
"""Rows of which products with a transposed matrix are faster by our own kernel than by OpenBLAS."""
WIDE, PANEL = 8, 12
"""Rows in a vector of it, and columns that it takes at a time; as in the kernels."""


class _Term(ctypes.Structure):
    """A product of a sum, as the kernels name it."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("left", "right")),
        *((name, ctypes.c_int64) for name in ("left_stride", "right_stride", "depth", "turned")),
        ("alpha", ctypes.c_float),
    )


@cache
def better() -> bool:
    """Whether OpenBLAS and our own kernels multiply faster here than torch: by the kind of processor, so that a
    training that goes on computes as it began."""
    try:
        vendor = "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return vendor and torch.backends.mkl.is_available() and not torch.cpu._is_avx512_bf16_supported()  # type: ignore[no-untyped-call]


def mm(left: Tensor, right: Tensor, *, out: Tensor | None = None, alpha: float = 1.0, add: bool = False) -> Tensor:
    """`alpha left right` of two matrices, into `out` or added to it; by the kernels while they are used."""
    kernels = in_use()
    given = (left, right) if out is None else (left, right, out)
    if kernels is not None and better() and suits(*given) and (out is None or out.stride(1) == 1):
        return multiplied(kernels, left, right, out=out, alpha=alpha, add=add)
    if add:
        assert out is not None, "there must be something to add to"
        return torch.addmm(out, left, right, alpha=alpha, out=out)
    said = torch.mm(left, right) if out is None else torch.mm(left, right, out=out)
    return said if alpha == 1.0 else said.mul_(alpha)


def multiplied(
    kernels: Library, left: Tensor, right: Tensor, *, out: Tensor | None = None, alpha: float = 1.0, add: bool = False
) -> Tensor:
    """`mm` by our own kernels, or by OpenBLAS; matrices that lie neither row by row nor column by column are copied."""
    if out is None:
        out = left.new_empty(len(left), right.shape[1])
    (left, left_turned, left_stride), (right, right_turned, right_stride) = _lying(left), _lying(right)
    read = (left.data_ptr(), left_stride, right.data_ptr(), right_stride, float(add), out.data_ptr(), out.stride(0))
    (rows, inner), columns = left.shape, right.shape[1]
    if rows <= FEW and right_turned and not left_turned:
        room = left.new_empty((-(-rows // WIDE) * WIDE + PANEL) * inner)
        kernels.call("product_of_few", rows, columns, inner, alpha, *read, room.data_ptr())
    elif rows > FEW and not left_turned:
        term = _Term(left.data_ptr(), right.data_ptr(), left_stride, right_stride, inner, right_turned, alpha)
        kernels.call("sum_of_products", rows, columns, 1, ctypes.byref(term), add, out.data_ptr(), out.stride(0))
    else:
        kernels.call("product", kernels.sgemm, left_turned, right_turned, rows, columns, inner, alpha, *read)
    return out


def _lying(matrix: Tensor) -> tuple[Tensor, bool, int]:
    """A matrix, whether it lies column by column, and how far apart its lines lie."""
    by_row, by_column = matrix.stride()
    if by_column == 1 and by_row >= matrix.shape[1]:
        return matrix, False, by_row
    if by_row == 1 and by_column >= len(matrix):
        return matrix, True, by_column
    return matrix.contiguous(), False, matrix.shape[1]


def suits(*matrices: Tensor) -> bool:
    """Whether the kernels can read these, and torch would compute in fp32 too."""
    whole = all(matrix.numel() for matrix in matrices)
    return whole and are_plain(*matrices) and not torch.is_autocast_enabled("cpu")


class Fixed:
    """x W' + b with a weight that stays, at little cost a call; nothing is learned through it."""

    def __init__(self, kernels: Library, weight_OD: Tensor, bias_O: Tensor | None) -> None:
        self._kernels, self._bias_O = kernels, bias_O
        self._weight_DO = weight_OD.detach().contiguous().T

    def __call__(self, states: Tensor) -> Tensor:
        """
        Args:
            states: [..., D], fp32.
        """
        inputs, outputs = self._weight_DO.shape
        if states.dtype != torch.float32 or states.shape[-1] != inputs or not states.numel():
            return nn.functional.linear(states, self._weight_DO.T, self._bias_O)  # which says what is wrong
        said, added = states.new_empty(*states.shape[:-1], outputs), self._bias_O is not None
        if self._bias_O is not None:
            said.copy_(self._bias_O)
        x_ND, said_NO = states.reshape(-1, inputs), said.view(-1, outputs)
        multiplied(self._kernels, x_ND, self._weight_DO, out=said_NO, add=added)
        return said


# Layers ---------------------------------------------------------------------------------------------


def linears(module: nn.Module) -> list[Replaced]:
    """The plain linear layers of a model; none where OpenBLAS is no faster."""
    found = [part for part in module.modules() if type(part) is nn.Linear] if better() else []
    return [Replaced(part, _Forward(part)) for part in found if are_plain(part.weight) and "forward" not in vars(part)]


class _Forward:
    """What a linear layer does instead of its own forward pass."""

    def __init__(self, layer: nn.Linear) -> None:
        self.layer = layer

    def __call__(self, states: Tensor) -> Tensor:
        layer = self.layer
        if not suits(states, layer.weight) or (layer.bias is not None and not are_plain(layer.bias)):
            return nn.Linear.forward(layer, states)
        said: Tensor = _Linear.apply(states, layer.weight, layer.bias)  # type: ignore[no-untyped-call]
        return said


class _Linear(torch.autograd.Function):
    """x W' + b."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight_OD: Tensor, bias_O: Tensor | None) -> Tensor:
        x_ND = states.reshape(-1, states.shape[-1])
        out_NO = None if bias_O is None else bias_O.expand(len(x_ND), -1).contiguous()
        said_NO = mm(x_ND, weight_OD.T, out=out_NO, add=out_NO is not None)
        ctx.save_for_backward(x_ND, weight_OD)
        ctx.shape, ctx.weight_OD = states.shape, weight_OD
        return said_NO.view(*states.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, weight_OD = ctx.saved_tensors
        d_said_NO = grads[0].reshape(len(x_ND), -1)
        wants_states, wants_weight, wants_bias = ctx.needs_input_grad
        return (
            mm(d_said_NO, weight_OD).view(ctx.shape) if wants_states else None,
            _weight_gradient(d_said_NO, x_ND, ctx.weight_OD) if wants_weight else None,
            d_said_NO.sum(dim=0) if wants_bias else None,
        )


def _weight_gradient(d_said_NO: Tensor, x_ND: Tensor, weight_OD: Tensor) -> Tensor | None:
    """Added to the gradient that stands, or returned."""
    stands_OD = standing(weight_OD)
    if stands_OD is None:
        return mm(d_said_NO.T, x_ND)
    mm(d_said_NO.T, x_ND, out=stands_OD, add=True)
    return None
