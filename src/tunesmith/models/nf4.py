"""Linear layers whose frozen weights are held in 4 bits: NormalFloat, after QLoRA (arXiv 2305.14314).

Weights are cut into blocks of 64; each is divided by its largest magnitude and rounded to the nearest
of 16 levels, the quantiles of a normal distribution. With double quantisation the magnitudes are held
in 8-bit floats, 256 of them to a scale: 4.13 bits a weight instead of 4.5. The layers unpack themselves
in both passes, so nothing but the packed weights is kept; the gradient goes to the input alone. It is
plain torch: bitsandbytes does the same faster on CUDA, and fetches kernels from the network on a CPU.

Tensors: O outputs, I inputs, W weights, K blocks of 64, M blocks of 256 magnitudes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad
from transformers.pytorch_utils import Conv1D

from tunesmith.models.layers.precision import rounded

BLOCK = 64
SCALES = 256
LEVELS = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
"""Appendix E of the paper."""
_AT_ONCE = 2**22
"""Weights rounded at once, which bounds the memory it takes."""


def pack(weights_W: Tensor) -> tuple[Tensor, Tensor]:
    """Rounds weights to NF4.

    Args:
        weights_W: a number of them divisible by 64.

    Returns:
        Two weights a byte, the first in the upper half, uint8 [W/2]; and each block's magnitude, fp32 [K].
    """
    blocks_KB = weights_W.float().view(-1, BLOCK)
    magnitudes_K = blocks_KB.abs().amax(dim=1)
    levels = torch.tensor(LEVELS, device=weights_W.device)
    borders = (levels[1:] + levels[:-1]) / 2
    pieces = []
    rows = _AT_ONCE // BLOCK
    for start in range(0, len(blocks_KB), rows):
        divisors_K1 = magnitudes_K[start : start + rows, None].clamp(min=torch.finfo(torch.float32).tiny)
        numbers = torch.bucketize(blocks_KB[start : start + rows] / divisors_K1, borders, out_int32=True).flatten()
        pieces.append((numbers[::2] * 16 + numbers[1::2]).to(torch.uint8))
    return torch.cat(pieces), magnitudes_K


def unpack(codes: Tensor, magnitudes_K: Tensor, dtype: torch.dtype) -> Tensor:
    """The weights [W] that packed ones stand for."""
    pairs = _pairs(dtype, codes.device).index_select(0, codes.int()).view(dtype)
    return (pairs.view(-1, BLOCK) * magnitudes_K.to(dtype)[:, None]).flatten()


@lru_cache(maxsize=8)
def _pairs(dtype: torch.dtype, device: torch.device) -> Tensor:
    """[256] both levels of a byte, side by side in one integer: they are looked up together."""
    levels = torch.tensor(LEVELS, dtype=dtype, device=device)
    pairs = torch.stack([levels.repeat_interleave(16), levels.repeat(16)], dim=1).contiguous()
    return pairs.view({2: torch.int32, 4: torch.int64}[dtype.itemsize]).flatten()


class Nf4Linear(nn.Linear):
    """A frozen linear layer in NF4.

    Args:
        layer: what it is made of; its bias is kept as it is.
        double: whether the blocks' magnitudes are held in 8 bits.
    """

    codes: Tensor
    magnitudes: Tensor
    residues: Tensor
    scales: Tensor
    mean: Tensor

    def __init__(self, layer: nn.Linear | Conv1D, *, double: bool) -> None:
        nn.Module.__init__(self)
        weight_OI = _weight(layer)
        self.out_features, self.in_features = weight_OI.shape
        self.transposed = isinstance(layer, Conv1D)
        self.bias = layer.bias
        # Nothing of it is stored; its precision follows the model's, and tells that of `weight`.
        self.precision = nn.Parameter(weight_OI.new_empty(0), requires_grad=False)
        whole_W = pad(weight_OI.flatten(), (0, -weight_OI.numel() % BLOCK))
        codes, magnitudes_K = pack(whole_W)
        self.register_buffer("codes", codes)
        self.doubly = double
        if double:
            residues_M = pad(magnitudes_K - magnitudes_K.mean(), (0, -len(magnitudes_K) % SCALES)).view(-1, SCALES)
            scales_M1 = residues_M.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / 448
            self.register_buffer("residues", (residues_M / scales_M1).to(torch.float8_e4m3fn))
            self.register_buffer("scales", scales_M1)
            self.register_buffer("mean", magnitudes_K.mean())
        else:
            self.register_buffer("magnitudes", magnitudes_K)
        error_OI = self.unpacked(torch.float32) - weight_OI
        self.lost = float(error_OI.double().square().sum()), float(weight_OI.double().square().sum())

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        """The weights [O, I] it computes with."""
        count = self.out_features * self.in_features
        if self.doubly:
            spread_M = self.residues.float() * self.scales + self.mean
            magnitudes_K = spread_M.flatten()[: -(-count // BLOCK)]
        else:
            magnitudes_K = self.magnitudes
        return unpack(self.codes, magnitudes_K, dtype)[:count].view(self.out_features, self.in_features)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The weights [O, I], unpacked anew each time they are asked for."""
        return self.unpacked(self.precision.dtype)

    def forward(self, inputs: Tensor) -> Tensor:
        """As a linear layer, in the precision of `inputs`."""
        output: Tensor = _Apply.apply(rounded(inputs), self)  # type: ignore[no-untyped-call]
        return output

    def plain(self) -> nn.Linear | Conv1D:
        """The layer it was made of, with the weights it computes with."""
        layer: nn.Linear | Conv1D
        with torch.device("meta"):
            layer = (
                Conv1D(self.out_features, self.in_features)
                if self.transposed
                else nn.Linear(self.in_features, self.out_features, bias=self.bias is not None)
            )
        weight_OI = self.weight
        layer.weight = nn.Parameter(weight_OI.T.contiguous() if self.transposed else weight_OI, requires_grad=False)
        layer.bias = self.bias
        return layer


