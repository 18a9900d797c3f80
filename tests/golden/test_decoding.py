"""Batched decoding: every row says what transformers' `generate` says to it alone."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_packed_parity import CAUSAL, GROUPED, model_of
from transformers import DynamicCache
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from tunesmith.models.inference import blocked as blocking
from tunesmith.models.inference.blocked import blocked
from tunesmith.models.inference.generate import Answer, Sampling, generate
from tunesmith.models.inference.lean import Lean, decodes
from tunesmith.models.layers.native.library import library
from tunesmith.models.layers.native.products import Fixed
from tunesmith.models.load import open_model
from tunesmith.models.model import Model
from tunesmith.models.packing.kv_cache import BLOCK, KVCache
from tunesmith.part import ADAPTERS
from tunesmith.testing.tiny import tiny_model, tiny_tokenizer

torch.set_num_threads(1)

RANDOM = np.random.default_rng(0)
PROMPTS = [RANDOM.integers(3, 96, length).tolist() for length in (3, 40, 9, 1, 5, 31, 12, 2)]
STOPS = tuple(range(5, 96, 11))  # many, so that answers end at different places
PADDED: dict[str, dict[str, Any]] = {
    "stablelm": {"num_key_value_heads": 2},
    "gemma2": {**GROUPED, "sliding_window": 7},
    "falcon": {},
}
"""Architectures that do not let our attention in."""


def opened(name: str, changes: dict[str, Any] | None = None, **options: Any) -> Model:
    # Untied: tied random models only repeat what they read last.
    model = model_of(name, (CAUSAL[name] if changes is None else changes) | {"tie_word_embeddings": False}, **options)
    model.tokenizer = tiny_tokenizer()
    return model


def of_transformers(model: Model, prompt: list[int], limit: int = 24, stops: tuple[int, ...] = STOPS) -> list[int]:
    """What its `generate` says, the row alone."""
    said: torch.Tensor = model.inner.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=limit,
        do_sample=False,
        eos_token_id=list(stops) or None,
        pad_token_id=0,
    )
    tokens: list[int] = said[0, len(prompt) :].tolist()
    return tokens


def said(model: Model, batch: int, **options: Any) -> list[list[int]]:
    settings = {"stop_ids": STOPS, "max_new_tokens": 24} | options
    return [list(answer.tokens) for answer in generate(model, PROMPTS, batch=batch, **settings)]


@pytest.mark.parametrize("name", CAUSAL)
def test_every_row_says_what_it_says_alone(name: str) -> None:
    model = opened(name)
    expected = [of_transformers(model, prompt) for prompt in PROMPTS]  # before our attention is in place
    assert len({len(tokens) for tokens in expected}) > 2, "the test is only sharp when answers differ in length"
    for batch in (3, 8):
        assert said(model, batch) == expected
    assert decodes(model) and model.notes == []


@pytest.mark.parametrize("name", PADDED)
def test_what_keeps_its_own_keys_is_padded_and_says_so(name: str) -> None:
    model = opened(name, PADDED[name]) if name == "stablelm" else opened_padded(name)
    expected = [of_transformers(model, prompt) for prompt in PROMPTS]
    assert said(model, 3) == expected
    said(model, 8)
    assert not decodes(model)
    assert len(model.notes) == 1 and "padded" in model.notes[0]


def opened_padded(name: str) -> Model:
    CAUSAL[name] = PADDED[name]
    try:
        return opened(name)
    finally:
        del CAUSAL[name]


def test_long_answers_do_not_keep_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """One token is computed for every token said, whatever the rows beside it; places are taken again."""
    model = opened("llama")
    assert decodes(model)
    rows: list[int] = []
    advance = KVCache.advance
    monkeypatch.setattr(KVCache, "advance", lambda cache: rows.append(len(cache.lengths)) or advance(cache))
    tokens = said(model, 4)
    assert sum(rows) == sum(map(len, tokens)) - len(PROMPTS)
    assert max(rows) == 4
    assert len(rows) < sum(map(len, tokens)) / 2


def test_each_prompt_has_its_own_limit() -> None:
    model = opened("llama")
    limits = [1, 9, 30, 2, 0, 40, 3, 5]
    expected = [
        of_transformers(model, prompt, limit, ()) if limit else []
        for prompt, limit in zip(PROMPTS, limits, strict=True)
    ]
    assert said(model, 3, stop_ids=(), max_new_tokens=limits) == expected


def test_answers_go_on_beyond_a_block_and_end_with_the_context() -> None:
    model = opened("llama")
    model.context = 2 * BLOCK + 7
    found = said(model, 8, stop_ids=(), max_new_tokens=500)
    room = [model.context - len(prompt) for prompt in PROMPTS]
    assert found == [of_transformers(model, prompt, limit, ()) for prompt, limit in zip(PROMPTS, room, strict=True)]


def test_prompts_too_many_for_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    model = opened("qwen3")
    expected = [of_transformers(model, prompt) for prompt in PROMPTS]
    monkeypatch.setattr("tunesmith.models.inference.lean.AT_ONCE", 13)
    assert said(model, 8) == expected


# Precision ------------------------------------------------------------------------------------------


@torch.inference_mode()
def forced(model: Model, rows: list[list[int]], steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities [B, steps, V] while rows are read to their end, by us and by transformers' cache."""
    prompts = [row[:-steps] for row in rows]
    ours = []
    with blocked(model.module):
        lean = Lean(model, len(rows))
        logits_BV = lean.begin(prompts)
        for step in range(steps):
            ours.append(logits_BV.float().log_softmax(dim=-1))
            logits_BV = lean.advance([row[step - steps] for row in rows])
    theirs = []
    for row in rows:
        cache, read, found = DynamicCache(config=model.inner.config), torch.tensor([row[:-steps]]), []
        for step in range(steps):
            logits_V = model.inner(input_ids=read, past_key_values=cache, use_cache=True).logits[0, -1]
            found.append(logits_V.float().log_softmax(dim=-1))
            read = torch.tensor([[row[step - steps]]])
        theirs.append(torch.stack(found))
    return torch.stack(ours, dim=1), torch.stack(theirs)


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3_text", "gpt2"])
def test_log_probabilities(name: str) -> None:
    """In fp32 those of transformers; in bf16 about as near to them as transformers' own."""
    rows = [RANDOM.integers(3, 96, length).tolist() for length in (33, 12, 50, 21)]
    exact = opened(name)
    assert decodes(exact)
    ours, expected = forced(exact, rows, 11)
    assert float((ours - expected).abs().max()) <= 2e-5
    exact.module.to(torch.bfloat16)
    ours, theirs = forced(exact, rows, 11)
    usual = float((theirs - expected).square().mean().sqrt())
    assert float((ours - expected).square().mean().sqrt()) <= 1.25 * usual


