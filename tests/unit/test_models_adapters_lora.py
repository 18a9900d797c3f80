"""LoRA's variants: rank-stabilised scaling, DoRA, and layers trained whole beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_tiny import JOBS, adapter, close, loss, opened, outputs, peft_opens, shaken, train

from tunesmith.errors import ModelError
from tunesmith.models.load import open_model
from tunesmith.testing.tiny import tiny_model

VARIANTS: list[dict[str, Any]] = [
    {"scaling": "rslora"},
    {"dora": True},
    {"dora": True, "scaling": "rslora"},
    {"top_layers": 1},
]


@pytest.mark.parametrize(("shape", "head"), JOBS)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_fresh_ones_change_no_bit_and_are_counted(bench: Path, shape: str, head: str, variant: dict[str, Any]) -> None:
    model = opened(bench, shape, head)
    before, counted = outputs(model), adapter(rank=4, **variant).count(model)
    adapter(rank=4, **variant).attach(model, seed=0)
    assert torch.equal(outputs(model), before)
    own = {name: weight for name, weight in model.trainable().items() if not name.startswith("head.")}
    assert counted == sum(weight.numel() for weight in own.values())
    train(model)
    assert not torch.equal(outputs(model), before)
    assert all(weight.grad is not None for weight in own.values())


@pytest.mark.parametrize("shape", ["llama", "gpt2", "bert", "t5"])
@pytest.mark.parametrize("variant", [*VARIANTS, {"train_also": ["norm"]}], ids=str)
def test_saved_reopened_continued_and_merged(bench: Path, shape: str, variant: dict[str, Any]) -> None:
    if "train_also" in variant:
        norm = {"llama": "norm", "gpt2": "ln_f", "bert": "LayerNorm", "t5": "final_layer_norm"}[shape]
        variant = {"train_also": [norm]}
    head = "tag" if shape == "bert" else "lm"
    model = opened(bench, shape, head)
    adapter(rank=4, **variant).attach(model, seed=0)
    last = train(shaken(model))
    trained = outputs(model)
    model.save(bench / "tuned")
    again = open_model("tuned", workspace=bench)
    assert again.adapter == adapter(rank=4, **variant)
    assert loss(again) == last and torch.equal(outputs(again), trained)
    adapter(rank=4, **variant).attach(again, seed=9)
    assert set(again.trainable()) == set(model.trainable())
    assert train(again) == train(model)
    expected = outputs(model)
    adapter(rank=4, **variant).merge(model)
    assert close(outputs(model), expected)
    model.save(bench / "merged")
    assert torch.equal(outputs(open_model("merged", workspace=bench)), outputs(model))


@pytest.mark.parametrize("shape", ["llama", "gpt2", "t5"])
@pytest.mark.parametrize("variant", [*VARIANTS, {"train_also": ["norm"]}], ids=str)
def test_peft_opens_them_with_equal_outputs(bench: Path, shape: str, variant: dict[str, Any]) -> None:
    if "train_also" in variant:
        variant = {"train_also": [{"llama": "norm", "gpt2": "ln_f", "t5": "final_layer_norm"}[shape]]}
    model = opened(bench, shape)
    adapter(rank=4, **variant).attach(model, seed=0)
    shaken(model).save(bench / "tuned")
    expected = outputs(model)
    model.module = peft_opens(bench, shape, "tuned")
    assert torch.equal(outputs(model), expected)


def test_rank_stabilised_scaling_is_alpha_over_the_root_of_rank(bench: Path) -> None:
    def update(**settings: Any) -> float:
        model = opened(bench, "llama")
        before = model.inner.model.layers[0].self_attn.q_proj.weight.clone()
        part = adapter(rank=4, alpha=6.0, targets=["q_proj"], **settings)
        part.attach(model, seed=0)
        shaken(model)
        layer = model.inner.model.layers[0].self_attn.q_proj
        product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
        part.merge(model)
        merged = model.inner.model.layers[0].self_attn.q_proj.weight.detach()
        return float((merged - before).norm() / product.detach().norm())

    assert update() == pytest.approx(6 / 4, rel=1e-5)
    assert update(scaling="rslora") == pytest.approx(6 / 2, rel=1e-5)


def test_dora_trains_the_length_of_each_outputs_weights(bench: Path) -> None:
    """W' = m (W + BA) / |W + BA|, lengths taken row by row (arXiv 2402.09353, equation 5)."""
    model = opened(bench, "llama")
    part = adapter(rank=4, alpha=8.0, targets=["q_proj"], dora=True)
    part.attach(model, seed=0)
    train(shaken(model))
    layer = model.inner.model.layers[1].self_attn.q_proj
    magnitude = layer.lora_magnitude_vector["default"].weight
    assert magnitude.grad is not None and float(magnitude.grad.norm()) > 0
    changed = layer.base_layer.weight + 2.0 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    expected = magnitude[:, None] * changed / changed.norm(dim=1, keepdim=True)
    part.merge(model)
    assert close(model.inner.model.layers[1].self_attn.q_proj.weight, expected.detach(), 1e-6)


