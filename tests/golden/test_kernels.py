"""Kernels in C: what torch computes, outputs and gradients; and torch alone where they cannot be had."""

from __future__ import annotations

import shutil
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from test_lora_groups import learned, with_lora
from test_packed_parity import CAUSAL, CPU, ENCODERS, LENGTHS, ids_of, model_of, off
from threadpoolctl import threadpool_info, threadpool_limits
from train_tiny import causal, rows, stage, train, weights_of

from tunesmith.models.adapters.lora import Lora
from tunesmith.models.layers.lora_groups import grouped, lora_groups
from tunesmith.models.layers.native import again, gates, library, lora, norms, products, replaced, rotary, use
from tunesmith.models.layers.native.attention import attend
from tunesmith.models.packing import attention
from tunesmith.models.packing.attention import _Rows
from tunesmith.models.packing.layout import Layout
from tunesmith.models.packing.rows import hidden_of_rows, packs
from tunesmith.train.objectives.sft import Sft

KERNELS, WHY = library.library()
needed = pytest.mark.skipif(KERNELS is None, reason=f"no kernels here: {WHY}")
EXAMPLES = rows(12, longest=24)  # batches of fewer tokens and of more than products of few are for


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products by OpenBLAS whatever the processor."""
    monkeypatch.setattr(products, "better", lambda: True)


@contextmanager
def kernels_used(model: Any = None) -> Iterator[list[Any]]:
    standing = use.replaceable(model) if model else []
    with use.by_kernels(CPU, standing):
        yield standing


@contextmanager
def called() -> Iterator[list[str]]:
    """The names of the kernels that are called."""
    names: list[str] = []
    call = library.Library.call
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            library.Library, "call", lambda self, name, *given: (names.append(name), call(self, name, *given))
        )
        yield names


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Products -------------------------------------------------------------------------------------------


@needed
@pytest.mark.parametrize(
    "sizes",
    [(1, 1, 1), (1, 70, 33), (70, 1, 33), (37, 64, 1), (100, 33, 257), (257, 40, 100), (8, 35, 47), (26, 64, 25),
     (products.FEW, 17, 50), (products.FEW + 1, 8, 16), (61, 2201, 95), (200, 1064, 3)],
)  # fmt: skip
@pytest.mark.parametrize("left_turned", [False, True])
@pytest.mark.parametrize("right_turned", [False, True])
def test_a_product_is_torchs(sizes, left_turned, right_turned, threads, everywhere) -> None:
    m, k, n = sizes
    left = drawn(k, m).T if left_turned else drawn(m, k)
    right = drawn(n, k, seed=1).T if right_turned else drawn(k, n, seed=1)
    wide = drawn(m, n + 5, seed=2)
    expected = (left.double() @ right.double()).float()
    into, before = wide.clone()[:, 2 : n + 2], wide[:, 2 : n + 2]
    with kernels_used():
        said = products.mm(left, right)
        more = products.mm(left, right, out=into, alpha=0.5, add=True)
    assert more is into and off(said, expected) <= 1e-6 and off(into, before + 0.5 * expected) <= 1e-6
    beside = [torch.cat([matrix[:, :2], matrix[:, n + 2 :]], dim=1) for matrix in (into._base, wide)]
    assert torch.equal(*beside), "written beside"


@needed
@pytest.mark.parametrize("rows", [1, 3, 8, 16, 23, products.FEW, products.FEW + 1])
@pytest.mark.parametrize("bias", [False, True])
def test_a_product_with_a_weight_that_stays_is_torchs(rows: int, bias: bool, threads: int) -> None:
    layer = torch.nn.Linear(37, 29, bias=bias)
    states = drawn(2, rows, 74)[..., ::2]
    with torch.inference_mode(), kernels_used():
        said = products.Fixed(KERNELS, layer.weight, layer.bias)(states)
    expected = layer.double()(states.double())
    assert said.shape == expected.shape and off(said, expected.detach().float()) <= 1e-6


@needed
def test_states_that_a_weight_that_stays_cannot_read_are_refused() -> None:
    product = products.Fixed(KERNELS, drawn(29, 37), None)
    assert product(torch.zeros(2, 0, 37)).shape == (2, 0, 29)
    for states in (drawn(3, 36), drawn(3, 37).double()):
        with pytest.raises(RuntimeError):
            product(states)


@needed
def test_what_is_said_of_a_row_does_not_depend_on_the_rows_beside_it(threads: int, everywhere: None) -> None:
    product, states = products.Fixed(KERNELS, drawn(29, 37), None), drawn(products.FEW, 37)
    many, table = drawn(200, 70), drawn(70, 90, seed=1)
    with kernels_used():
        together, said = product(states), products.mm(many, table)
        assert all(torch.equal(product(states[:rows]), together[:rows]) for rows in range(1, len(states)))
        assert all(torch.equal(products.mm(many[at : at + 60], table), said[at : at + 60]) for at in (0, 1, 5, 77, 140))


@needed
def test_matrices_that_are_parts_of_others_or_lie_apart_are_read_right(everywhere) -> None:
    whole = drawn(40, 90)
    apart = whole[:, ::3][:, :20]
    with kernels_used():
        assert off(products.mm(whole[5:25, 10:30], whole[:20, 40:77]), whole[5:25, 10:30] @ whole[:20, 40:77]) <= 1e-6
        assert off(products.mm(apart, whole[:20]), apart.contiguous() @ whole[:20]) <= 1e-6


@needed
def test_what_the_kernels_cannot_read_is_left_to_torch(everywhere, monkeypatch) -> None:
    monkeypatch.setattr(library.Library, "call", lambda *_: pytest.fail("called"))
    whole, half = drawn(4, 4), drawn(4, 4).bfloat16()
    with kernels_used():
        assert torch.equal(products.mm(half, half), half @ half)
        assert torch.equal(products.mm(whole.double(), whole.double()), whole.double() @ whole.double())
        assert products.mm(torch.zeros(0, 4), whole).shape == (0, 4)
        with torch.autocast("cpu", torch.bfloat16):
            assert products.mm(whole, whole).dtype == torch.bfloat16
    assert torch.equal(products.mm(whole, whole), whole @ whole), "outside of a training"


def layers_of_lora(tokens: int, width: int, outputs: list[int], ranks: list[int]) -> tuple[Any, ...]:
    """States that lie in wider lines, weights, A of all, B of each, scales."""
    x = drawn(tokens, width + 9)[:, 3 : width + 3]
    weights = [drawn(count, width, seed=number) for number, count in enumerate(outputs)]
    ups = [drawn(count, rank, seed=9 + count) for count, rank in zip(outputs, ranks, strict=True)]
    return x, weights, drawn(sum(ranks), width, seed=8), ups, [0.5 + number for number in range(len(outputs))]


@needed
@pytest.mark.parametrize("ranks", [[8], [16, 8], [24, 8, 40], [lora.MOST], [8] * 9])
@pytest.mark.parametrize("sizes", [(1, 1), (5, 6), (6, 5), (97, 13), (200, 1070)])
def test_layers_of_lora_are_products_one_by_one(ranks, sizes, threads, everywhere) -> None:
    (tokens, width), outputs = sizes, [3 + 14 * number for number in range(1, len(ranks) + 1)]
    x, weights, down, ups, scales = layers_of_lora(tokens, width, outputs, ranks)
    exact = [part.double().requires_grad_() for part in (x, down, *ups)]
    lows = torch.split(exact[0] @ exact[1].T, ranks, dim=1)
    expected = [
        exact[0] @ weight.double().T + scale * low @ up.T
        for weight, low, up, scale in zip(weights, lows, exact[2:], scales, strict=True)
    ]
    d_said = [drawn(tokens, 2 * count, seed=count)[:, count:] for count in outputs]
    torch.autograd.backward(expected, [part.double() for part in d_said])
    with kernels_used(), called() as names:
        kernels = lora.kernels_for(x, weights, ups)
        assert kernels is KERNELS
        said, low = lora.forward(kernels, x, weights, down, ups, scales)
        found = lora.backward(kernels, x, weights, down, ups, scales, low, d_said, wants_states=True)
        fewer = lora.backward(kernels, x, weights, down, ups, scales, low, d_said, wants_states=False)
    assert names == ["lora_forward", "lora_backward", "lora_backward"]
    for part, right in zip(said, expected, strict=True):
        assert off(part, right.detach().float()) <= 1e-6
    for learned_ in ((found[0], found[1], *found[2]), (None, fewer[1], *fewer[2])):
        for part, right in zip(learned_, exact, strict=True):
            assert part is None or off(part, right.grad.float()) <= 2e-6


@needed
@pytest.mark.parametrize("ranks", [[4], [8, 12], [lora.MOST + 8]])
def test_other_ranks_are_left_to_products(ranks: list[int], everywhere: None) -> None:
    x, weights, _, ups, _ = layers_of_lora(30, 7, [20] * len(ranks), ranks)
    with kernels_used():
        assert lora.kernels_for(x, weights, ups) is None
        turned = [up.T.contiguous().T for up in layers_of_lora(30, 7, [20], [8])[3]]
        assert lora.kernels_for(x, weights[:1], turned) is None, "of matrices that lie otherwise"


@needed
def test_numpy_has_one_thread_while_they_are_used_and_its_own_again_after() -> None:
    def numbers() -> list[int]:
        return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        with kernels_used():
            assert set(numbers()) == {1} and library.in_use() is KERNELS
        assert set(numbers()) == {2} and library.in_use() is None


@needed
def test_who_leaves_first_does_not_give_numpy_its_threads_back() -> None:
    first, second = library.used(KERNELS), library.used(KERNELS)
    with threadpool_limits(2, user_api="blas"):
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        held = {found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"}
        assert held == {1} and library.in_use() is KERNELS
        second.__exit__(None, None, None)
        assert library.in_use() is None


# Norms and gates --------------------------------------------------------------------------------------


def both(function: Any, *inputs: torch.Tensor) -> list[torch.Tensor]:
    leaves = [given.clone().requires_grad_() for given in inputs]
    said = function(*leaves)
    gradients = torch.autograd.grad((said * torch.sin(torch.arange(said.numel())).view_as(said)).sum(), leaves)
    return [said.detach(), *gradients]


@needed
@pytest.mark.parametrize("shape", [(1, 1, 8), (1, 77, 65), (3, 5, 16)])
def test_a_norm_is_its_formula(shape, threads) -> None:
    def formula(states: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + 1e-5) * weight

    states, weight = drawn(*shape) * 3, drawn(shape[-1], seed=1)
    expected = both(formula, states.double(), weight.double())
    with kernels_used():
        found = both(lambda *given: norms._Norm.apply(*given, 1e-5), states, weight)
    assert all(off(mine, theirs.float()) <= 2e-6 for mine, theirs in zip(found, expected, strict=True))


@needed
def test_a_gate_is_its_formula_even_where_parts_lie_in_wider_lines(threads) -> None:
    joined = torch.cat(
        [drawn(1, 33, 70) * 5, torch.tensor([-200.0, -88.0, -1e-9, 0.0, 88.0, 200.0] * 7).expand(1, 33, 42)], 2
    )
    gate, up = joined[..., 7:57], joined[..., 62:112]

    def formula(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.silu(gate) * up

    expected = both(formula, gate.double(), up.double())
    with kernels_used():
        found = both(gates._Gate.apply, gate, up)
        direct = gates._Gate.apply(gate, up)
    assert torch.equal(direct, found[0]) and gate.stride(1) == 112
    assert all(off(mine, theirs.float()) <= 1e-6 for mine, theirs in zip(found, expected, strict=True))


@needed
def test_what_is_not_a_number_stays_seen() -> None:
    poisoned = drawn(1, 5, 32)
    poisoned[0, 3, 7] = float("nan")
    with kernels_used():
        for said in (gates._Gate.apply(poisoned, drawn(1, 5, 32)), norms._Norm.apply(poisoned, torch.ones(32), 1e-5)):
            assert said[0, 3].isnan().any() and not said[0, [0, 1, 2, 4]].isnan().any()
        heads = poisoned[0].view(5, 2, 16)
        said = attend(heads, drawn(5, 2, 16), drawn(5, 2, 16), Layout((3, 2), CPU), True, 0.25, None)
    assert said[3:].isnan().any() and not said[:3].isnan().any(), "and within its row"


# Rotations --------------------------------------------------------------------------------------------


def halves(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = states.chunk(2, dim=-1)
    return states * cos + torch.cat([-second, first], dim=-1) * sin


def turning(query: Any, key: Any, cos: torch.Tensor, sin: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return halves(query, cos, sin), halves(key, cos, sin)


@needed
@pytest.mark.parametrize("width", [2, 6, 64])
def test_a_rotation_is_its_formula(width: int, threads: int) -> None:
    """Angles of the two halves differ here, and parts of a joined product lie far apart."""
    joined = drawn(1, 33, 5 * width + 3)
    query, key = (
        part.view(1, 33, -1, width).transpose(1, 2) for part in joined[..., 3:].split([3 * width, 2 * width], 2)
    )
    cos, sin = drawn(1, 33, width, seed=1), drawn(1, 33, width, seed=2)

    def said(function: Any, *angles: torch.Tensor) -> Any:
        return lambda query, key: torch.cat(function(query, key, *angles), dim=1)

    expected = both(said(turning, cos.double(), sin.double()), query.double(), key.double())
    with kernels_used():
        found = both(said(rotary._Rotary(lambda *_: pytest.fail("called")), cos, sin), query, key)
    assert all(off(mine, theirs.float()) <= 1e-6 for mine, theirs in zip(found, expected, strict=True))


@needed
def test_what_else_is_rotated_is_left_to_transformers() -> None:
    turned = rotary._Rotary(lambda *given, **settings: (len(given), settings))
    whole, angles = drawn(1, 2, 5, 8), drawn(1, 5, 8)
    assert turned(whole, whole, angles, angles) == (4, {}), "outside of a training"
    with kernels_used():
        assert turned(whole, whole, angles[..., :4], angles[..., :4]) == (4, {}), "part of a head"
        assert turned(drawn(2, 2, 5, 8), drawn(2, 2, 5, 8), angles, angles) == (4, {}), "several lines of tokens"
        assert turned(whole.double(), whole.double(), angles.double(), angles.double()) == (4, {})
        assert turned(whole, drawn(1, 2, 4, 8), angles, angles) == (4, {})
        assert turned(whole, whole, angles, angles, 2) == (5, {})
        assert turned(whole, whole, angles, angles, unsqueeze_dim=2) == (4, {"unsqueeze_dim": 2})
        assert torch.equal(turned(whole, whole, angles, angles, unsqueeze_dim=1)[0],
                           turned(whole, whole, angles, angles)[0])  # fmt: skip


def test_only_functions_that_turn_halves_are_stood_in_for() -> None:
    def interleaved(query: Any, key: Any, cos: torch.Tensor, sin: torch.Tensor) -> tuple[torch.Tensor, ...]:
        def crossed(states: torch.Tensor) -> torch.Tensor:
            return torch.stack([-states[..., 1::2], states[..., ::2]], dim=-1).flatten(-2)

        return tuple(states * cos + crossed(states) * sin for states in (query, key))

    assert rotary._turns_halves(turning)
    assert not rotary._turns_halves(interleaved)
    assert not rotary._turns_halves(lambda query, key, cos, sin: (halves(query, cos, sin), key))
    assert not rotary._turns_halves(lambda query, key, cos, sin: halves(query, cos, sin))
    assert not rotary._turns_halves(lambda states, cos, sin: halves(states, cos, sin))


def test_a_function_that_two_trainings_share_stands_again_when_the_last_has_ended() -> None:
    file = types.ModuleType("modeling")
    file.rotary = turning  # type: ignore[attr-defined]
    first, second = (replaced.placed([replaced.Replaced(file, print, "rotary")]) for _ in range(2))
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert file.rotary is print
    second.__exit__(None, None, None)
    assert file.rotary is turning and not replaced._STOOD


# Outputs made again -----------------------------------------------------------------------------------


@needed
def test_what_norms_and_gates_say_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a block: the norm before queries, keys and values, that before gate and up, and the gated unit's middle."""
    kept: list[Any] = []
    pack = again._Kept.pack
    monkeypatch.setattr(again._Kept, "pack", lambda self, tensor: kept.append(pack(self, tensor)) or kept[-1])
    model = model_of("llama", CAUSAL["llama"])
    packs(model)
    with kernels_used(model):
        hidden_of_rows(model, ids_of(layout := Layout(LENGTHS, CPU)), layout)
    made = [place for place in kept if isinstance(place, again._Place)]
    assert len(made) == (3 + 2 + 1) * 2 and len({id(place.make) for place in made}) == 3 * 2
    tokens, inner = sum(LENGTHS), 96
    held = {part.untyped_storage()._cdata: part for part in kept if isinstance(part, torch.Tensor)}
    assert sum(part.shape[-1] == inner and part.numel() == tokens * inner for part in held.values()) == 2 * 2
    with torch.inference_mode(), kernels_used(model):  # as validations do
        hidden_of_rows(model, ids_of(layout), layout)