# Adapters -------------------------------------------------------------------------------------------

ADAPTED = ["lora", "dora", "qlora", "ia3", "bottleneck", "prefix", "prompt"]


@torch.inference_mode()
def without_a_cache(model: Model, prompt: list[int], limit: int) -> list[int]:
    """The whole row computed again for every token."""
    row = list(prompt)
    for _ in range(limit):
        ids = torch.tensor([row])
        row.append(int(model.logits(ids, torch.ones_like(ids))[0, -1].argmax()))
    return row[len(prompt) :]


@pytest.mark.parametrize("kind", ADAPTED)
def test_adapters_answer(kind: str, tmp_path: Path) -> None:
    model = open_model(str(tiny_model(tmp_path / "base", tie_word_embeddings=False)), workspace=tmp_path)
    before = said(model, 8, stop_ids=(), max_new_tokens=8)  # measured without the adapter too
    settings = {"dora": {"kind": "lora", "dora": True}}.get(kind, {"kind": kind})
    part: Any = ADAPTERS.make(settings)
    part.attach(model, 0)
    model.adapter, draw = part, torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.trainable().values():
            parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.2)
    model.train(False)
    expected = [without_a_cache(model, prompt, 8) for prompt in PROMPTS]
    assert said(model, 3, stop_ids=(), max_new_tokens=8) == expected != before
    assert decodes(model) == (kind not in ("prefix", "prompt"))


# Sampling -------------------------------------------------------------------------------------------

WARM = Sampling(temperature=1.5, top_k=20, top_p=0.9)


