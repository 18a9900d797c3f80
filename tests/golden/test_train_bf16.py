"""bf16: how far the real loop's gradient is from fp32, beside that of TRL's setting (autocast over fp32 weights).

`errors(shape)` returns (ours, autocast's), the relative
error of the whole gradient against the fp32 gradient of plain transformers on the same mixed-length batch.
"""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor
from train_tiny import stage, train

from tunesmith.data.encode.tokenize import Example
from tunesmith.models.adapters.full import Full
from tunesmith.models.adapters.lora import Lora
from tunesmith.models.model import Model
from tunesmith.models.quiet import quiet
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.optimizers.sgd import Sgd

TINY = {"vocab_size": 256, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 256}  # fmt: skip
MID = {"vocab_size": 4096, "hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 8,
       "num_attention_heads": 8, "max_position_embeddings": 512}  # fmt: skip
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "tiny llama": ("llama", {**TINY, "num_key_value_heads": 2}),
    "tiny qwen3": ("qwen3", {**TINY, "num_key_value_heads": 2, "head_dim": 16, "tie_word_embeddings": True}),
    "mid llama": ("llama", {**MID, "num_key_value_heads": 4}),
}


def batch(vocabulary: int) -> list[Example]:
    """Eight rows of 5 to 120 tokens, the last two thirds of each trained."""
    draw = np.random.default_rng(0)
    made = []
    for number, length in enumerate((5, 17, 33, 48, 64, 80, 101, 120)):
        ids = draw.integers(3, vocabulary, length).astype(np.int32)
        trained = np.arange(length) >= length // 3
        made.append(Example(f"row-{number}", ids, trained, np.zeros(length, dtype=np.uint8)))
    return made


def models(shape: str, adapter: str) -> Model:
    kind, sizes = SHAPES[shape]
    with quiet():
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model(kind, **sizes, pad_token_id=0, bos_token_id=1, eos_token_id=2)
        module = transformers.AutoModelForCausalLM.from_config(config)
    model = Model(
        module=module, head=None, tokenizer=None, family="causal", head_kind="lm", labels=(), multi_label=False,  # type: ignore[arg-type]
        context=512, pad_id=0, reference=shape, digest="", origin=None,  # type: ignore[arg-type]
    )  # fmt: skip
    (Lora(rank=8, alpha=16) if adapter == "lora" else Full()).attach(model, seed=0)
    if adapter == "lora":
        with torch.no_grad():
            for number, weight in enumerate(model.trainable().values()):
                weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)), alpha=0.02)
    return model


def padded_loss(module: Any, rows: list[Example]) -> Tensor:
    pad = torch.nn.utils.rnn.pad_sequence
    ids_BT = pad([torch.as_tensor(row.ids.astype("int64")) for row in rows], batch_first=True)
    mask_BT = pad([torch.ones(len(row.ids), dtype=torch.long) for row in rows], batch_first=True)
    trained_BT = pad([torch.as_tensor(row.trained) for row in rows], batch_first=True)
    loss: Tensor = module(input_ids=ids_BT, attention_mask=mask_BT, labels=torch.where(trained_BT, ids_BT, -100)).loss
    return loss


def flat(gradients: dict[str, Tensor | None]) -> Tensor:
    return torch.cat([gradients[name].double().flatten() for name in sorted(gradients)])  # type: ignore[union-attr]


def errors(shape: str, adapter: str) -> tuple[float, float]:
    """Relative gradient errors against fp32: ours in `precision: bf16`, and autocast's, as TRL computes."""
    rows = batch(SHAPES[shape][1]["vocab_size"])
    model = models(shape, adapter)
    plain = copy.deepcopy(model.module).train()
    learned = [name for name, weight in plain.named_parameters() if weight.requires_grad]

    def of(module: Any) -> Tensor:
        found = dict(module.named_parameters())
        return flat({name: found[name].grad for name in learned})

    padded_loss(plain, rows).backward()
    exact = of(plain)
    plain.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = padded_loss(plain, rows)
    loss.backward()
    usual = of(plain)
    once = stage(duration="1 steps", batch="8 rows", optimizer=Sgd(lr=1.0, clip=None), precision="bf16",
                 schedule={"kind": "constant"})  # fmt: skip
    before = gradient_of_the_loop(model, rows, once)
    # Ours are named by the part of the model they are in, `module.` or `head.`.
    ours = flat({name: before[f"module.{name}"] for name in learned})
    return float((ours - exact).norm() / exact.norm()), float((usual - exact).norm() / exact.norm())


def gradient_of_the_loop(model: Model, rows: list[Example], settings: Any) -> dict[str, Tensor]:
    """What the loop hands to the optimizer: read off the masters as the step is taken."""
    from tunesmith.train import loop

    seen: dict[str, Tensor] = {}
    clip = loop._Training.clip

    def spy(self: Any, *args: Any) -> float:
        for name, master in self.weights.masters.items():
            seen[name] = master.grad.detach().clone().float()
        return clip(self, *args)

    loop._Training.clip = spy  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory() as folder:
            train(Path(folder), model, rows, Sft(), train=settings)
    finally:
        loop._Training.clip = clip  # type: ignore[method-assign]
    return seen


def test_gradients_in_bf16_err_as_little_as_autocasts() -> None:
    """Roundings fall as they may: each shape within a tenth, all of them together within a twentieth."""
    ratios = []
    for shape in SHAPES:
        for adapter in ("full", "lora"):
            ours, usual = errors(shape, adapter)
            assert 0 < ours <= 1.1 * usual, f"{shape}, {adapter}: {ours:.4f} against {usual:.4f}"
            ratios.append(ours / usual)
    assert sum(ratios) / len(ratios) <= 1.05
