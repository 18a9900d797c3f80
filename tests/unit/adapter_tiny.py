"""Tiny models, and a few training steps, for the tests of adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tunesmith.models.adapters import Adapter
from tunesmith.models.load import Model, open_model
from tunesmith.models.quiet import quiet
from tunesmith.part import ADAPTERS
from tunesmith.testing.tiny import SHAPES

torch.set_num_threads(1)

LABELS = {"lm": (), "classify": ("a", "b", "c"), "tag": ("O", "B-X", "I-X")}
JOBS = [(shape, head) for shape in SHAPES for head in LABELS if (shape, head) != ("bert", "lm")]
IDS = torch.randint(8, 380, (3, 9), generator=torch.Generator().manual_seed(3))
MASK = torch.tensor([[1] * 9, [1] * 6 + [0] * 3, [1] * 2 + [0] * 7])
ANSWERS = torch.randint(8, 380, (3, 4), generator=torch.Generator().manual_seed(4))


def adapter(kind: str = "lora", **settings: Any) -> Adapter:
    part = ADAPTERS.make({"kind": kind, **settings})
    assert isinstance(part, Adapter)
    return part


def opened(workspace: Path, reference: str, head: str = "lm", **options: Any) -> Model:
    return open_model(reference, workspace=workspace, head=head, labels=LABELS[head], **options)  # type: ignore[arg-type]


def outputs(model: Model) -> torch.Tensor:
    """Logits of three rows of different lengths, padded places left out."""
    model.train(False)
    with torch.no_grad():
        logits = model.logits(IDS, MASK, ANSWERS)
    per_token = model.head_kind == "tag" or (model.head_kind == "lm" and model.family == "causal")
    return logits[MASK.bool()] if per_token else logits


def train(model: Model, steps: int = 3, lr: float = 0.05) -> float:
    """A few steps towards nowhere in particular; returns the last loss, taken after the last step."""
    weights = list(model.trainable().values())
    optimizer = torch.optim.SGD(weights, lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        model.logits(IDS, MASK, ANSWERS).logsumexp(dim=-1).mean().backward()
        optimizer.step()
    return loss(model)


def loss(model: Model) -> float:
    model.train(False)
    with torch.no_grad():
        return float(model.logits(IDS, MASK, ANSWERS).logsumexp(dim=-1).mean())


def shaken(model: Model, by: float = 0.05) -> Model:
    """Every trainable weight moved away from where training starts."""
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in model.trainable().values():
            weight.add_(by * torch.randn(weight.shape, generator=draw))
    return model


def peft_opens(workspace: Path, shape: str, folder: str) -> Any:
    """A saved adapter on the base that transformers opened, by plain PEFT."""
    import transformers
    from peft import PeftModel

    kinds = {"t5": transformers.AutoModelForSeq2SeqLM, "bart": transformers.AutoModelForSeq2SeqLM}
    with quiet():
        kind = kinds.get(shape, transformers.AutoModel if shape == "bert" else transformers.AutoModelForCausalLM)
        base = kind.from_pretrained(workspace / shape)
        return PeftModel.from_pretrained(base, str(workspace / folder), autocast_adapter_dtype=False).eval()


def close(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-5) -> bool:
    return bool((found - expected).abs().max() <= tolerance * max(1.0, float(expected.abs().max())))
