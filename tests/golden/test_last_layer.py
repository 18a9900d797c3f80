"""The last layer computed for the tokens that are read: states and gradients as if it were for all."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_kernels import kernels_used, needed
from test_lora_groups import with_lora
from test_packed_parity import CAUSAL, CPU, ENCODERS, LENGTHS, ids_of, model_of, off
from torch import Tensor, nn

from tunesmith.models.adapters.bottleneck import Bottleneck
from tunesmith.models.layers.lora_groups import grouped, lora_groups
from tunesmith.models.layers.trunk import Rows, Trunk
from tunesmith.models.model import Model
from tunesmith.models.packing import last
from tunesmith.models.packing.last import hidden_at
from tunesmith.models.packing.layout import Layout
from tunesmith.models.packing.rows import hidden_of_rows, packs

LAYOUT = Layout(LENGTHS, CPU)
SOME = torch.arange(2, LAYOUT.num_tokens, 3)
TRIMMED = {"llama", "qwen2", "qwen3", "mistral", "gemma", "smollm3"}


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens that the last layer was computed for, each time that it was trimmed."""
    seen: list[int] = []
    call = last._Trimmed._compute

    def counted(self: Any, *args: Any, **settings: Any) -> Tensor:
        seen.append(len(self.positions_M))  # first: what is computed again ends early
        said = call(self, *args, **settings)
        assert said.shape[1] == len(self.positions_M)
        return said

    monkeypatch.setattr(last._Trimmed, "_compute", counted)
    return seen


def taught(model: Model, hidden_MD: Tensor) -> tuple[Tensor, Tensor]:
    """States, and the gradients of all that trains."""
    model.module.zero_grad()
    wave_MD = torch.sin(torch.arange(hidden_MD.numel(), dtype=torch.float32)).view_as(hidden_MD)
    (hidden_MD * wave_MD).sum().backward()
    named = [weight for weight in model.module.parameters() if weight.grad is not None]
    return hidden_MD.detach(), torch.cat([weight.grad.flatten() for weight in named])


def same(model: Model, positions_M: Tensor = SOME) -> bool:
    expected = taught(model, hidden_of_rows(model, ids_of(LAYOUT), LAYOUT)[positions_M])
    found = taught(model, hidden_at(model, ids_of(LAYOUT), LAYOUT, positions_M))
    return off(found[0], expected[0]) <= 1e-6 and off(found[1], expected[1]) <= 1e-5


@pytest.mark.parametrize("name", [*CAUSAL, *ENCODERS])
def test_every_architecture_says_what_it_says_of_all_tokens(name: str, sizes: list[int]) -> None:
    model = model_of(name, (CAUSAL | ENCODERS)[name])
    model.module.eval()
    assert same(model)
    assert (len(SOME) in sizes) == (name in TRIMMED)
    assert not any("forward" in vars(module) for module in model.module.modules()), "left as it was"


@pytest.mark.parametrize(
    "positions_M", [torch.tensor([0]), torch.tensor([LAYOUT.num_tokens - 1]), torch.tensor([], dtype=torch.int64),
                    torch.arange(LAYOUT.num_tokens - 1), torch.arange(LAYOUT.num_tokens)],
    ids=["first", "last", "none", "most", "all"],
)  # fmt: skip
def test_any_tokens_can_be_read(positions_M: Tensor, sizes: list[int]) -> None:
    model = model_of("llama", CAUSAL["llama"])
    expected_MD = hidden_of_rows(model, ids_of(LAYOUT), LAYOUT)[positions_M]
    found_MD = hidden_at(model, ids_of(LAYOUT), LAYOUT, positions_M)
    assert found_MD.shape == expected_MD.shape
    assert torch.allclose(found_MD, expected_MD, rtol=1e-5, atol=1e-5)
    assert (len(positions_M) in sizes) == (len(positions_M) == 1), "nothing is won with most of them"


@needed
@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_lora_by_kernels_learns_the_same(name: str, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.models.layers.native.products.better", lambda: True)
    model = with_lora(name)
    assert same(model)
    with kernels_used(model), grouped(lora_groups(model)):
        assert same(model)
    assert sizes.count(len(SOME)) >= 2


def test_an_adapter_that_is_put_in_later_is_measured_anew(sizes: list[int]) -> None:
    model = model_of("llama", CAUSAL["llama"])
    assert same(model)
    before = len(sizes)
    Bottleneck().attach(model, seed=0)
    assert same(model) and len(sizes) == before + 2, "measured, and computed"


def test_a_layer_that_others_stand_in_for_or_listen_to_is_computed_whole(sizes: list[int]) -> None:
    model = model_of("llama", CAUSAL["llama"])
    packs(model)
    layers = model.inner.get_submodule("model.layers")
    trunk, rows, known = Trunk(model, len(layers)), Rows(ids_of(LAYOUT), LENGTHS), []
    with torch.no_grad():
        expected_MD = hidden_at(model, ids_of(LAYOUT), LAYOUT, SOME)
        sizes.clear()
        with trunk.heard(rows, known.append):
            hidden_at(model, ids_of(LAYOUT), LAYOUT, SOME)
        assert len(known[0]) == LAYOUT.num_tokens
        with trunk.told(rows, known[0]):
            assert torch.allclose(hidden_at(model, ids_of(LAYOUT), LAYOUT, SOME), expected_MD, atol=1e-5)


def test_a_layer_that_is_computed_again_is_trimmed_both_times(sizes: list[int]) -> None:
    model = model_of("llama", CAUSAL["llama"])
    model.module.train()
    plain = taught(model, hidden_at(model, ids_of(LAYOUT), LAYOUT, SOME))
    once = sizes.count(len(SOME))
    model.inner.activation_checkpointing_enable()
    again = taught(model, hidden_at(model, ids_of(LAYOUT), LAYOUT, SOME))
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(again, plain, strict=True))
    assert sizes.count(len(SOME)) == once + 1 + 1, "on the way forth, and on the way back"


def test_a_layer_that_drops_or_has_other_parts_is_computed_whole(sizes: list[int]) -> None:
    for change in (lambda layer: setattr(layer, "hidden_dropout", 0.5),
                   lambda layer: layer.add_module("after", nn.Identity()),
                   lambda layer: setattr(layer, "mlp", _Beside(layer.mlp))):  # fmt: skip
        model = model_of("llama", CAUSAL["llama"])
        layer = model.inner.get_submodule("model.layers")[-1]
        change(layer)
        assert last._free_last(model) is None
    assert len(SOME) not in sizes


class _Beside(nn.Module):
    """Looks at the tokens beside each."""

    def __init__(self, mlp: nn.Module) -> None:
        super().__init__()
        self.mlp = mlp

    def forward(self, states: Tensor) -> Tensor:
        said: Tensor = self.mlp(states) + states.mean(dim=1, keepdim=True)
        return said