def test_draws_depend_on_the_seed_and_on_no_neighbour() -> None:
    model = opened("llama")
    seeds = [5, 6, 7, 8, 9, 10, 11, 12]
    alone = [
        list(
            generate(model, [prompt], stop_ids=STOPS, max_new_tokens=24, batch=1, sampling=WARM, seeds=[seed])[0].tokens
        )
        for prompt, seed in zip(PROMPTS, seeds, strict=True)
    ]
    for batch in (3, 8):
        assert said(model, batch, sampling=WARM, seeds=seeds) == alone
    assert said(model, 8, sampling=WARM, seeds=[seed + 1 for seed in seeds]) != alone
    assert said(model, 8, sampling=WARM) == said(model, 8, sampling=WARM, seeds=range(8))
    greedy = said(model, 8)
    assert said(model, 8, sampling=Sampling(temperature=1.5, top_k=1)) == greedy != alone


@pytest.mark.parametrize(
    "sampling", [Sampling(0.7), Sampling(1.3, top_k=5), Sampling(1.0, top_p=0.6), Sampling(2.0, top_k=9, top_p=0.5)]
)
def test_draws_follow_the_probabilities_of_transformers(sampling: Sampling) -> None:
    torch.manual_seed(0)
    logits_BV = torch.randn(1, 40) * 2
    warped_BV = TemperatureLogitsWarper(sampling.temperature)(None, logits_BV)
    if sampling.top_k:
        warped_BV = TopKLogitsWarper(sampling.top_k)(None, warped_BV)
    if sampling.top_p < 1:
        warped_BV = TopPLogitsWarper(sampling.top_p)(None, warped_BV)
    expected_V = warped_BV.softmax(dim=-1)[0]
    count = 20_000
    draws = [(step + 0.5) / count for step in range(count)]
    found_V = torch.bincount(torch.tensor(sampling.choose(logits_BV.expand(count, -1), draws)), minlength=40) / count
    assert float((found_V - expected_V).abs().max()) <= 2 / count


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}])
def test_sampling_outside_of_its_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no sampling with"):
        Sampling(**wrong)


def test_the_last_draw_falls_on_a_token() -> None:
    logits_BV = torch.tensor([[0.0, 0.0, -torch.inf]])
    assert Sampling(1.0).choose(logits_BV, [np.nextafter(1.0, 0.0)]) == [1]


# The cache ------------------------------------------------------------------------------------------


def test_rows_that_stay_keep_their_keys() -> None:
    """Against lists: rows come, grow and go at random; each holds what was written for it."""
    choice, module = random.Random(0), torch.nn.Module()
    cache, expected, counter = KVCache(6, torch.device("cpu")), list[list[float]](), 0.0
    for _ in range(200):
        if len(expected) < 6 and choice.random() < 0.4:
            lengths = [choice.randint(1, 50) for _ in range(choice.randint(1, 6 - len(expected)))]
            growth = cache.begin(lengths)
            expected += [[] for _ in lengths]
        elif expected and choice.random() < 0.7:
            growth = cache.advance()
        elif expected:
            count = choice.randint(0, len(expected) - 1)
            staying = sorted(choice.sample(range(len(expected)), count))
            order = [place if place in staying else -1 for place in range(count)]
            rest = [place for place in staying if place >= count]
            order = [place if place >= 0 else rest.pop() for place in order]
            cache.keep(order)
            expected = [expected[place] for place in order]
            continue
        else:
            continue
        first = growth.first
        values = torch.arange(counter, counter + growth.num_tokens)
        counter += growth.num_tokens
        cache.write(module, growth, values[:, None, None], -values[:, None, None])
        for row, new in enumerate(values.split(list(growth.lengths))):
            expected[first + row] += new.tolist()
        key_XCK, value_XCK = cache.read(module)
        for row, wanted in enumerate(expected):
            assert key_XCK[row, : len(wanted), 0].tolist() == wanted
            assert value_XCK[row, : len(wanted), 0].tolist() == [-value for value in wanted]
        assert cache.lengths == [len(row) for row in expected]
        assert key_XCK.shape[1] <= 2 * max(cache.lengths) + 2 * BLOCK


# Blocked weights ------------------------------------------------------------------------------------