class _Apply(torch.autograd.Function):
    """x W' + b, W unpacked in each pass and kept in neither."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, layer: Nf4Linear) -> Tensor:
        ctx.layer = layer
        bias = None if layer.bias is None else layer.bias.to(inputs.dtype)
        return linear(inputs, layer.unpacked(inputs.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None]:
        return grads[0] @ ctx.layer.unpacked(grads[0].dtype), None


def replace(model: nn.Module, names: list[str], *, double: bool) -> None:
    """Puts NF4 layers in the place of the linear layers `names`."""
    for name in names:
        layer = model.get_submodule(name)
        assert isinstance(layer, (nn.Linear, Conv1D))
        _put(model, name, Nf4Linear(layer, double=double))


def restore(model: nn.Module) -> None:
    """Puts plain layers, with the weights they compute with, in the place of NF4 ones."""
    for name, layer in nf4_layers(model).items():
        _put(model, name, layer.plain())


def nf4_layers(model: nn.Module) -> dict[str, Nf4Linear]:
    """The NF4 layers of a model, by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, Nf4Linear)}


def error(model: nn.Module) -> float:
    """By how much NF4 weights differ from those they were made of: the root of the mean square, 1 being their own."""
    lost = [layer.lost for layer in nf4_layers(model).values()]
    return float((sum(error for error, _ in lost) / max(sum(size for _, size in lost), 1e-30)) ** 0.5)


def packed_bytes(weights: int, *, double: bool) -> int:
    """What so many weights of one layer take."""
    blocks = -(-weights // BLOCK)
    scales = -(-blocks // SCALES)
    return blocks * BLOCK // 2 + (scales * (SCALES + 4) + 4 if double else blocks * 4)


def _put(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)


def _weight(layer: nn.Linear | Conv1D) -> Tensor:
    weight: Tensor = layer.weight.detach()
    return weight.T.contiguous() if isinstance(layer, Conv1D) else weight
