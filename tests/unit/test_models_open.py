"""Opened models: every family and head computes what it should, whatever padding stands beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tunesmith.errors import ModelError
from tunesmith.models.families import context_of
from tunesmith.models.heads import pool
from tunesmith.models.load import Model, open_model
from tunesmith.models.weights import module_digest
from tunesmith.testing.tiny import SHAPES, tiny_model

torch.set_num_threads(1)

HEADS: dict[str, dict[str, Any]] = {
    "lm": {},
    "classify": {"labels": ("billing", "delivery", "other")},
    "tag": {"labels": ("O", "B-PER", "I-PER", "B-LOC")},
}
JOBS = [(shape, head) for shape in SHAPES for head in HEADS if (shape, head) != ("bert", "lm")]
FAMILY = {"llama": "causal", "gpt2": "causal", "bert": "encoder", "t5": "encoder_decoder", "bart": "encoder_decoder"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    for shape in SHAPES:
        tiny_model(folder / shape, shape)
    return folder


def opened(workspace: Path, shape: str, head: str, **options: Any) -> Model:
    return open_model(shape, workspace=workspace, head=head, **HEADS[head], **options)  # type: ignore[arg-type]


def a_row(length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(8, 380, (1, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_families_and_facts(workspace: Path, shape: str) -> None:
    model = opened(workspace, shape, "classify")
    assert model.family == FAMILY[shape]
    assert model.context == 128
    assert model.pad_id == model.tokenizer.pad_token_id
    assert {parameter.dtype for parameter in model.module.parameters()} == {torch.float32}
    assert not model.module.training
    assert model.reference == shape


@pytest.mark.parametrize(("shape", "head"), JOBS)
@pytest.mark.parametrize("extra", [1, 7, 64])
def test_padding_changes_nothing(workspace: Path, shape: str, head: str, extra: int) -> None:
    model = opened(workspace, shape, head)
    length = 11
    row, answer = a_row(length), a_row(5, seed=1)
    alone = model.logits(row, torch.ones_like(row), answer)
    padded = torch.cat([row, torch.full((1, extra), model.pad_id)], dim=1)
    mask = torch.cat([torch.ones_like(row), torch.zeros(1, extra, dtype=torch.long)], dim=1)
    longer = torch.cat([answer, torch.full((1, extra), model.pad_id)], dim=1)
    beside = model.logits(padded, mask, longer)
    kept = beside if head == "classify" else beside[:, : alone.shape[1]]
    assert (kept - alone).abs().max() <= 1e-6 * max(1.0, alone.abs().max().item())


@pytest.mark.parametrize(("shape", "head"), JOBS)
def test_padding_changes_no_gradient(workspace: Path, shape: str, head: str) -> None:
    from tunesmith.models.adapters.full import Full

    def gradients(extra: int) -> dict[str, torch.Tensor]:
        model = opened(workspace, shape, head)
        Full().attach(model, seed=0)
        row, answer = a_row(9), a_row(5, seed=1)
        padded = torch.cat([row, torch.full((1, extra), model.pad_id)], dim=1)
        mask = torch.cat([torch.ones_like(row), torch.zeros(1, extra, dtype=torch.long)], dim=1)
        logits = model.logits(padded, mask, answer)
        kept = logits[:, :9] if head == "tag" or (head == "lm" and model.family == "causal") else logits
        kept.logsumexp(dim=-1).sum().backward()
        found = {name: weight.grad for name, weight in model.trainable().items()}
        assert all(gradient is not None for gradient in found.values()), "something that trains gets no gradient"
        return found  # type: ignore[return-value]

    plain, padded = gradients(0), gradients(33)
    scale = max(float(gradient.abs().max()) for gradient in plain.values())
    assert all((plain[name] - padded[name]).abs().max() <= 1e-6 * max(scale, 1.0) for name in plain)


@pytest.mark.parametrize("pooling", ["mean", "last", "first"])
def test_pooling_sees_its_own_row_only(pooling: Any) -> None:
    hidden = torch.tensor([[1.0], [2.0], [6.0], [4.0]])
    expected = {"mean": [3.0, 4.0], "last": [6.0, 4.0], "first": [1.0, 4.0]}[pooling]
    assert pool(hidden, (3, 1), pooling).flatten().tolist() == expected


@pytest.mark.parametrize("kind", ["classify", "tag"])
def test_padding_does_not_reach_the_head(workspace: Path, kind: Any) -> None:
    model = opened(workspace, "bert", kind)
    row = a_row(6)
    mask = torch.ones_like(row)
    wider, narrower = torch.nn.functional.pad(row, (0, 3), value=7), torch.nn.functional.pad(mask, (0, 3))
    expected = model.logits(row, mask)
    found = model.logits(wider, narrower)
    assert torch.allclose(found[:, :6] if kind == "tag" else found, expected, atol=1e-5)


def test_pooling_and_dropout_reach_the_head(workspace: Path) -> None:
    model = opened(workspace, "llama", "classify", pooling="first", dropout=0.5)
    assert model.head is not None
    row = a_row(6)
    mask = torch.ones_like(row)
    assert torch.equal(model.logits(row, mask)[0], model.head.linear(model.hidden(row, mask)[:, 0])[0])
    model.train()
    assert not torch.equal(model.logits(row, mask), model.logits(row, mask))


def test_heads_are_drawn_from_the_seed(workspace: Path) -> None:
    weights = [opened(workspace, "llama", "tag", seed=seed).head.linear.weight for seed in (1, 1, 2)]  # type: ignore[union-attr]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_random_weights_come_from_the_seed_and_need_no_weight_file(workspace: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((workspace / "llama" / name).read_bytes())
    state = torch.get_rng_state()
    fresh = [open_model(str(tmp_path), workspace=tmp_path, initialize="random", seed=seed) for seed in (5, 5, 6)]
    assert fresh[0].digest == fresh[1].digest == module_digest(fresh[1].module)
    assert fresh[0].digest != fresh[2].digest
    assert torch.equal(torch.get_rng_state(), state), "opening a model must not move the global random state"


def test_weights_kept_in_bf16_are_opened_as_fp32(workspace: Path, tmp_path: Path) -> None:
    model = opened(workspace, "llama", "lm")
    model.inner.to(torch.bfloat16)
    model.save(tmp_path / "half")
    stored = load_file(tmp_path / "half" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    again = open_model("half", workspace=tmp_path)
    weights = dict(again.module.named_parameters())
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert all(torch.equal(weights[name], tensor.float()) for name, tensor in stored.items())


def test_an_encoder_cannot_generate(workspace: Path) -> None:
    with pytest.raises(ModelError, match="encoder cannot generate"):
        open_model("bert", workspace=workspace)


def test_heads_need_labels_and_known_names(workspace: Path) -> None:
    with pytest.raises(ModelError, match="needs labels"):
        open_model("llama", workspace=workspace, head="classify")
    with pytest.raises(ModelError, match="no head 'rank'"):
        open_model("llama", workspace=workspace, head="rank")  # type: ignore[arg-type]


def test_a_missing_language_head_is_refused_for_generation_only(workspace: Path, tmp_path: Path) -> None:
    tiny_model(tmp_path / "untied", tie_word_embeddings=False)
    path = tmp_path / "untied" / "model.safetensors"
    tensors = load_file(path)
    del tensors["lm_head.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="no trained language head"):
        open_model("untied", workspace=tmp_path)
    model = open_model("untied", workspace=tmp_path, head="classify", labels=("a", "b"))
    model.save(tmp_path / "saved")
    with pytest.raises(ModelError, match="no trained language head"):
        open_model("saved", workspace=tmp_path, head="lm")


def test_heads_of_other_jobs_are_left_out(tmp_path: Path) -> None:
    from transformers import BertForMaskedLM

    from tunesmith.models.quiet import quiet

    folder = tiny_model(tmp_path / "bert", "bert")
    with quiet():
        masked = BertForMaskedLM.from_pretrained(folder)
        masked.save_pretrained(folder)
    model = open_model("bert", workspace=tmp_path, head="tag", labels=("O", "B-X"))
    row = a_row(5)
    expected = masked.bert(input_ids=row).last_hidden_state
    assert torch.equal(model.hidden(row, torch.ones_like(row)), expected)


@pytest.mark.parametrize(
    ("settings", "limit", "expected"),
    [
        ({"model_type": "llama", "max_position_embeddings": 2048}, 10**30, 2048),
        ({"model_type": "llama", "max_position_embeddings": 2048}, 512, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 10**30, 512),
        ({"model_type": "t5"}, 10**30, 1024),
        ({"model_type": "t5"}, 512, 512),
    ],
)
def test_contexts(settings: dict[str, Any], limit: int, expected: int) -> None:
    from types import SimpleNamespace

    assert context_of(SimpleNamespace(**settings), limit) == expected