def test_what_has_changed_since_or_is_gone_is_kept_as_it_is() -> None:
    weight = torch.ones(64, requires_grad=True)
    with again.made_again():
        changed = torch.zeros(64)
        again.can_be_made(changed, lambda: pytest.fail("made of what it was"))
        changed += 2.0
        (weight * changed).sum().backward()
        assert torch.equal(weight.grad, changed)
        for _ in range(50):  # memory that is free again is taken by the next
            gone = torch.zeros(64)
            again.can_be_made(gone, lambda: pytest.fail("made of another"))
            place = gone.data_ptr()
            del gone
            other = torch.full((64,), 3.0)
            weight.grad = None
            (weight * other).sum().backward()
            assert torch.equal(weight.grad, other)
            if other.data_ptr() == place:
                break
        part = torch.arange(64.0)
        again.can_be_made(part, lambda: torch.arange(64.0))
        weight.grad = None
        said = (weight[:10] * part.view(8, 8)[1:, ::2].reshape(-1)[:10]).sum() + (weight[8:16] * part[8:16]).sum()
        said.backward()
    assert torch.equal(weight.grad[10:16], torch.arange(10.0, 16.0))


# Attention --------------------------------------------------------------------------------------------


@needed
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [None, 2, 7, 65])
@pytest.mark.parametrize("heads", [(4, 4, 8), (9, 3, 16), (6, 1, 5)])
def test_attention_is_that_of_torch(causal, window, heads, threads) -> None:
    query_heads, key_heads, width = heads
    layout = Layout((3, 70, 1, 64, 65, 130), CPU)
    query = drawn(query_heads, layout.num_tokens, width).transpose(0, 1)
    key, value = (drawn(layout.num_tokens, key_heads, width, seed=seed) for seed in (1, 2))

    def plain(*states: torch.Tensor) -> Any:
        return _Rows.apply(*states, layout, causal, 0.3, 0.0, window)

    expected = both(plain, query, key, value)
    with kernels_used():
        found = both(lambda *states: attend(*states, layout, causal, 0.3, window), query, key, value)
        assert torch.equal(attend(query, key, value, layout, causal, 0.3, window), found[0]), "the same every time"
    assert all(off(mine, theirs) <= 2e-6 for mine, theirs in zip(found, expected, strict=True))