@pytest.mark.parametrize("variant", [*VARIANTS, {"train_also": ["embeddings"]}, {"train_also": ["head"]}], ids=str)
def test_every_variant_changes_the_outcome(bench: Path, variant: dict[str, Any]) -> None:
    def trained(**settings: Any) -> float:
        model = opened(bench, "llama")
        adapter(rank=4, **settings).attach(model, seed=0)
        return train(model)

    assert trained(**variant) == trained(**variant) != trained()


@pytest.mark.parametrize("shape", ["llama", "gpt2", "bert", "bart"])
@pytest.mark.parametrize("also", [["embeddings"], ["head"], ["embeddings", "head"]], ids=str)
def test_embeddings_and_head_on_request_where_they_are_apart(tmp_path: Path, shape: Any, also: list[str]) -> None:
    if shape == "bert" and "head" in also:
        pytest.skip("an encoder has no language head")
    tiny_model(tmp_path / "base", shape, tie_word_embeddings=False)
    model = opened(tmp_path, "base", "classify" if shape == "bert" else "lm")
    before, counted = outputs(model), adapter(rank=2, train_also=also).count(model)
    wanted = {"embeddings": model.inner.get_input_embeddings().weight.numel()}
    wanted["head"] = 0 if shape == "bert" else model.inner.get_output_embeddings().weight.numel()
    adapter(rank=2, train_also=also).attach(model, seed=0)
    assert torch.equal(outputs(model), before)
    whole = {name: weight.numel() for name, weight in model.trainable().items() if "modules_to_save" in name}
    assert sorted(whole.values()) == sorted(wanted[word] for word in also)
    assert counted == sum(weight.numel() for name, weight in model.trainable().items() if not name.startswith("head."))
    train(model)
    assert all(float(weight.grad.norm()) > 0 for name, weight in model.trainable().items() if "lora_B" not in name)
    expected = outputs(model)
    model.save(tmp_path / "tuned")
    assert torch.equal(outputs(open_model("tuned", workspace=tmp_path)), expected)
    if shape in ("llama", "gpt2"):
        again = opened(tmp_path, "base")
        again.module = peft_opens(tmp_path, "base", "tuned")
        assert torch.equal(outputs(again), expected)
    adapter(rank=2, train_also=also).merge(model)
    assert close(outputs(model), expected)
    model.save(tmp_path / "merged")
    assert torch.equal(outputs(open_model("merged", workspace=tmp_path)), outputs(model))


@pytest.mark.parametrize("also", [["embeddings"], ["head"], ["embed_tokens", "lm_head"]], ids=str)
def test_tied_embeddings_are_trained_once_and_stay_tied(bench: Path, also: list[str]) -> None:
    model = opened(bench, "llama")
    part = adapter(rank=2, train_also=also)
    counted, before = part.count(model), outputs(model)
    part.attach(model, seed=0)
    assert torch.equal(outputs(model), before)
    assert counted == sum(weight.numel() for weight in model.trainable().values())
    train(model)
    table, output = model.inner.get_input_embeddings().weight, model.inner.get_output_embeddings().weight
    assert table is output and not torch.equal(table, opened(bench, "llama").inner.get_input_embeddings().weight)
    expected = outputs(model)
    model.save(bench / "tuned")
    again = open_model("tuned", workspace=bench)
    assert torch.equal(outputs(again), expected)
    part.attach(again, seed=3)
    assert train(again) == train(model), "one matrix, with the gradients of both its uses"
    theirs = opened(bench, "llama")
    theirs.module = peft_opens(bench, "llama", "tuned")
    assert torch.equal(outputs(theirs), expected)
    trained = outputs(model)
    part.merge(model)
    assert close(outputs(model), trained)
    assert model.inner.get_input_embeddings().weight is model.inner.get_output_embeddings().weight
    model.save(bench / "merged")
    merged = open_model("merged", workspace=bench)
    assert torch.equal(outputs(merged), outputs(model))
    assert merged.inner.get_input_embeddings().weight is merged.inner.get_output_embeddings().weight


