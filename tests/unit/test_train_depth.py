"""Depth of weights, against groupings written by hand for four architectures."""

from __future__ import annotations

import pytest

from tunesmith.models.adapters.full import Full
from tunesmith.models.adapters.lora import Lora
from tunesmith.models.layers.depth import depths, layers
from tunesmith.models.load import open_model
from tunesmith.testing.tiny import tiny_model
from tunesmith.train.optimizers.adamw import AdamW

COUNTS = {
    "llama": {"num_hidden_layers": 3},
    "gpt2": {"n_layer": 3},
    "bert": {"num_hidden_layers": 3},
    "t5": {"num_layers": 2, "num_decoder_layers": 3},
    "bart": {"encoder_layers": 2, "decoder_layers": 2},
}
HANDS = {  # the start of a name -> depth; the longest start counts
    "llama": {"": 0, "model.embed_tokens": 3, "model.layers.0.": 2, "model.layers.1.": 1, "model.layers.2.": 0,
              "model.norm": 0, "lm_head": 0},
    "gpt2": {"": 0, "transformer.wte": 3, "transformer.wpe": 3, "transformer.h.0.": 2, "transformer.h.1.": 1,
             "transformer.h.2.": 0, "transformer.ln_f": 0},
    "bert": {"embeddings.": 3, "encoder.layer.0.": 2, "encoder.layer.1.": 1, "encoder.layer.2.": 0},
    "t5": {"shared": 5, "encoder.embed_tokens": 5, "decoder.embed_tokens": 5, "encoder.block.0.": 4,
           "encoder.block.1.": 3, "encoder.final_layer_norm": 3, "decoder.block.0.": 2, "decoder.block.1.": 1,
           "decoder.block.2.": 0, "decoder.final_layer_norm": 0, "lm_head": 0},
    "bart": {"model.shared": 4, "model.encoder.embed": 4, "model.decoder.embed": 4,
             "model.encoder.layernorm_embedding": 4, "model.decoder.layernorm_embedding": 4,
             "model.encoder.layers.0.": 3, "model.encoder.layers.1.": 2, "model.decoder.layers.0.": 1,
             "model.decoder.layers.1.": 0, "lm_head": 0},
}  # fmt: skip


def opened(folder, shape, *, adapter=None, head=None, **config):
    path = tiny_model(folder, shape, **{**COUNTS[shape], **config})
    kind = head or ("classify" if shape == "bert" else "lm")
    model = open_model(str(path), workspace=folder, head=kind, labels=("a", "b") if kind == "classify" else ())
    (adapter or Full()).attach(model, 0)
    return model


def by_hand(shape, name):
    inside = name.removeprefix("module.").removeprefix("base_model.model.")
    starts = [start for start in HANDS[shape] if inside.startswith(start)]
    return HANDS[shape][max(starts, key=len)]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shape", HANDS)
def test_depths_equal_a_grouping_by_hand(tmp_path, shape, tied):
    model = opened(tmp_path, shape, tie_word_embeddings=tied)
    found = depths(model)
    assert set(found) == set(model.trainable())
    for name, depth in found.items():
        assert depth == (0 if name.startswith("head.") else by_hand(shape, name)), name
    assert set(found.values()) == set(range(layers(model).count + 1))


@pytest.mark.parametrize("shape", HANDS)
def test_adapters_have_the_depth_of_their_layer(tmp_path, shape):
    found = depths(opened(tmp_path, shape, adapter=Lora(rank=2)))
    lora = {name: depth for name, depth in found.items() if "lora_" in name}
    assert lora and all(depth == by_hand(shape, name) for name, depth in lora.items())


def test_a_classifier_on_an_encoder_decoder_counts_the_encoder_alone(tmp_path):
    found = depths(opened(tmp_path, "t5", head="classify"))
    assert {depth for name, depth in found.items() if ".block.1." in name} == {0}
    assert {depth for name, depth in found.items() if ".block.0." in name} == {1}
    assert found["module.shared.weight"] == 2


def test_layer_decay_makes_the_rates(tmp_path):
    model = opened(tmp_path, "llama")
    groups = AdamW(lr=1.0, layer_decay=0.5).build(trained := model.trainable(), depths(model)).param_groups
    rate = {id(weight): group["rate"] for group in groups for weight in group["params"]}
    for name, weight in trained.items():
        assert rate[id(weight)] == 0.5 ** by_hand("llama", name), name
