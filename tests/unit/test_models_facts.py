"""Facts and estimates: equal to what the opened model is, without opening it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tunesmith.errors import ModelError
from tunesmith.models.facts import base_facts
from tunesmith.models.load import open_model
from tunesmith.models.memory import HELD, estimate
from tunesmith.part import ADAPTERS, OBJECTIVES
from tunesmith.spec.sections import Train
from tunesmith.testing.tiny import SHAPES, tiny_model

torch.set_num_threads(1)


def stage(adapter: Any = "full", objective: str = "sft", **settings: Any) -> Train:
    made = {"adapter": ADAPTERS.make(adapter), "objective": OBJECTIVES.make(objective)}
    return Train(**({"micro_batch": "4 rows", "precision": "fp32"} | made | settings))


@pytest.mark.parametrize("shape", SHAPES)
def test_facts_equal_the_opened_model(tmp_path: Path, shape: Any) -> None:
    tiny_model(tmp_path / shape, shape)
    facts = base_facts(shape, workspace=tmp_path)
    model = open_model(shape, workspace=tmp_path, head="tag", labels=("O",))
    assert facts.num_parameters == sum(weight.numel() for weight in model.module.parameters())
    assert (facts.family, facts.context, facts.digest) == (model.family, model.context, model.digest)
    assert facts.vocabulary == 384
    assert facts.reference == model.reference


def test_facts_of_an_adapter_are_its_bases_with_its_own_digest(tmp_path: Path) -> None:
    tiny_model(tmp_path / "base")
    model = open_model("base", workspace=tmp_path, head="classify", labels=("a", "b"))
    lora: Any = ADAPTERS.make("lora")
    lora.attach(model, 0)
    model.save(tmp_path / "tuned")
    facts, base = base_facts("tuned", workspace=tmp_path), base_facts("base", workspace=tmp_path)
    assert facts.num_parameters == base.num_parameters
    assert facts.digest == open_model("tuned", workspace=tmp_path).digest != base.digest


def test_missing_weights_are_refused_only_where_they_are_needed(tmp_path: Path) -> None:
    tiny_model(tmp_path / "base")
    (tmp_path / "base" / "model.safetensors").unlink()
    assert base_facts("base", workspace=tmp_path).num_parameters
    assert base_facts("base", workspace=tmp_path, initialize="random").digest
    with pytest.raises(ModelError, match="no weights"):
        base_facts("base", workspace=tmp_path, initialize="pretrained")


@pytest.mark.parametrize(
    ("card", "licence", "languages"),
    [
        ("---\nlicense: apache-2.0\nlanguage: no\ntags: [x]\n---\n# Model", "apache-2.0", ("no",)),
        ("---\nlanguage: [en, de]\n---\n# Model", None, ("en", "de")),
        ("---\nlicense: [\n---\n# Broken", None, ()),
        ("# No front matter\nlicense: mit", None, ()),
        ("", None, ()),
    ],
)
def test_licence_and_languages_are_read_from_the_card(
    tmp_path: Path, card: str, licence: str | None, languages: tuple[str, ...]
) -> None:
    tiny_model(tmp_path / "base")
    (tmp_path / "base" / "README.md").write_text(card)
    facts = base_facts("base", workspace=tmp_path)
    assert (facts.licence, facts.languages) == (licence, languages)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "adapter", ["full", {"kind": "lora", "rank": 4}, {"kind": "lora", "rank": 4, "targets": ["v"]}]
)
@pytest.mark.parametrize("objective", ["sft", "classify"])
def test_trained_parameters_equal_what_is_attached(tmp_path: Path, shape: Any, adapter: Any, objective: str) -> None:
    if shape == "bert" and objective == "sft":
        pytest.skip("encoders do not generate")
    if isinstance(adapter, dict) and "targets" in adapter:
        name = {"llama": "v_proj", "gpt2": "c_attn", "bert": "value", "t5": "v", "bart": "v_proj"}[shape]
        adapter = {**adapter, "targets": [name]}
    tiny_model(tmp_path / shape, shape)
    found = estimate(base_facts(shape, workspace=tmp_path), stage(adapter, objective), 32)
    head = "classify" if objective == "classify" else "lm"
    model = open_model(shape, workspace=tmp_path, head=head, labels=("a",) if head == "classify" else ())  # type: ignore[arg-type]
    part: Any = ADAPTERS.make(adapter)
    part.attach(model, 0)
    trained = sum(weight.numel() for name, weight in model.trainable().items() if name.startswith("module."))
    assert found.num_trained == trained
    held = sum(weight.numel() for weight in model.module.parameters())
    assert found.weight_bytes == 4 * held


def test_activations_equal_what_a_real_pass_keeps(tmp_path: Path) -> None:
    tiny_model(tmp_path / "base")
    found = estimate(base_facts("base", workspace=tmp_path), stage("full", "classify", micro_batch="3 rows"), 50)
    model = open_model("base", workspace=tmp_path, head="classify", labels=("a",))
    model.module.requires_grad_(True)
    model.train()
    weights = {weight.data_ptr() for weight in model.module.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        ids = torch.ones(3, 50, dtype=torch.long)
        model.hidden(ids, torch.ones_like(ids))
    assert found.activation_bytes == int(HELD * sum(kept.values()))


def test_what_an_estimate_depends_on(tmp_path: Path) -> None:
    tiny_model(tmp_path / "base")
    facts = base_facts("base", workspace=tmp_path)
    plain = estimate(facts, stage(), 32)
    assert plain.total_bytes == (
        plain.weight_bytes + plain.gradient_bytes + plain.optimizer_bytes + plain.activation_bytes + plain.process_bytes
    )
    assert estimate(facts, stage(micro_batch="8 rows"), 32).activation_bytes > plain.activation_bytes
    assert estimate(facts, stage(micro_batch="256 tokens"), 32) == estimate(facts, stage(micro_batch="8 rows"), 32)
    assert estimate(facts, stage(), 64).activation_bytes > plain.activation_bytes
    half = estimate(facts, stage(precision="bf16"), 32)
    assert half.activation_bytes < plain.activation_bytes
    table, norms = 384 * 64, 5 * 64
    assert half.weight_bytes == 6 * (plain.num_parameters - table - norms) + 4 * (table + norms)
    taught = estimate(facts, stage(), 32, [facts])
    assert taught.weight_bytes - plain.weight_bytes == 4 * facts.num_parameters, "a teacher's weights"
    assert taught.flops_per_token - plain.flops_per_token == pytest.approx(2 * facts.num_parameters)
    lora = estimate(facts, stage({"kind": "lora", "rank": 2}), 32)
    assert lora.optimizer_bytes == 8 * lora.num_trained < plain.optimizer_bytes
    # Six operations a weight and token, forward and backward, attention aside.
    weights = plain.num_parameters - 384 * 64
    assert plain.flops_per_token == pytest.approx(6 * weights, rel=0.1)
    assert plain.flops_per_trained_token == 6 * 384 * 64
