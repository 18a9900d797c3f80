"""The weights that train, in two precisions.

With `bf16` matrices are multiplied in bfloat16 (tunesmith.models.layers.precision) and the optimizer moves fp32
copies of them ("masters"), because updates smaller than 1/256 of a weight would be rounded away (arXiv
1710.03740). What is not multiplied is its own master, and with `fp32` everything is. Validated, saved and
served are the masters, or their moving average where one is kept; a validation rounds them as training does.
Of a layer cut into shards, masters and average are this process's part (see `shards`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from tunesmith.models.layers.precision import Halved
from tunesmith.train.weights.ranks import ALONE, Ranks
from tunesmith.train.weights.shards import cut, is_cut, own, part, whole

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


class Weights:
    """Working weights and their masters.

    Args:
        model: its matrices are rounded to `dtype`, in place, until `finish`.
        dtype: bfloat16 or float32.
        ema: the share of itself that the average of the masters holds at every step; None for no average.
        ranks: the processes that train together; they say whether layers are cut into shards.
    """

    def __init__(self, model: Model, dtype: torch.dtype, ema: float | None = None, ranks: Ranks = ALONE) -> None:
        self.ranks = ranks
        modules = [module for module in (model.module, model.head) if isinstance(module, nn.Module)]
        whole_model = model.adapter is None
        # Of layers cut into shards each process holds its part in fp32; rounded is what they hand to each other.
        self.halved = Halved(
            [] if ranks.shard else modules, dtype, keep=lambda weight: weight.requires_grad or whole_model
        )
        if ranks.shard:
            cut(model, ranks, dtype)
        self.working: dict[str, nn.Parameter] = model.trainable()
        self.masters: dict[str, Tensor] = {
            name: self.halved.whole.get(parameter, own(parameter)) for name, parameter in self.working.items()
        }
        self._gradients: dict[str, Tensor] = {}
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(partial(self._gather, name))  # type: ignore[no-untyped-call]
            for name, parameter in self.working.items()
            if parameter in self.halved.whole
        ]
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
        before = {name: own(working).detach().clone() for name, working in self.working.items()}
        self._put(self.average)
        try:
            yield
        finally:
            self._put(before)

    @torch.no_grad()
    def _put(self, weights: Mapping[str, Tensor]) -> None:
        for name, working in self.working.items():
            own(working).copy_(weights[name])

    @torch.no_grad()
    def _gather(self, name: str, working: Tensor) -> None:
        """Adds a working weight's gradient to its master's, as soon as it is there.

        The master's is written where it stood a step ago: fresh memory costs more than the sum.
        """
        assert working.grad is not None
        master, found = self.masters[name], own(working.grad)
        if master.grad is None:
            if name not in self._gradients:
                self._gradients[name] = torch.empty_like(master)
            master.grad = self._gradients[name].copy_(found)
        else:
            master.grad.add_(found)
        working.grad = None

    def gather(self) -> None:
        """Adds the gradients of cut weights, which come only when a backward pass has ended, to their masters'."""
        for name, working in self.working.items():
            if is_cut(working) and working.grad is not None:
                self._gather(name, working)

    @torch.no_grad()
    def add_up(self) -> None:
        """Adds the other processes' gradients to the masters'. Once a step; those of shards are added up already."""
        names = [name for name in self.masters if not is_cut(self.working[name])]
        learned = self.ranks.anywhere([self.masters[name].grad is not None for name in names])
        masters = [self.masters[name] for name, anywhere in zip(names, learned, strict=True) if anywhere]
        for master in masters:
            if master.grad is None:  # a process without a row for this weight has nothing to add
                master.grad = torch.zeros_like(master)
        self.ranks.add([master.grad for master in masters if master.grad is not None])

    def norm(self) -> float:
        """The length of the whole gradient."""
        if not self.ranks.shard:
            return float(torch.nn.utils.get_total_norm(self.gradients()))
        parts: dict[bool, list[Tensor]] = {True: [], False: []}
        for name, master in self.masters.items():
            if master.grad is not None:
                parts[is_cut(self.working[name])].append(master.grad)
        squares = {cut: float(torch.nn.utils.get_total_norm(found)) ** 2 for cut, found in parts.items()}
        return math.sqrt(squares[False] + self.ranks.sums({"": squares[True]})[""])

    def gradients(self) -> list[Tensor]:
        """The masters' gradients, those that exist."""
        return [master.grad for master in self.masters.values() if master.grad is not None]

    @torch.no_grad()
    def publish(self) -> None:
        """Rounds the masters into the working weights."""
        for name, master in self.masters.items():
            if self.working[name] is not master:
                own(self.working[name]).copy_(master)

    @torch.no_grad()
    def load(self, masters: Mapping[str, Tensor]) -> None:
        """Takes over saved masters and publishes them."""
        self.take({name: self.part(name, masters[name]) for name in self.masters})

    @torch.no_grad()
    def take(self, masters: Mapping[str, Tensor]) -> None:
        """Takes over this process's parts of masters and publishes them."""
        for name, master in self.masters.items():
            master.copy_(masters[name])
        self.publish()

    def finish(self, kept: Mapping[str, Tensor] | None) -> None:
        """Ends the training: the model holds `kept` or the result, and what stood still as it was, all in fp32."""
        for hook in self._hooks:
            hook.remove()
        self.halved.give_back()
        self.load(kept) if kept else self.take(self.result)

    def part(self, name: str, tensor: Tensor) -> Tensor:
        """What of a whole tensor that goes with the weight `name` is this process's."""
        return part(tensor, self.working[name]) if tensor.shape == self.working[name].shape else tensor

    @torch.no_grad()
    def whole(self, tensors: Iterable[tuple[str, str, Tensor]]) -> dict[str, Tensor]:
        """Whole tensors of this process's parts, as they are written down by the first process; empty elsewhere.

        Args:
            tensors: the name each shall have, the name of the weight it goes with, and the part.
        """
        found: dict[str, Tensor] = {}
        for key, name, tensor in tensors:
            together = whole(tensor, self.working[name]) if tensor.shape == self.masters[name].shape else tensor
            if self.ranks.first:
                found[key] = together.cpu() if is_cut(self.working[name]) else together
        return found
