"""The weights that train, in two precisions.

With `bf16` the model computes in bfloat16 and the optimizer moves fp32 copies ("masters"), because
updates smaller than 1/256 of a weight would be rounded away (arXiv 1710.03740). With `fp32` the
model's own weights are the masters. What is validated, saved and served is what the model computes
with: the masters rounded to its precision, or their moving average where one is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from tunesmith.train.weights.ranks import Ranks

if TYPE_CHECKING:
    from tunesmith.models.load import Model


def choose_precision(written: Literal["auto", "fp32", "bf16"], device: torch.device) -> torch.dtype:
    """The arithmetic to use; `auto` is bfloat16 where the machine multiplies it natively."""
    if written == "auto":
        native = (
            torch.cuda.is_bf16_supported(including_emulation=False)
            if device.type == "cuda"
            else torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        )
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16 if written == "bf16" else torch.float32


def cast_weights(model: Model, dtype: torch.dtype) -> None:
    """Casts a model's floating-point parameters in place.

    Buffers keep their precision: rotary frequencies in bfloat16 would blur positions.
    """
    for module in (model.module, model.head):
        for parameter in module.parameters() if isinstance(module, nn.Module) else ():
            if parameter.is_floating_point():
                parameter.data = parameter.data.to(dtype)


class Weights:
    """Working weights and their masters.

    Args:
        model: its floating-point parameters are cast to `dtype`, in place.
        dtype: bfloat16 or float32.
        ema: the share of itself that the average of the masters holds at every step; None for no average.
    """

    def __init__(self, model: Model, dtype: torch.dtype, ema: float | None = None) -> None:
        cast_weights(model, dtype)
        self.working: dict[str, nn.Parameter] = model.trainable()
        self.masters: dict[str, Tensor] = {
            name: parameter if dtype == torch.float32 else parameter.detach().float().clone()
            for name, parameter in self.working.items()
        }
        self.ema = ema
        self.average = {name: master.detach().clone() for name, master in self.masters.items()} if ema else {}

    @property
    def result(self) -> Mapping[str, Tensor]:
        """What is validated and kept: the average where there is one, the masters where not."""
        return self.average or self.masters

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Moves the average towards the masters, after optimizer step `step`, from 0.

        Until step t it holds at most (1 + t) / (10 + t) of itself, as TensorFlow's moving average does: a short
        training would else end with an average of where it began.
        """
        if self.ema is not None:
            kept = min(self.ema, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(self.average.values()), list(self.masters.values()), 1 - kept)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Lets the model compute with the average, where there is one, and takes it back."""
        if not self.average:
            yield
            return
        own = {name: working.detach().clone() for name, working in self.working.items()}
        self._put(self.average)
        try:
            yield
        finally:
            self._put(own)

    @torch.no_grad()
    def _put(self, weights: Mapping[str, Tensor]) -> None:
        for name, working in self.working.items():
            working.copy_(weights[name])

    @torch.no_grad()
    def gather(self) -> None:
        """Adds the working weights' gradients to the masters' and clears them. Once a micro-batch."""
        for name, master in self.masters.items():
            working = self.working[name]
            if working is master or working.grad is None:
                continue
            if master.grad is None:
                master.grad = working.grad.float()
            else:
                master.grad.add_(working.grad)
            working.grad = None

    @torch.no_grad()
    def add_up(self, ranks: Ranks) -> None:
        """Adds the other processes' gradients to the masters'. Once a step."""
        names = list(self.masters)
        learned = ranks.anywhere([self.masters[name].grad is not None for name in names])
        masters = [self.masters[name] for name, anywhere in zip(names, learned, strict=True) if anywhere]
        for master in masters:
            if master.grad is None:  # a process without a row for this weight has nothing to add
                master.grad = torch.zeros_like(master)
        ranks.add(self.gradients())

    def gradients(self) -> list[Tensor]:
        """The masters' gradients, those that exist."""
        return [master.grad for master in self.masters.values() if master.grad is not None]

    @torch.no_grad()
    def publish(self) -> None:
        """Rounds the masters into the working weights."""
        for name, master in self.masters.items():
            if self.working[name] is not master:
                self.working[name].copy_(master)

    @torch.no_grad()
    def load(self, masters: Mapping[str, Tensor]) -> None:
        """Takes over saved masters and publishes them."""
        for name, master in self.masters.items():
            master.copy_(masters[name])
        self.publish()
