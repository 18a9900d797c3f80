"""Losses and gradients of our models equal those of transformers and PEFT on the same ragged batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tunesmith.models.adapters.full import Full
from tunesmith.models.adapters.lora import Lora
from tunesmith.models.load import Model, open_model
from tunesmith.models.quiet import quiet
from tunesmith.testing.tiny import SHAPES, tiny_model

torch.set_num_threads(1)

LENGTHS = (13, 5, 9, 1, 30)
ANSWERS = (4, 7, 1, 2, 5)
TOLERANCE = 1e-5


def rows(lengths: tuple[int, ...], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(8, 380, (length,), generator=generator) for length in lengths]


def padded(some: list[Tensor], fill: int) -> Tensor:
    return nn.utils.rnn.pad_sequence(some, batch_first=True, padding_value=fill)


IDS = rows(LENGTHS, 0)
SAID = rows(ANSWERS, 1)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    for shape in SHAPES:
        tiny_model(folder / shape, shape)
    return folder


def their_class(shape: str) -> Any:
    import transformers

    return transformers.AutoModelForSeq2SeqLM if shape in ("t5", "bart") else transformers.AutoModelForCausalLM


def our_loss(model: Model) -> Tensor:
    """Mean loss over all trained tokens of the batch: answers, or all but the first token of a row."""
    ids, mask = padded(IDS, model.pad_id), padded([torch.ones_like(row) for row in IDS], 0)
    if model.family == "encoder_decoder":
        targets, logits = padded(SAID, -100), model.logits(ids, mask, padded(SAID, model.pad_id))
    else:
        targets, logits = padded(IDS, -100)[:, 1:], model.logits(ids, mask)[:, :-1]
    return cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)


def their_loss(module: Any, family: str) -> Tensor:
    """The same from transformers, row by row without any padding, weighted by tokens."""
    total, count = torch.zeros(()), 0
    for row, answer in zip(IDS, SAID, strict=True):
        labels = answer if family == "encoder_decoder" else row
        tokens = len(labels) if family == "encoder_decoder" else len(labels) - 1
        if tokens:
            total = total + module(input_ids=row[None], labels=labels[None]).loss * tokens
            count += tokens
    return total / count


def assert_equal_gradients(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    # A key's bias shifts all scores of a softmax alike: its gradient is zero but for rounding.
    smallest = 1e-2 * max(float(gradient.norm()) for gradient in theirs.values())
    for name, gradient in ours.items():
        assert (gradient - theirs[name]).norm() <= TOLERANCE * theirs[name].norm().clamp(min=smallest), name


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "bert"])
def test_full_training_equals_transformers(workspace: Path, shape: str) -> None:
    model = open_model(shape, workspace=workspace)
    Full().attach(model, seed=0)
    with quiet():
        theirs = their_class(shape).from_pretrained(workspace / shape).eval()
    ours = our_loss(model)
    expected = their_loss(theirs, model.family)
    assert ours.item() == pytest.approx(expected.item(), rel=TOLERANCE)
    ours.backward()
    expected.backward()
    assert_equal_gradients(gradients(model.inner), gradients(theirs))


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "bert"])
def test_lora_equals_peft(workspace: Path, shape: str, tmp_path: Path) -> None:
    from peft import PeftModel

    model = open_model(shape, workspace=workspace)
    Lora(rank=4).attach(model, seed=0)
    with torch.no_grad():  # away from the start, where half of the gradients are zero
        for weight in model.trainable().values():
            weight.normal_(std=0.05, generator=torch.Generator().manual_seed(weight.numel()))
    model.save(tmp_path / "tuned")
    with quiet():
        base = their_class(shape).from_pretrained(workspace / shape)
        theirs = PeftModel.from_pretrained(base, str(tmp_path / "tuned"), is_trainable=True).eval()
    ours = our_loss(model)
    expected = their_loss(theirs, model.family)
    assert ours.item() == pytest.approx(expected.item(), rel=TOLERANCE)
    ours.backward()
    expected.backward()
    assert_equal_gradients(gradients(model.module), gradients(theirs))


@pytest.mark.parametrize("head", ["classify", "tag"])
def test_encoders_equal_the_same_head_on_transformers(workspace: Path, head: Any) -> None:
    import transformers

    model = open_model("bert", workspace=workspace, head=head, labels=("a", "b", "c"))
    Full().attach(model, seed=0)
    assert model.head is not None
    with quiet():
        theirs = transformers.AutoModel.from_pretrained(workspace / "bert").eval()
    linear = nn.Linear(64, 3)
    linear.load_state_dict({name.removeprefix("linear."): weight for name, weight in model.head.state_dict().items()})
    mask = padded([torch.ones_like(row) for row in IDS], 0)
    logits = model.logits(padded(IDS, model.pad_id), mask)
    ours = (logits if head == "classify" else logits[mask.bool()]).logsumexp(dim=-1).sum()
    hidden = [theirs(input_ids=row[None]).last_hidden_state[0] for row in IDS]
    features = [states.mean(dim=0, keepdim=True) if head == "classify" else states for states in hidden]
    expected = linear(torch.cat(features)).logsumexp(dim=-1).sum()
    assert ours.item() == pytest.approx(expected.item(), rel=TOLERANCE)
    ours.backward()
    expected.backward()
    assert_equal_gradients(gradients(model.inner), gradients(theirs))
