"""One object for every base: causal, encoder or encoder-decoder, with an lm, classify or tag head.

Tensors: B rows, T tokens read, S tokens said by a decoder, D hidden width, V vocabulary, C classes.
Rows are padded on the right; `mask` is True (or 1) on real tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tunesmith.models.families import Family, HeadKind
from tunesmith.models.heads import Head
from tunesmith.part import Part

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_INSISTS_ON_MASK = ("gpt2", "openai-gpt")
"""Architectures that complain about padded rows without a mask, though it changes nothing."""


@dataclass(frozen=True)
class Origin:
    """The whole weights that a model, or the adapter on it, stands on."""

    reference: str
    """How a spec names them."""
    revision: str | None
    initialize: str
    """`pretrained` or `random`."""
    seed: int
    """What fresh weights are drawn from; 0 for pretrained ones."""
    digest: str
    """sha256 over the weight files, or over the tensors when they were freshly drawn."""
    folder: Path | None = None
    """Where they lie on this machine, when a spec named them by a folder or a run."""


@dataclass
class Model:
    """A base model, its head, its adapter and its tokenizer. Opened by `tunesmith.models.load.open_model`."""

    module: nn.Module
    """The transformers model; wrapped by PEFT once an adapter is attached."""
    head: Head | None
    """Our classification or tagging head; None when the model's own language head is used."""
    tokenizer: PreTrainedTokenizerBase
    family: Family
    head_kind: HeadKind
    labels: tuple[str, ...]
    """The classes of the head, in the order of its outputs."""
    multi_label: bool
    """Whether a row may have several labels (independent probabilities) or exactly one."""
    context: int
    """The longest sequence, in tokens."""
    pad_id: int
    """What fills padded places."""
    reference: str
    """How a spec names this model."""
    digest: str
    """sha256 that names its weights, adapter and head included."""
    origin: Origin
    adapter: Part | None = None
    """The adapter that is attached; None when all weights are the model's own."""
    fresh: frozenset[str] = frozenset()
    """Names of weights that were in no file, such as a missing language head."""
    notes: list[str] = field(default_factory=list)
    """What was decided while opening that a user should know."""
    beside: nn.Module | None = None
    """What learns with the model while it is trained, and is not kept."""

    @property
    def inner(self) -> Any:
        """The transformers model without PEFT's wrapper; adapter layers stay inside it."""
        module: Any = self.module
        return module.get_base_model() if hasattr(module, "get_base_model") else module

    @property
    def trunk(self) -> Any:
        """What computes hidden states: the model without its language head; the encoder of encoder-decoders."""
        if self.family == "encoder_decoder":
            return self.inner.get_encoder()
        return self.inner.base_model if self.family == "causal" else self.inner

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    def used(self) -> dict[str, nn.Parameter]:
        """The inner model's parameters that have a part in `logits`, by their names there."""
        part = self.inner if self.head is None else self.trunk
        reached = {id(parameter) for name, parameter in part.named_parameters() if not name.startswith("pooler.")}
        return {name: parameter for name, parameter in self.inner.named_parameters() if id(parameter) in reached}

    def trainable(self) -> dict[str, nn.Parameter]:
        """Every parameter that training moves, by a name that stays the same from run to run."""
        parts = {"module": self.module, "head": self.head, "beside": self.beside}
        return {
            f"{part}.{name}": parameter
            for part, module in parts.items()
            if module is not None
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }

    def train(self, training: bool = True) -> None:
        """Turns dropout on, or with False off."""
        self.module.train(training)
        if self.head is not None:
            self.head.train(training)

    def to(self, device: torch.device | str) -> None:
        """Moves all weights to a device."""
        self.module.to(device)
        if self.head is not None:
            self.head.to(device)

    def hidden(self, ids_BT: Tensor, mask_BT: Tensor, layer: int | None = None) -> Tensor:
        """The hidden states [B, T, D] of a layer, the last where none is named; the encoder's of encoder-decoders.

        Padded places mean nothing. Layers are counted from 1, and 0 is what the first one reads.
        """
        if layer is not None:
            return self.hidden_states(ids_BT, mask_BT)[layer]
        hidden_BTD: Tensor = self.trunk(input_ids=ids_BT, **self._masking(mask_BT)).last_hidden_state
        return hidden_BTD

    def hidden_states(self, ids_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, ...]:
        """What the first layer reads, and the hidden states of every layer, each [B, T, D]; see `hidden`."""
        output = self.trunk(input_ids=ids_BT, output_hidden_states=True, **self._masking(mask_BT))
        states: tuple[Tensor, ...] = output.hidden_states
        return states

    def logits(self, ids_BT: Tensor, mask_BT: Tensor, answer_ids_BS: Tensor | None = None) -> Tensor:
        """The model's raw outputs.

        Args:
            ids_BT: token ids, padded on the right.
            mask_BT: True on real tokens.
            answer_ids_BS: encoder-decoders with an lm head: what the decoder should say, padded on the right.

        Returns:
            lm: [B, T, V], position t predicts token t+1; of an encoder-decoder [B, S, V], position s
            predicts `answer_ids[:, s]`. classify: [B, C]. tag: [B, T, C].
        """
        if self.head is not None:
            real_BT = mask_BT.bool()
            scores: Tensor = self.head(self.hidden(ids_BT, mask_BT)[real_BT], real_BT.sum(dim=1).tolist())
            if self.head.kind == "classify":
                return scores
            scores_BTC = scores.new_zeros(*mask_BT.shape, scores.shape[-1])
            scores_BTC[real_BT] = scores
            return scores_BTC
        if self.family == "causal":
            logits_BTV: Tensor = self.module(input_ids=ids_BT, **self._masking(mask_BT)).logits
            return logits_BTV
        assert answer_ids_BS is not None, "an encoder-decoder's lm head needs answer_ids"
        output = self.module(
            input_ids=ids_BT,
            decoder_input_ids=self.shift_right(answer_ids_BS),
            use_cache=False,
            **self._masking(mask_BT),
        )
        said_BSV: Tensor = output.logits
        return said_BSV

    def shift_right(self, answer_ids_BS: Tensor) -> Tensor:
        """What a decoder reads while it says `answer_ids`: its start token, then all but the last of them."""
        start_B1 = torch.full_like(answer_ids_BS[:, :1], self.inner.config.decoder_start_token_id)
        return torch.cat([start_B1, answer_ids_BS[:, :-1]], dim=1)

    def _masking(self, mask_BT: Tensor) -> dict[str, Any]:
        if self.family != "causal":
            return {"attention_mask": mask_BT}
        # Right-padded tokens come after every real one, so a causal model cannot see them, and without
        # a mask attention takes its fast causal kernel.
        masked = self.inner.config.model_type in _INSISTS_ON_MASK
        return {"use_cache": False} | ({"attention_mask": mask_BT} if masked else {})

    def save(self, folder: Path, **facts: Any) -> None:
        """Writes the model whole or not at all; see `tunesmith.models.save`."""
        from tunesmith.models.save import save

        save(self, folder, facts)