@needed
def test_attention_that_drops_weights_or_has_fewer_heads_than_threads_is_torchs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = drawn(9, 1, 4)
    monkeypatch.setattr(library.Library, "threads", 2)
    with kernels_used(), called() as names:
        assert attend(one, one, one, Layout((9,), CPU), True, 0.5, None) is None
        said = [attention._on_cpu(*[drawn(9, 2, 4)] * 3, Layout((9,), CPU), True, 0.5, 0.5, None) for _ in range(2)]
        assert not names and not torch.equal(*said), "drawn anew each time"
        attention._on_cpu(*[drawn(9, 2, 4)] * 3, Layout((9,), CPU), True, 0.5, 0.0, None)
    assert names == ["attention_forward"]


@needed
def test_no_more_threads_than_openblas_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 256)
    assert KERNELS.threads == 64


# Models -----------------------------------------------------------------------------------------------


def taught(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The outputs of rows, and the gradients of all weights."""
    model.module.zero_grad()
    layout = Layout(LENGTHS, CPU)
    hidden_ND = hidden_of_rows(model, ids_of(layout), layout)
    wave_ND = torch.sin(torch.arange(hidden_ND.numel(), dtype=torch.float32)).view_as(hidden_ND)
    (hidden_ND * wave_ND).sum().backward()
    gradients = [weight.grad.flatten() for weight in model.module.parameters() if weight.grad is not None]
    return hidden_ND.detach(), torch.cat(gradients)


@needed
@pytest.mark.parametrize("name", [*CAUSAL, *ENCODERS])
def test_every_architecture_computes_as_without(name: str, everywhere: None) -> None:
    model = model_of(name, (CAUSAL | ENCODERS)[name])
    packs(model)
    expected = taught(model)
    with kernels_used(model) as standing:
        found = taught(model)
        kinds = {type(each.compute).__name__ for each in standing}
    assert off(found[0], expected[0]) <= 5e-6 and off(found[1], expected[1]) <= 1e-5
    again = taught(model)
    assert torch.equal(again[0], expected[0]) and torch.equal(again[1], expected[1]), "left as it was"
    plain = {"gpt_neox", "opt", *ENCODERS}
    silu = {"llama", "qwen2", "qwen3", "mistral", "olmo2", "smollm3"}
    assert ("_Normalized" in kinds) == (name not in plain | {"gpt2"}) and ("_Gated" in kinds) == (name in silu)
    assert ("_Rotary" in kinds) == (name not in plain | {"gpt2"} or name in {"gpt_neox", "modernbert"})


@needed
def test_what_only_looks_like_a_norm_or_a_gate_is_left_alone() -> None:
    class GatedRMSNorm(torch.nn.Module):
        """As Mamba has: its second input changes what it says."""

        def __init__(self) -> None:
            super().__init__()
            self.weight, self.eps = torch.nn.Parameter(torch.ones(8)), 1e-6

        def forward(self, states: torch.Tensor, gate: torch.Tensor | None = None) -> torch.Tensor:
            return torch.nn.functional.rms_norm(states, (8,), self.weight, self.eps)

    class HalfRMSNorm(GatedRMSNorm):
        def forward(self, states: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return 0.5 * super().forward(states)

    class Unit(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate_proj, self.up_proj, self.down_proj = (torch.nn.Linear(8, 8) for _ in range(3))
            self.act_fn = torch.nn.SiLU()

        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return self.down_proj(self.act_fn(self.gate_proj(states)) * self.up_proj(states)) + states

    assert use.norms_and_gates(torch.nn.ModuleList([GatedRMSNorm(), HalfRMSNorm(), Unit()])) == []


@needed
@pytest.mark.parametrize("name", ["llama", "qwen3", "bert"])
@pytest.mark.parametrize("rank", [4, 8])
def test_lora_learns_as_without(name: str, rank: int, everywhere: None) -> None:
    model = with_lora(name, rank)
    expected = learned(model)
    groups = lora_groups(model)
    with kernels_used(model), grouped(groups), called() as names:
        found = learned(model)
    assert {"lora_forward", "lora_backward"} <= set(names) if rank == 8 else "lora_forward" not in names
    assert off(found[0], expected[0]) <= 5e-6 and off(found[1], expected[1]) <= 1e-5


def trained(tmp_path: Any, name: str, lora: bool, precision: str) -> tuple[list[float], dict[str, torch.Tensor]]:
    model = causal()
    if lora:
        Lora(rank=8, alpha=16.0).attach(model, seed=0)
    steps = train(tmp_path / name, model, EXAMPLES, Sft(), train=stage(precision=precision))
    return [step.loss for step in steps], weights_of(model)


@needed
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("lora", [False, True])
def test_a_training_uses_them_and_comes_to_the_same(lora, precision, tmp_path, everywhere, monkeypatch) -> None:
    with called() as names:
        found = trained(tmp_path, "with", lora, precision)
    every = set(library.ARGUMENTS) if lora else set(library.ARGUMENTS) - {"lora_forward", "lora_backward"}
    every = every if precision == "fp32" else {"norm_forward", "norm_backward"}
    assert set(names) == every
    monkeypatch.setattr(use, "library", lambda: (None, "for the test"))
    expected = trained(tmp_path, "without", lora, precision)
    assert found[0] == pytest.approx(expected[0], rel=1e-5 if precision == "fp32" else 1e-3)
    for name, weight in found[1].items() if precision == "fp32" else ():
        assert off(weight, expected[1][name]) <= 1e-3, f"{name}: Adam makes steps of roundings of gradients near zero"


# Where they cannot be had -----------------------------------------------------------------------------


@pytest.fixture
def anew(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Asks for the library as a process does that has not yet; its cache is in `tmp_path`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    library.library.cache_clear()
    yield library.library
    library.library.cache_clear()


@needed
def test_they_are_compiled_once_and_kept(anew, tmp_path, monkeypatch) -> None:
    assert anew()[0] is not None
    (kept,) = (tmp_path / "cache" / "tunesmith").iterdir()
    monkeypatch.setattr(library, "_compile", lambda *_: pytest.fail("compiled again"))
    library.library.cache_clear()
    assert anew()[0] is not None and kept.exists()


def test_only_torchs_openmp_is_theirs(anew, monkeypatch) -> None:
    mapped = "".join(
        f"7f00-7f01 r-xp 0 08:01 7  {path}\n" for path in ("/usr/lib/libgomp.so.1", "/s/sklearn.libs/libgomp.so")
    )
    monkeypatch.setattr(library.Path, "read_text", lambda self: mapped)
    assert anew() == (None, "this torch does not bring GNU's OpenMP")
    more = f"{mapped}7f00-7f01 r-xp 0 08:01 7  /a b/torch.libs/libgomp-2.so\n"
    monkeypatch.setattr(library.Path, "read_text", lambda self: more)
    assert library._openmp() == "/a b/torch.libs/libgomp-2.so"


@needed
def test_a_cache_that_cannot_be_written_is_passed_over(anew, tmp_path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert anew()[0] is not None and list(tmp_path.glob("tunesmith-kernels-*/kernels-*.so"))


@needed
def test_a_user_without_a_home_has_them_too(anew, tmp_path, monkeypatch) -> None:
    def homeless() -> Any:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(library.Path, "home", homeless)
    assert anew()[0] is not None and list(tmp_path.glob("tunesmith-kernels-*/*.so"))


@needed
def test_a_folder_that_others_can_write_is_not_trusted(anew, tmp_path) -> None:
    (tmp_path / "cache" / "tunesmith").mkdir(parents=True)
    (tmp_path / "cache" / "tunesmith").chmod(0o777)
    assert anew()[0] is not None
    assert not list((tmp_path / "cache" / "tunesmith").iterdir()) and list(tmp_path.glob("tunesmith-kernels-*/*.so"))


@needed
def test_without_a_compiler_why_is_said(anew, monkeypatch) -> None:
    asked: list[str] = []
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", asked.append)
    assert anew() == (None, "there is no C compiler (gcc); with one, training on this machine is faster")
    assert asked == ["gcc", "cc"], "clang may stand behind cc, and calls another OpenMP than torch's"


@needed
def test_a_compiler_that_fails_says_why(anew, tmp_path, monkeypatch) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho 'kernels.c:1: no such thing' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    assert anew() == (None, f"{compiler} does not compile them (kernels.c:1: no such thing)")
    assert not list((tmp_path / "cache" / "tunesmith").iterdir()), "nothing half made is kept"


@needed
def test_without_numpys_openblas_why_is_said(anew, monkeypatch) -> None:
    monkeypatch.setattr("threadpoolctl.threadpool_info", list)
    assert anew() == (None, "this numpy does not bring OpenBLAS")
