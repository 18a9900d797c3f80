"""Products with LoRA's matrices of few columns: by a kernel that reads long lines once, or by a BLAS.

Tensors: N tokens, D width of what is read, R ranks.
"""

from __future__ import annotations

from torch import Tensor

from tunesmith.models.layers.native.library import Library, in_use
from tunesmith.models.layers.native.products import WIDE, better, mm, suits

MOST = 64
"""Ranks beyond which a BLAS has enough to do."""


def lowered(lines_ND: Tensor, table_DR: Tensor) -> Tensor:
    """lines table [N, R]."""
    kernels = _kernels(lines_ND, table_DR.shape[1])
    if kernels is None:
        return mm(lines_ND, table_DR)
    low_NR = lines_ND.new_empty(len(lines_ND), table_DR.shape[1])
    _run(kernels, lines_ND, 1.0, table_DR.contiguous(), low_NR)
    return low_NR


def summed(lines_ND: Tensor, low_NR: Tensor) -> Tensor:
    """lines' low [D, R]."""
    kernels = _kernels(lines_ND, low_NR.shape[1], low_NR)
    if kernels is None:
        return mm(lines_ND.T, low_NR)
    return _run(kernels, lines_ND, 1.0, low_NR=low_NR)


def both(lines_ND: Tensor, table_DR: Tensor, low_NR: Tensor, *, alpha: float, out_NR: Tensor) -> Tensor:
    """`alpha lines table` into `out_NR`, and `alpha lines' low` [D, R] returned; the lines are read once."""
    kernels = _kernels(lines_ND, low_NR.shape[1], low_NR, out_NR)
    if kernels is None:
        mm(lines_ND, table_DR, out=out_NR, alpha=alpha)
        return mm(lines_ND.T, low_NR, alpha=alpha)
    return _run(kernels, lines_ND, alpha, table_DR.contiguous(), out_NR, low_NR)


def _kernels(lines_ND: Tensor, ranks: int, *others: Tensor) -> Library | None:
    kernels = in_use()
    lined = all(part.stride(1) == 1 for part in (lines_ND, *others))
    if kernels is None or not better() or ranks % WIDE or ranks > MOST or not lined:
        return None
    return kernels if suits(lines_ND, *others) else None


def _run(kernels: Library, lines_ND: Tensor, alpha: float, table_DR: Tensor | None = None, out_NR: Tensor | None = None,
         low_NR: Tensor | None = None) -> Tensor:  # fmt: skip
    written = out_NR if out_NR is not None else low_NR
    assert written is not None, "something is wanted"
    width, ranks = lines_ND.shape[1], written.shape[1]
    wants_sums = low_NR is not None
    parts_XDR = lines_ND.new_zeros(kernels.threads if wants_sums else 0, width, ranks)
    kernels.call(
        "low_rank", len(lines_ND), width, ranks, alpha, lines_ND.data_ptr(), lines_ND.stride(0), _at(table_DR),
        *_lying(out_NR), *_lying(low_NR), parts_XDR.data_ptr() if wants_sums else None,
    )  # fmt: skip
    return parts_XDR.sum(dim=0)


def _at(matrix: Tensor | None) -> int | None:
    return None if matrix is None else matrix.data_ptr()


def _lying(matrix: Tensor | None) -> tuple[int | None, int]:
    return (None, 0) if matrix is None else (matrix.data_ptr(), matrix.stride(0))
