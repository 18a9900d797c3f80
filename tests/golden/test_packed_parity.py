"""Rows that lie one after another: outputs and gradients are those of transformers on padded rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from tunesmith.models.model import Model
from tunesmith.models.packing import attention, rows
from tunesmith.models.packing.layout import Layout
from tunesmith.models.quiet import quiet
from tunesmith.train.weights import Weights

CPU = torch.device("cpu")
LENGTHS = (21, 3, 17, 17, 30, 1, 16)
SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "cls_token_id": 1,
    "sep_token_id": 2,
}
GROUPED = {"num_key_value_heads": 2, "head_dim": 16}
CAUSAL: dict[str, dict[str, Any]] = {
    "llama": GROUPED,
    "qwen2": {"num_key_value_heads": 2},
    "qwen3": GROUPED,
    "gemma": GROUPED,
    "mistral": {**GROUPED, "sliding_window": 7},
    "gemma3_text": {**GROUPED, "sliding_window": 7, "layer_types": ["sliding_attention", "full_attention"]},
    "phi3": {"num_key_value_heads": 2},
    "gpt_neox": {},
    "olmo2": {"num_key_value_heads": 2},
    "smollm3": {"num_key_value_heads": 2},
    "opt": {"ffn_dim": 96, "word_embed_proj_dim": 64},
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128},
}
ENCODERS: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {},
    "xlm-roberta": {},
    "distilbert": {"dim": 64, "hidden_dim": 96, "n_layers": 2, "n_heads": 4},
    "electra": {"embedding_size": 64},
    "albert": {"embedding_size": 32},
    "modernbert": {"local_attention": 8, "global_attn_every_n_layers": 2},
}
PADDED = {"stablelm": {"num_key_value_heads": 2}, "deberta-v2": {}}
"""Architectures that do not let our attention in."""


def model_of(name: str, changes: dict[str, Any], *, dtype: torch.dtype = torch.float32, dropout: float = 0.0) -> Model:
    causal = name in CAUSAL or name == "stablelm"
    dropouts = {} if causal else {"attention_probs_dropout_prob": dropout, "hidden_dropout_prob": 0.0}
    with quiet():
        torch.manual_seed(0)
        config = AutoConfig.for_model(name, **(SIZES | dropouts | changes))
        module = (AutoModelForCausalLM if causal else AutoModel).from_config(config)
        for parameter in module.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.2)
    return Model(
        module=module.to(dtype).eval(),
        head=None,
        tokenizer=None,  # type: ignore[arg-type]
        family="causal" if causal else "encoder",
        head_kind="lm",
        labels=(),
        multi_label=False,
        context=128,
        pad_id=0,
        reference=name,
        digest="",
        origin=None,  # type: ignore[arg-type]
    )


def ids_of(layout: Layout) -> torch.Tensor:
    return torch.randint(3, 96, (layout.num_tokens,), generator=torch.Generator().manual_seed(1))


def alone(model: Model, ids_N: torch.Tensor, lengths: tuple[int, ...]) -> torch.Tensor:
    """Each row by itself through transformers: nothing to pad, nothing beside it."""
    return torch.cat([model.trunk(input_ids=row[None]).last_hidden_state[0] for row in ids_N.split(lengths)])


def gradient(model: Model, hidden_ND: torch.Tensor) -> torch.Tensor:
    model.module.zero_grad()
    wave_ND = torch.sin(torch.arange(hidden_ND.numel(), dtype=torch.float32)).view_as(hidden_ND)
    (hidden_ND.float() * wave_ND).sum().backward()
    found = [parameter.grad for parameter in model.module.parameters() if parameter.grad is not None]
    return torch.cat([grad.float().flatten() for grad in found])


def off(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.detach() - expected.detach()).norm() / expected.detach().norm())


@pytest.mark.parametrize("name", [*CAUSAL, *ENCODERS])
def test_packed_rows_equal_each_row_alone(name: str) -> None:
    model = model_of(name, (CAUSAL | ENCODERS)[name])
    layout = Layout(LENGTHS, CPU)
    ids_N = ids_of(layout)
    expected_ND = alone(model, ids_N, LENGTHS)  # transformers' own attention: ours is not in place yet
    expected = expected_ND.detach(), gradient(model, expected_ND)
    assert rows.packs(model) and model.notes == []
    found_ND = rows.hidden_of_rows(model, ids_N, layout)
    assert off(found_ND.detach(), expected[0]) <= 2e-6
    assert off(gradient(model, found_ND), expected[1]) <= 5e-6
    # With ours in place, what is padded or has a cache is still computed as before.
    assert off(alone(model, ids_N, LENGTHS).detach(), expected[0]) <= 1e-6
    if name in CAUSAL:
        logits_NV = rows.logits_of_rows(model, ids_N, layout)
        single = model.module(input_ids=ids_N[None, :21]).logits[0]
        assert off(logits_NV[:21].detach(), single.detach()) <= 2e-6


@pytest.mark.parametrize("name", PADDED)
def test_what_cannot_be_packed_is_padded_and_says_so(name: str) -> None:
    model = model_of(name, PADDED[name])
    layout = Layout(LENGTHS, CPU)
    ids_N = ids_of(layout)
    expected_ND = alone(model, ids_N, LENGTHS)
    assert not rows.packs(model)
    assert off(rows.hidden_of_rows(model, ids_N, layout), expected_ND) <= 2e-6
    rows.hidden_of_rows(model, ids_N, layout)
    assert [note.partition(":")[0] for note in model.notes] == ["rows are padded"]


@pytest.mark.parametrize("name", ["llama", "mistral", "bert", "modernbert"])
@pytest.mark.parametrize("queries", [1, 5])
def test_rows_of_several_blocks_of_queries(name: str, queries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "QUERIES", queries)
    model = model_of(name, (CAUSAL | ENCODERS)[name])
    layout = Layout(LENGTHS, CPU)
    expected = gradient(model, alone(model, ids_of(layout), LENGTHS))
    assert rows.packs(model)
    assert off(gradient(model, rows.hidden_of_rows(model, ids_of(layout), layout)), expected) <= 5e-6


@torch.no_grad()
def test_two_hundred_packings_equal_each_row_alone() -> None:
    """Whatever lengths lie side by side, in whatever order."""
    model = model_of("llama", GROUPED)
    draw = torch.Generator().manual_seed(2)
    drawn = [
        torch.randint(1, 41, (int(count),), generator=draw) for count in torch.randint(1, 9, (200,), generator=draw)
    ]
    cases = [(tuple(lengths.tolist()), Layout(tuple(lengths.tolist()), CPU)) for lengths in drawn]
    expected = [alone(model, ids_of(layout), lengths) for lengths, layout in cases]
    assert rows.packs(model)
    for (lengths, layout), expected_ND in zip(cases, expected, strict=True):
        assert off(rows.hidden_of_rows(model, ids_of(layout), layout), expected_ND) <= 1e-5, lengths


@pytest.mark.parametrize("name", ["llama", "mistral", "bert", "modernbert"])
def test_the_kernels_of_other_devices_give_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(name, (CAUSAL | ENCODERS)[name])
    layout = Layout(LENGTHS, CPU)
    ours_ND = rows.hidden_of_rows(model, ids_of(layout), layout)
    expected = ours_ND.detach(), gradient(model, ours_ND)
    monkeypatch.setattr(attention, "_on_cpu", attention._with_kernels)
    theirs_ND = rows.hidden_of_rows(model, ids_of(layout), layout)
    assert off(theirs_ND, expected[0]) <= 2e-6 and off(gradient(model, theirs_ND), expected[1]) <= 5e-6


@pytest.mark.parametrize("name", ["llama", "bert", "gpt2"])
def test_a_row_does_not_see_its_neighbours(name: str) -> None:
    model = model_of(name, (CAUSAL | ENCODERS)[name])
    layout = Layout(LENGTHS, CPU)
    ids_N = ids_of(layout)
    before_ND = rows.hidden_of_rows(model, ids_N, layout)
    changed_N = ids_N.clone()
    changed_N[21:24] = 95 - changed_N[21:24]  # the second row
    after_ND = rows.hidden_of_rows(model, changed_N, layout)
    same = torch.ones(layout.num_tokens, dtype=torch.bool)
    same[21:24] = False
    assert torch.equal(before_ND[same], after_ND[same])
    assert not torch.allclose(before_ND[~same], after_ND[~same])


def test_the_gradient_in_bf16_is_no_worse_than_that_of_autocast() -> None:
    """Against fp32, beside transformers under autocast, as TRL computes; roundings fall as they may: a mean of 12."""
    ratios = []
    for name in ("llama", "qwen3", "gemma", "gpt2"):
        for lengths in ((60, 33, 90, 7), (11, 80, 45), (100, 100)):
            layout = Layout(lengths, CPU)
            ids_N = ids_of(layout)
            plain = model_of(name, CAUSAL[name])
            exact = gradient(plain, alone(plain, ids_N, lengths))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                usual_ND = alone(plain, ids_N, lengths)
            usual = off(gradient(plain, usual_ND), exact)
            model = model_of(name, CAUSAL[name])
            assert rows.packs(model)
            weights = Weights(model, torch.bfloat16)
            with weights.halved.computing(CPU):
                found_ND = rows.hidden_of_rows(model, ids_N, layout)
            gradient(model, found_ND)
            found = torch.cat([master.grad.flatten() for master in weights.masters.values() if master.grad is not None])
            ratios.append(off(found, exact) / usual)
    assert max(ratios) < 1.15 and sum(ratios) / len(ratios) < 1.0


def test_a_still_table_begins_a_sum_in_fp32() -> None:
    model = model_of("llama", GROUPED)
    model.inner.get_input_embeddings().weight.requires_grad_(False)
    assert rows.packs(model)
    weights = Weights(model, torch.bfloat16)
    layout = Layout(LENGTHS, CPU)
    with weights.halved.computing(CPU):
        assert model.inner.get_input_embeddings()(ids_of(layout)).dtype == torch.float32
    assert model.inner.get_input_embeddings().weight.dtype == torch.bfloat16
    weights.finish(None)
    assert {weight.dtype for weight in model.module.parameters()} == {torch.float32}
    assert rows.hidden_of_rows(model, ids_of(layout), layout).dtype == torch.float32


def test_dropout_drops_its_share_and_its_gradient_fits() -> None:
    model = model_of("bert", {}, dropout=0.3)
    assert rows.packs(model)
    layout = Layout((40, 25), CPU)
    H, K = 4, 16
    query, key = (torch.randn(1, H, layout.num_tokens, K, dtype=torch.float64) for _ in range(2))
    value = torch.ones(1, H, layout.num_tokens, K, dtype=torch.float64)
    module = torch.nn.Module()
    module.is_causal = False  # type: ignore[assignment]
    said, _ = attention.attention(module, query, key, value, None, dropout=0.3, layout=layout)
    assert float(said.mean()) == pytest.approx(1.0, abs=0.05) and float(said.std()) > 0.05

    def repeated(query: Any, key: Any, value: Any) -> Any:
        torch.manual_seed(3)
        return attention.attention(module, query, key, value, None, dropout=0.3, layout=Layout((5, 3), CPU))[0]

    states = [torch.randn(1, H, 8, K, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    # Weights are computed in fp32, so numerical differences are coarse.
    assert torch.autograd.gradcheck(repeated, states, eps=1e-3, atol=1e-2, rtol=1e-2)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_buckets_hold_every_token_once(lengths: list[int]) -> None:
    layout = Layout(tuple(lengths), CPU)
    values_NX = torch.arange(layout.num_tokens * 2).view(-1, 2) + 1
    back_NX = torch.zeros_like(values_NX)
    held = 0
    for bucket in layout.buckets:
        rows_BTX = bucket.take(values_NX).clone()
        assert bucket.count * bucket.width <= 1.125 * (bucket.real_BT.sum() if bucket.real_BT is not None else 1e9)
        held += bucket.count
        if bucket.real_BT is not None:
            rows_BTX[~bucket.real_BT] = -1
        assert (back_NX[bucket.token_BT] == 0).all()
        bucket.put(back_NX, rows_BTX)
    assert torch.equal(back_NX, values_NX) and held == len(lengths)
    assert layout.positions_N.tolist() == [place for length in lengths for place in range(length)]
    whole = layout.whole
    assert (whole.count, whole.width) == (len(lengths), max(lengths))
