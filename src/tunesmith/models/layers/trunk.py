"""The frozen trunk: the layers below everything that trains. What they say of a row is the same in every epoch.

Where it is known, they are handed it and are not computed: each is still called, as its architecture calls
it, and answers with the known states at once. Embeddings, masks and positions are computed as ever, so no
architecture needs a forward of its own. Whether one bears this is measured, not listed.

Tensors: N tokens of all rows, B rows, T tokens of the longest row, D hidden width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from tunesmith.models.layers.depth import layers
from tunesmith.models.layers.dropout import OF_ADAPTERS, dropouts

if TYPE_CHECKING:
    from tunesmith.models.model import Model
    from tunesmith.spec.sections import Regularize


class Rows(NamedTuple):
    """Rows that a model is about to read, whether one after another or padded."""

    ids_N: Tensor
    """The tokens of all of them."""
    lengths: Sequence[int]
    """How many tokens each has."""


class Trunk:
    """The lowest layers of a model, of which nothing trains.

    Args:
        model: its adapter attached.
        depth: how many layers, at least one.
    """

    def __init__(self, model: Model, depth: int) -> None:
        stack, _ = layers(model).stacks[0]
        self.layers: list[nn.Module] = list(model.inner.get_submodule(stack))[:depth]
        self._reader: nn.Module = model.trunk
        self._real_BT: Tensor | None = None
        """Which of the places that the model is reading hold the rows it was to read; None where it reads others."""
        self.answers: list[int | None] = [None] * depth
        """How many values each layer returns; None for the states alone."""

    @contextmanager
    def heard(self, rows: Rows, keep: Callable[[Tensor], None]) -> Iterator[None]:
        """Computes as ever, and hands `keep` what the highest of the layers says of these rows: [N, D]."""

        def note(number: int, output: Any) -> None:
            several = isinstance(output, tuple)
            self.answers[number] = len(output) if several else None
            if number == len(self.layers) - 1 and self._real_BT is not None:
                states = output[0] if several else output
                if states.requires_grad:
                    raise RuntimeError("something trains below the frozen layers")
                keep(states[self._real_BT])

        hooks = [
            layer.register_forward_hook(lambda _, __, output, number=number: note(number, output))
            for number, layer in enumerate(self.layers)
        ]
        try:
            with self._asked(rows):
                yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def told(self, rows: Rows, states_ND: Tensor) -> Iterator[None]:
        """Computes none of the layers for these rows: they answer with the states that `heard` gave."""
        for layer, values in zip(self.layers, self.answers, strict=True):
            layer.forward = self._answer(layer, states_ND, values)
        try:
            with self._asked(rows):
                yield
        finally:
            for layer in self.layers:
                del layer.forward

    def _answer(self, layer: nn.Module, states_ND: Tensor, values: int | None) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            if self._real_BT is None:
                return type(layer).forward(layer, *args, **kwargs)
            if self._real_BT.numel() == len(states_ND):
                states = states_ND.view(*self._real_BT.shape, -1)
            else:
                states = states_ND.new_zeros(*self._real_BT.shape, states_ND.shape[-1])
                states[self._real_BT] = states_ND
            return states if values is None else (states, *[None] * (values - 1))

        return forward

    @contextmanager
    def _asked(self, rows: Rows) -> Iterator[None]:
        """Finds out, each time the model reads, whether and where it reads these rows.

        Something else may be read in between, such as the few tokens on which a property of the model is measured.
        """

        def look(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given_BT = args[0] if args else kwargs["input_ids"]
            self._real_BT = _real(given_BT, rows)

        hook = self._reader.register_forward_pre_hook(look, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()
            self._real_BT = None


def _real(given_BT: Tensor, rows: Rows) -> Tensor | None:
    """True where a token of the rows is read: they lie one after another in one long row, or each in its own."""
    padded = len(given_BT) == len(rows.lengths)
    lengths_B = torch.tensor(rows.lengths if padded else [sum(rows.lengths)], device=given_BT.device)
    if len(given_BT) != len(lengths_B) or given_BT.shape[1] < int(lengths_B.max()):
        return None
    real_BT = torch.arange(given_BT.shape[1], device=given_BT.device)[None] < lengths_B[:, None]
    return real_BT if torch.equal(given_BT[real_BT], rows.ids_N) else None


# Whether it can be ------------------------------------------------------------------------------


def why_not(model: Model, depth: int, regularize: Regularize) -> str | None:
    """Why what the lowest layers say differs from epoch to epoch; None where nothing is known to make it differ.

    Args:
        model: its adapter attached; nothing of it is computed.
        depth: how many of the lowest layers lie below everything that trains.
        regularize: the stage's.
    """
    if depth == 0:
        return "something trains in the lowest layer or below it, now or later"
    if regularize.neftune is not None:
        return "neftune draws new noise in every epoch"
    stacks = [stack for stack, _ in layers(model).stacks]
    trunk = tuple(f"{stacks[0]}.{number}." for number in range(depth))
    # Layers above, and the other half of an encoder-decoder, may drop what they like.
    above = tuple(f"{name}." for name in (stacks[0], *(stack.rpartition(".")[0] for stack in stacks[1:])))
    for place in dropouts(model.inner):
        of_base = OF_ADAPTERS not in place.path and regularize.dropout is not None
        share = regularize.dropout if of_base else place.share
        if share and (place.path.startswith(trunk) or not place.path.startswith(above)):
            return f"{place.path or 'the model'} drops activations at random"
    if any(getattr(module, "layerdrop", 0) for module in model.inner.modules()):
        return "layers are left out at random"
    return None


def bears(model: Model, depth: int) -> bool:
    """Whether the architecture says the same, bit for bit, when its lowest layers are told what they said. Measured.

    Args:
        model: with the dropout of the training.
        depth: how many of the lowest layers, at least one.
    """
    from tunesmith.models.packing.rows import hidden_of_rows, packs, probe

    packs(model)  # measured on rows of its own, and not in between
    ids_N, layout = probe(model)
    trunk, rows = Trunk(model, depth), Rows(ids_N, layout.lengths)
    known: list[Tensor] = []
    was_training = model.module.training
    model.module.train()
    drawn = torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else [])
    try:
        with drawn, torch.no_grad():
            for seed in (0, 1):
                torch.manual_seed(seed)
                with trunk.heard(rows, known.append):
                    expected_ND = hidden_of_rows(model, ids_N, layout)
            torch.manual_seed(1)
            with trunk.told(rows, known[-1]):
                found_ND = hidden_of_rows(model, ids_N, layout)
        return torch.equal(known[0], known[1]) and torch.equal(found_ND, expected_ND)
    except Exception:  # whatever an architecture has against it, its layers are computed
        return False
    finally:
        model.module.train(was_training)