@pytest.fixture(params=["kernels", "blocks"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Products by our own kernels, or by oneDNN's from blocks."""
    if request.param == "kernels" and library()[0] is None:
        pytest.skip(f"no kernels here: {library()[1]}")
    monkeypatch.setattr(blocking, "better", lambda: request.param == "kernels")
    return request.param


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("name", "layers", "products"), [("llama", 15, 9), ("qwen2", 15, 9), ("gpt2", 9, 9)])
def test_blocked_weights_give_the_same_products(
    name: str, layers: int, products: int, dtype: torch.dtype, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its first run a model shows which layers read the same; from the second on they are one product."""
    if not blocking._blocks(dtype):
        pytest.skip(f"this processor does not multiply {dtype} natively")
    model = opened(name).module.to(dtype)
    taken: list[bool] = []
    multiplier = blocking._multiplier

    def counted(weight: torch.Tensor, bias: torch.Tensor | None) -> Callable[[torch.Tensor], torch.Tensor]:
        multiply = multiplier(weight, bias)
        return lambda states: taken.append(isinstance(multiply, Fixed)) or multiply(states)  # type: ignore[func-returns-value]

    monkeypatch.setattr(blocking, "_multiplier", counted)
    for step, parameter in enumerate(model.parameters()):
        torch.nn.init.normal_(parameter, mean=parameter.dim() == 1, std=0.2, generator=torch.manual_seed(step))
    ids = torch.tensor([PROMPTS[1] * 3])
    with torch.inference_mode():
        plain = model(input_ids=ids).logits.float()
        with blocked(model):
            found = [model(input_ids=ids).logits.float() for _ in range(2)]
            found.append(model(input_ids=ids[:, :3]).logits.float())
            with blocked(model):
                pass
            assert sum("forward" in vars(layer) for layer in model.modules()) == layers
    assert not any("forward" in vars(layer) for layer in model.modules())
    assert taken == 2 * products * [by == "kernels" and dtype == torch.float32]
    for said in found:
        expected = plain[:, : said.shape[1]]
        assert float((said - expected).abs().max() / plain.abs().max()) <= (1e-5 if dtype == torch.float32 else 3e-2)


def test_joined_layers_answer_in_any_order(by: str) -> None:
    first, second, alone = torch.nn.Linear(8, 4), torch.nn.Linear(8, 4, bias=False), torch.nn.Linear(8, 6)
    module = torch.nn.ModuleList([first, second, alone])
    read, other = torch.randn(3, 8), torch.randn(3, 8)
    right = {(layer, ids): layer(ids) for layer in module for ids in (read, other)}
    with torch.inference_mode(), blocked(module):
        for layer in module:
            layer(read if layer is not alone else other)
        for layer, ids in [
            (first, read),
            (first, other),
            (second, read),
            (second, other),
            (alone, read),
            (first, read),
        ]:
            torch.testing.assert_close(layer(ids), right[layer, ids])


def test_no_layer_holds_what_it_read() -> None:
    """Which layers read the same is found by holding a few inputs, never those of a whole forward."""
    module = torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(20)])
    held = []
    with torch.inference_mode(), blocked(module):
        for _ in range(2):
            states = torch.randn(3, 8)
            for layer in module:
                states = layer(states)
                held.append(weakref.ref(states))
            del states
            assert sum(state() is not None for state in held) <= blocking.RECENT


def test_blocked_weights_are_let_go_after_an_error() -> None:
    model = opened("llama").module
    with pytest.raises(KeyError), blocked(model):
        raise KeyError
    assert not any("forward" in vars(layer) for layer in model.modules())


def test_weights_are_not_copied_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    model = opened("llama").module
    monkeypatch.setattr(blocking, "SHARE", 0.0)
    with blocked(model):
        assert not any("forward" in vars(layer) for layer in model.modules())


def test_answers_follow_weights_that_have_changed() -> None:
    model, changed = opened("llama"), opened("llama")
    before = said(model, 8)
    for parameter in [*model.module.parameters(), *changed.module.parameters()]:
        parameter.data.mul_(-1.5)
    after = said(model, 8)
    assert after != before
    assert after == [of_transformers(changed, prompt) for prompt in PROMPTS]


def test_an_answer_tells_its_tokens() -> None:
    (found,) = generate(opened("llama"), PROMPTS[:1], stop_ids=(), max_new_tokens=3, batch=1)
    assert isinstance(found, Answer) and found.num_tokens == len(found.tokens) == 3


def test_a_cache_has_no_slots_for_rows_that_never_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row asked alone, as for latency, is not held up by room for a whole batch."""
    made: list[int] = []
    begin = KVCache.begin
    monkeypatch.setattr(KVCache, "begin", lambda cache, lengths: made.append(cache.slots) or begin(cache, lengths))
    model = opened("llama")
    assert decodes(model)
    made.clear()
    generate(model, PROMPTS[:1], stop_ids=(), max_new_tokens=3, batch=32)
    assert made == [1]
