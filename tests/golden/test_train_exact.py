"""One step of the real loop: its loss and every gradient equal those of transformers and PEFT on the same batch.

The references compute the rows padded side by side, with their own attention, loss and adapters.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from train_tiny import rows, stage, train

from tunesmith.models.adapters.full import Full
from tunesmith.models.adapters.lora import Lora
from tunesmith.models.heads import Head
from tunesmith.models.model import Model
from tunesmith.models.quiet import quiet
from tunesmith.train.objectives import Objective
from tunesmith.train.objectives.classify import Classify
from tunesmith.train.objectives.pretrain import Pretrain
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.objectives.tag import Tag
from tunesmith.train.optimizers.sgd import Sgd

TOLERANCE = 1e-5
COMMON: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GROUPED = {"num_key_value_heads": 2, "head_dim": 16}
SHAPES: dict[str, dict[str, Any]] = {
    "llama": GROUPED,
    "qwen3": {**GROUPED, "tie_word_embeddings": True},
    "gemma": {**GROUPED, "hidden_activation": "gelu_pytorch_tanh"},
    "gpt2": {"n_positions": 128, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "bert": {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "t5": {"d_model": 64, "d_kv": 16, "d_ff": 96, "dropout_rate": 0.0, "decoder_start_token_id": 0},
}
FAMILIES: dict[str, Any] = {"bert": "encoder", "t5": "encoder_decoder"}
JOBS: list[tuple[str, Objective]] = [
    *((shape, objective) for shape in ("llama", "qwen3", "gemma", "gpt2") for objective in (Sft(), Pretrain())),
    ("t5", Sft()),
    ("bert", Classify()),
    ("bert", Tag()),
    ("qwen3", Classify()),
]
HEADS: dict[type, Any] = {Classify: "classify", Tag: "tag"}


def module_of(shape: str, headless: bool) -> Any:
    """The same module at every call."""
    kinds = {"bert": transformers.AutoModel, "t5": transformers.AutoModelForSeq2SeqLM}
    kind = kinds.get(shape, transformers.AutoModel if headless else transformers.AutoModelForCausalLM)
    with quiet():
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model(shape, **(COMMON | SHAPES[shape]))
        module = kind.from_config(config, **({"add_pooling_layer": False} if shape == "bert" else {}))
    for weight in module.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=0.2)
    return module


def ours(shape: str, objective: Objective) -> Model:
    kind = HEADS.get(type(objective))
    head = Head(kind, 64, 3, pooling="mean", dropout=0.0, seed=0) if kind else None
    if head is not None:
        nn.init.normal_(head.linear.weight, std=0.2)
    return Model(
        module=module_of(shape, kind is not None), head=head, tokenizer=None,  # type: ignore[arg-type]
        family=FAMILIES.get(shape, "causal"), head_kind=kind or "lm", labels=("a", "b", "c") if kind else (),
        multi_label=False, context=128, pad_id=0, reference=shape, digest="", origin=None,  # type: ignore[arg-type]
    )  # fmt: skip


def padded(sequences: list[Any], value: int) -> Tensor:
    made = [torch.as_tensor(sequence.astype("int64")) for sequence in sequences]
    return nn.utils.rnn.pad_sequence(made, batch_first=True, padding_value=value)


def their_loss(module: Any, linear: nn.Linear | None, examples: list[Any], objective: Objective) -> Tensor:
    ids_BT = padded([row.ids for row in examples], 0)
    mask_BT = padded([row.ids * 0 + 1 for row in examples], 0)
    if isinstance(objective, Classify):
        hidden_BTD = module(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
        mean_BD = (hidden_BTD * mask_BT[:, :, None]).sum(1) / mask_BT.sum(1, keepdim=True)
        return cross_entropy(linear(mean_BD), torch.tensor([row.label[0] for row in examples]))  # type: ignore[misc]
    if isinstance(objective, Tag):
        hidden_BTD = module(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
        tags_BT = padded([row.tags for row in examples], -100)
        return cross_entropy(linear(hidden_BTD).flatten(0, 1), tags_BT.flatten())  # type: ignore[misc]
    if module.config.is_encoder_decoder:
        labels_BT = padded([row.answer_ids for row in examples], -100)
    else:
        labels_BT = torch.where(padded([row.trained for row in examples], 0).bool(), ids_BT, -100)
    loss: Tensor = module(input_ids=ids_BT, attention_mask=mask_BT, labels=labels_BT).loss
    return loss


def examples_for(objective: Objective) -> list[Any]:
    made = rows(9, longest=40, masked=[2], answers=True, prose=isinstance(objective, Pretrain))
    for example in made:
        if example.tags is not None:
            example.tags[example.tags >= 3] = -100
    return made


@pytest.mark.parametrize("adapter", ["full", "lora"])
@pytest.mark.parametrize(("shape", "objective"), JOBS, ids=lambda value: getattr(value, "name", value))
def test_a_step_equals_transformers_and_peft(tmp_path: Any, shape: str, objective: Objective, adapter: str) -> None:
    examples = examples_for(objective)
    model = ours(shape, objective)
    theirs = module_of(shape, headless=model.head is not None)
    if adapter == "lora":
        Lora(rank=4, alpha=8).attach(model, seed=0)
        with quiet():
            layers = {"target_modules": "all-linear", "fan_in_fan_out": shape == "gpt2"}
            theirs = get_peft_model(theirs, LoraConfig(r=4, lora_alpha=8, **layers))
        with torch.no_grad():  # away from the start, where half of the gradients are zero
            for weight in model.trainable().values():
                weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)), alpha=0.05)
        own = {name: weight for name, weight in model.module.named_parameters() if weight.requires_grad}
        assert own.keys() == {name for name, weight in theirs.named_parameters() if weight.requires_grad}
        theirs.load_state_dict(own, strict=False)
    else:
        Full().attach(model, seed=0)
    linear = nn.Linear(64, 3)
    if model.head is not None:
        linear.load_state_dict(model.head.linear.state_dict())
    expected = their_loss(theirs.train(), linear, examples, objective)
    expected.backward()
    once = stage(duration="1 steps", batch="9 rows", micro_batch="4 rows", optimizer=Sgd(lr=1e-3, clip=None))
    (step,) = train(tmp_path, model, examples, objective, train=once)
    assert step.loss == pytest.approx(expected.item(), rel=TOLERANCE)
    found = {name: weight.grad for name, weight in model.module.named_parameters() if weight.requires_grad}
    wanted = {name: weight.grad for name, weight in theirs.named_parameters() if weight.requires_grad}
    if model.head is not None:
        found |= {f"head.{name}": weight.grad for name, weight in model.head.linear.named_parameters()}
        wanted |= {f"head.{name}": weight.grad for name, weight in linear.named_parameters()}
    assert found.keys() == wanted.keys()
    whole = sum(float(gradient.double().norm()) ** 2 for gradient in wanted.values() if gradient is not None) ** 0.5
    assert step.grad_norm == pytest.approx(whole, rel=TOLERANCE)
    for name, gradient in wanted.items():
        if gradient is None:
            assert found[name] is None or not found[name].any(), name
            continue
        # A gradient that is zero but for rounding (a key's bias, say) is held against the whole.
        error, size = (found[name] - gradient).norm(), max(float(gradient.norm()), 1e-2 * whole)
        assert error <= TOLERANCE * size, f"{name}: {float(error) / size:.2g}"