@pytest.mark.parametrize("shape", ["gpt2", "t5", "bart"])
def test_tied_embeddings_that_peft_would_part_are_refused(bench: Path, shape: str) -> None:
    for word in ("embeddings", "head"):
        with pytest.raises(ModelError, match="shares its weights"):
            adapter(train_also=[word]).attach(opened(bench, shape), seed=0)


def test_names_that_match_nothing_list_what_exists(bench: Path) -> None:
    with pytest.raises(ModelError, match=r"no layer 'embed_token' \(did you mean 'embed_tokens'") as caught:
        adapter(train_also=["embed_token"]).attach(opened(bench, "llama"), seed=0)
    assert "input_layernorm" in caught.value.fix and "`embeddings` or `head`" in caught.value.fix
    with pytest.raises(ModelError, match="no layer 'head'") as caught:
        adapter(train_also=["head"]).attach(opened(bench, "llama", "classify"), seed=0)
    assert "`head`" not in caught.value.fix, "our head always trains; the model's own has no part in the job"
    with pytest.raises(ModelError, match="both targets and train_also"):
        adapter(targets=["q_proj"], train_also=["q_proj"]).attach(opened(bench, "llama"), seed=0)


def test_a_linear_layer_trained_whole_gets_no_update(bench: Path) -> None:
    model = opened(bench, "llama")
    part = adapter(rank=2, train_also=["down_proj"])
    counted = part.count(model)
    part.attach(model, seed=0)
    names = [name for name in model.trainable() if "down_proj" in name]
    assert len(names) == 2 and all("modules_to_save" in name for name in names)
    assert counted == sum(weight.numel() for weight in model.trainable().values())


def test_what_others_set_is_read_and_kept(bench: Path) -> None:
    model = opened(bench, "llama")
    adapter(rank=3, scaling="rslora", dora=True, train_also=["norm"]).attach(model, seed=0)
    shaken(model).save(bench / "tuned")
    (bench / "tuned" / "tunesmith.json").unlink()
    config = json.loads((bench / "tuned" / "adapter_config.json").read_text())
    assert config["use_rslora"] and config["use_dora"]
    again = open_model("tuned", workspace=bench)
    assert torch.equal(outputs(again), outputs(model))
    found = again.adapter.settings() if again.adapter else {}
    assert (found["scaling"], found["dora"], found["train_also"]) == ("rslora", True, ["model.norm"])


@pytest.mark.parametrize(
    ("shape", "top"), [("llama", "layers.1."), ("gpt2", "h.1."), ("bert", "layer.1."), ("t5", "decoder.block.1.")]
)
@pytest.mark.parametrize("kind", ["lora", "qlora"])
def test_top_layers_alone_get_an_update(bench: Path, shape: str, top: str, kind: str) -> None:
    every, upper = (opened(bench, shape, "tag" if shape == "bert" else "lm") for _ in range(2))
    adapter(kind).attach(every, seed=0)
    adapter(kind, top_layers=1).attach(upper, seed=0)
    expected = {name for name in every.trainable() if top in name or name.startswith("head.")}
    assert set(upper.trainable()) == expected
    again = opened(bench, shape, "tag" if shape == "bert" else "lm")
    adapter(kind, top_layers=4 if shape == "t5" else 2).attach(again, seed=0)
    assert set(again.trainable()) == set(every.trainable())


def test_more_layers_than_there_are_is_refused(bench: Path) -> None:
    with pytest.raises(ModelError, match="3 layers are to get an update, and the model has 2"):
        adapter(top_layers=3).attach(opened(bench, "llama"), seed=0)
