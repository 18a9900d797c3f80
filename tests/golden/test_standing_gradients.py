"""Gradients of later micro-batches are added to where they stand, and nowhere else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tunesmith.models.layers.native import library, products
from tunesmith.models.layers.native.use import by_kernels
from tunesmith.models.layers.standing import fill_gradients
from tunesmith.train import readout

RANDOM = torch.Generator().manual_seed(0)
HIDDEN, TABLE = torch.randn(2, 7, 12, generator=RANDOM), torch.randn(40, 12, generator=RANDOM)
TARGETS = torch.randint(0, 40, (2, 7, 1), generator=RANDOM)


def head_loss(table: Tensor, half: int, dtype: torch.dtype = torch.float32) -> Tensor:
    def piece_loss(logits_CV: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        return readout._cross_entropy(logits_CV, TARGETS[half, rows], torch.ones(rows.stop - rows.start, 1), 0.1)

    loss: Tensor = readout._LinearLoss.apply(HIDDEN[half].to(dtype), table, None, piece_loss)
    return 0.3 * loss


def layer_loss(weight: Tensor, half: int) -> Tensor:
    return 0.3 * products._Linear.apply(HIDDEN[half], weight, None).sin().sum()


def plain_gradient(loss_of: object, table: Tensor) -> Tensor:
    def plain(half: int, leaf: Tensor) -> Tensor:
        logits = HIDDEN[half] @ leaf.T
        if loss_of is layer_loss:
            return logits.sin().sum()
        return torch.nn.functional.cross_entropy(logits, TARGETS[half, :, 0], reduction="sum", label_smoothing=0.1)

    leaf = table.detach().clone().requires_grad_()
    return torch.autograd.grad(0.3 * (plain(0, leaf) + plain(1, leaf)), leaf)[0]


@pytest.fixture(params=["kernels", "torch"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    if request.param == "torch":
        yield
        return
    if library.library()[0] is None:
        pytest.skip(f"no kernels here: {library.library()[1]}")
    monkeypatch.setattr(products, "better", lambda: True)
    with by_kernels(torch.device("cpu"), []):
        yield


@pytest.mark.parametrize("loss_of", [head_loss, layer_loss])
def test_a_second_micro_batch_adds_to_what_stands(loss_of, by) -> None:
    weight = TABLE.clone().requires_grad_()
    fill_gradients(loss_of(weight, 0))
    first, place = weight.grad.clone(), weight.grad.data_ptr()
    fill_gradients(loss_of(weight, 1))
    assert weight.grad.data_ptr() == place and not torch.equal(weight.grad, first)
    torch.testing.assert_close(weight.grad, plain_gradient(loss_of, TABLE), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("elements", [40 * 2, 40 * 7, 40 * 100])
def test_a_head_in_blocks_gives_the_same(elements: int, by, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readout, "BLOCK_ELEMENTS", elements)
    weight = TABLE.clone().requires_grad_()
    for half in (0, 1):
        fill_gradients(head_loss(weight, half))
    torch.testing.assert_close(weight.grad, plain_gradient(head_loss, TABLE), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss_of", [head_loss, layer_loss])
def test_a_gradient_that_is_only_asked_for_is_put_nowhere(loss_of, by) -> None:
    weight = TABLE.clone().requires_grad_()
    weight.grad = torch.full_like(weight, 5.0)
    parts = [torch.autograd.grad(loss_of(weight, half), weight)[0] for half in (0, 1)]
    assert torch.equal(weight.grad, torch.full_like(weight, 5.0))
    torch.testing.assert_close(sum(parts), plain_gradient(loss_of, TABLE), rtol=1e-5, atol=1e-6)


def test_a_table_in_half_precision_takes_its_gradient_as_ever() -> None:
    weight = TABLE.bfloat16().requires_grad_()
    for half in (0, 1):
        fill_gradients(head_loss(weight, half, torch.bfloat16))
    expected = plain_gradient(head_loss, TABLE)
    assert weight.grad.dtype == torch.bfloat16
    assert float((weight.grad.float() - expected).abs().max() / expected.abs().max()) < 2e-2


def test_a_row_of_nothing_teaches_nothing() -> None:
    weight = TABLE.clone().requires_grad_()
    loss = readout._LinearLoss.apply(HIDDEN[0, :0], weight, None, lambda *_: pytest.fail("nothing to lose"))
    fill_gradients(loss)
    assert torch.equal(weight.grad, torch.zeros_like(weight))
