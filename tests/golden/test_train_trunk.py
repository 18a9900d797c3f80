"""Frozen layers computed once for each row: the same losses and gradients, of the right rows, and never stale."""

from __future__ import annotations

import errno
import math
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from test_packed_parity import CAUSAL, ENCODERS, PADDED, model_of
from torch import nn
from train_tiny import causal, encoder, encoder_decoder, rows, stage, train, weights_of
from transformers.pytorch_utils import Conv1D

from tunesmith.errors import ModelError, OutOfMemory
from tunesmith.models.adapters.full import Full
from tunesmith.models.adapters.lora import Lora
from tunesmith.models.adapters.prompt import Prompt
from tunesmith.models.facts import base_facts
from tunesmith.models.layers import kept
from tunesmith.models.layers.depth import layers, num_frozen
from tunesmith.models.layers.dropout import dropouts
from tunesmith.models.layers.freeze import freeze
from tunesmith.models.layers.kept import SETS, Keeper, Kept
from tunesmith.models.layers.trunk import Trunk, bears
from tunesmith.models.load import open_model
from tunesmith.models.memory import estimate, settle_cache
from tunesmith.models.packing.layout import Layout
from tunesmith.models.packing.rows import hidden_of_rows
from tunesmith.spec.quantity import Every
from tunesmith.spec.sections import Freeze, Regularize
from tunesmith.testing.tiny import tiny_model
from tunesmith.train.objectives.classify import Classify
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.objectives.tag import Tag
from tunesmith.train.optimizers.adamw import AdamW

EXAMPLES = rows(14)
VALIDATION = rows(5, seed=1)
WAYS = ("memory", "disk")
KEPT = Freeze(layers=1, cache="memory")
MODELS: dict[str, Any] = {
    "causal": (causal, Sft(), 1),
    "causal, all layers": (causal, Sft(), "all"),
    "classify": (lambda: encoder("classify"), Classify(), 1),
    "linear probe": (lambda: encoder("classify"), Classify(), "all"),
    "tag": (lambda: encoder("tag", classes=4), Tag(), 1),
    "encoder-decoder": (encoder_decoder, Sft(), 2),
}


def course(folder, name="causal", way="off", *, model=None, **settings):
    make, objective, frozen = MODELS[name]
    model = model or make()
    examples = rows(14, answers=name == "encoder-decoder")
    validation = rows(5, seed=1, answers=name == "encoder-decoder")
    rule = settings.pop("freeze", Freeze(layers=frozen))
    settings = {"objective": objective, "duration": "3 epochs", "micro_batch": "3 rows"} | settings
    changed = stage(freeze=rule.model_copy(update={"cache": way}), **settings)
    return model, train(folder, model, examples, objective, train=changed, validation=validation)


@contextmanager
def counted(model):
    """How often the lowest layer is computed."""
    calls: list[int] = []
    stack, _ = layers(model).stacks[0]
    inside = next(
        part for part in model.inner.get_submodule(stack)[0].modules() if isinstance(part, (nn.Linear, Conv1D))
    )
    hook = inside.register_forward_hook(lambda *_: calls.append(1))
    yield calls
    hook.remove()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_the_lowest_layers_are_computed_in_the_first_epoch_alone(tmp_path, name, way):
    make, _, _ = MODELS[name]
    plain, spared = make(), make()
    with counted(plain) as often:
        _, steps = course(tmp_path / "plain", name, model=plain)
    with counted(spared) as seldom:
        _, others = course(tmp_path / "kept", name, way, model=spared)
    # An epoch is seven parts and a validation two; to keep them costs two readings, on which it is measured.
    assert len(often) - len(seldom) == 2 * (7 + 2) - 2
    for step, other in zip(steps, others, strict=True):
        assert math.isclose(step.loss, other.loss, rel_tol=1e-6)
        assert math.isclose(step.grad_norm, other.grad_norm, rel_tol=1e-5)
        if step.validation:
            assert math.isclose(step.validation["loss"], other.validation["loss"], rel_tol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_bf16_learns_the_same(tmp_path, way):
    plain, steps = course(tmp_path / "plain", precision="bf16")
    kept, others = course(tmp_path / "kept", way=way, precision="bf16")
    assert [step.loss for step in others] == pytest.approx([step.loss for step in steps], rel=2e-3)
    learned = torch.cat([weight.flatten() for weight in weights_of(kept).values()])
    assert (
        torch.nn.functional.cosine_similarity(learned, torch.cat([w.flatten() for w in weights_of(plain).values()]), 0)
        > 0.9999
    )


def train_with(folder, rate, keeper=None, *, way="memory", steps=None, **more):
    """(losses and validations, weights, how often the lowest layer was computed)"""
    model = causal()
    freeze, optimizer = Freeze(layers=1, cache=way), AdamW(lr=rate)
    changed = stage(duration="2 epochs", micro_batch="3 rows", freeze=freeze, optimizer=optimizer, **more)
    with counted(model) as calls:
        done = train(folder, model, EXAMPLES, train=changed, validation=VALIDATION, keeper=keeper, steps=steps)
    return [(step.loss, step.validation) for step in done], weights_of(model), len(calls)


@pytest.mark.parametrize("way", WAYS)
def test_trainings_that_share_a_keeper_compute_the_lowest_layers_once(tmp_path, way):
    keeper = Keeper()
    train_with(tmp_path / "1", 1e-3, keeper, way=way)
    found, weights, calls = train_with(tmp_path / "2", 3e-3, keeper, way=way)
    expected, alone, computed = train_with(tmp_path / "3", 3e-3, way=way)
    assert computed - calls == 7 + 2  # an epoch is seven parts and a validation two
    assert found == expected and all(torch.equal(weights[name], alone[name]) for name in alone)
    # Other batches, or other weights below, say something else: nothing that was kept is taken for it.
    for more in ({"batch": "7 rows"}, {"seed": 5}, {"precision": "bf16"}):
        expected, _, computed = train_with(tmp_path / f"a{more}", 3e-3, way=way, **more)
        found, _, calls = train_with(tmp_path / f"b{more}", 3e-3, keeper, way=way, **more)
        assert calls == computed and found == expected


@pytest.mark.parametrize("steps", [None, 2])
@pytest.mark.parametrize("way", WAYS)
def test_what_one_process_kept_another_finds(tmp_path, way, steps):
    """Whole, or as far as it came."""
    first, second = Keeper(tmp_path / "laid"), Keeper(tmp_path / "laid")
    train_with(tmp_path / "1", 1e-3, first, way=way, steps=steps)
    assert first.lay_out() == ""
    found, weights, calls = train_with(tmp_path / "2", 3e-3, second, way=way)
    expected, alone, computed = train_with(tmp_path / "3", 3e-3, way=way)
    assert computed - calls == (7 + 2 if steps is None else 3)  # the first two steps are three parts
    assert found == expected and all(torch.equal(weights[name], alone[name]) for name in alone)
    # Whoever knows more lays it out, and whoever knows as much does not.
    before = {path.name for path in (tmp_path / "laid").iterdir()}
    assert second.lay_out() == "" and first.lay_out() == ""
    assert (steps is None) == ({path.name for path in (tmp_path / "laid").iterdir()} == before)


def test_of_sets_laid_out_the_newest_stay(tmp_path):
    for number in range(SETS + 2):
        keeper = Keeper(tmp_path / "laid")
        train_with(tmp_path / str(number), 1e-3, keeper, seed=number)
        keeper.lay_out()
    assert len([*(tmp_path / "laid").iterdir()]) == 2 * SETS  # the training rows' and the validation rows'
    found, _, calls = train_with(tmp_path / "again", 1e-3, Keeper(tmp_path / "laid"), seed=SETS + 1)
    expected, _, computed = train_with(tmp_path / "alone", 1e-3, seed=SETS + 1)
    assert found == expected and calls < computed


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    keeper = Keeper(tmp_path / "laid")
    train_with(tmp_path / "1", 1e-3, keeper)

    def full(_, path):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kept, "save_file", full)
    assert "No space left" in keeper.lay_out()
    assert not [*(tmp_path / "laid").iterdir()]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_resumed_training_is_bit_equal(tmp_path, precision):
    settings = stage(
        duration="3 epochs", micro_batch="3 rows", precision=precision, freeze=KEPT, validate_every="5 steps"
    )

    def run(folder, steps=None):
        model = causal()
        return model, train(folder, model, EXAMPLES, train=settings, validation=VALIDATION, save_every=0.0, steps=steps)

    reference, steps = run(tmp_path / "whole")
    for stop_after in (1, 3, 4, 6, 10):
        folder = tmp_path / str(stop_after)
        run(folder, stop_after)
        torch.manual_seed(999)
        model, rest = run(folder)
        said = [(step.loss, step.grad_norm, step.validation) for step in rest]
        assert said == [(step.loss, step.grad_norm, step.validation) for step in steps[stop_after:]], stop_after
        assert all(torch.equal(weight, weights_of(model)[name]) for name, weight in weights_of(reference).items())


def test_a_resumed_training_computes_the_batches_it_had(tmp_path):
    """Each once more; rows found out later, in other batches, would be computed oftener and might round otherwise."""
    settings = stage(duration="3 epochs", micro_batch="3 rows", freeze=KEPT)
    counts = []
    for steps in (None, 1):
        model = causal()
        if steps:
            train(tmp_path / "stopped", causal(), EXAMPLES, train=settings, save_every=0.0, steps=steps)
        with counted(model) as calls:
            train(tmp_path / ("stopped" if steps else "whole"), model, EXAMPLES, train=settings, save_every=0.0)
        counts.append(len(calls))
    assert counts[0] == counts[1]


def test_a_training_goes_on_with_another_cache(tmp_path):
    reference, steps = course(tmp_path / "whole", way="memory")
    first = train(tmp_path, causal(), EXAMPLES, train=stage(duration="2 epochs", freeze=KEPT), steps=5, save_every=0.0)
    disk = stage(duration="2 epochs", freeze=Freeze(layers=1, cache="disk"))
    rest = train(tmp_path, causal(), EXAMPLES, train=disk)
    assert [step.number for step in first + rest] == list(range(1, 9)) and reference and steps


# One batch -----------------------------------------------------------------------------------------


def deep(name):
    """Four layers, and nothing dropped."""
    changes = {**(CAUSAL | ENCODERS | PADDED)[name]}
    if name == "gemma3_text":
        changes["layer_types"] = ["sliding_attention", "full_attention"] * 2
    depth = dict.fromkeys(("n_layer",) if name == "gpt2" else ("n_layers",) if name == "distilbert" else (), 4)
    model = model_of(name, changes | {"num_hidden_layers": 4} | depth)
    still(model)
    return model


def still(model):
    for place in dropouts(model.inner):
        setattr(place.holder, place.name, 0.0)


def results(model, tokens):
    """Hidden states and gradients of a batch."""
    model.module.zero_grad()
    hidden_ND = hidden_of_rows(model, tokens["ids_N"], Layout(tuple(tokens["lengths_B"].tolist()), model.device))
    torch.sin(hidden_ND * 7).sum().backward()
    found = {name: weight.grad.clone() for name, weight in model.trainable().items() if weight.grad is not None}
    return hidden_ND.detach(), found


def tokens(lengths, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {"ids_N": torch.randint(3, 96, (sum(lengths),), generator=generator), "lengths_B": torch.tensor(lengths)}


@pytest.mark.parametrize("name", [name for name in (*CAUSAL, *ENCODERS, *PADDED) if name != "albert"])
@pytest.mark.parametrize("adapter", [Full(), Lora(rank=2, top_layers=2)], ids=["full", "lora"])
def test_hidden_states_and_gradients_are_bit_equal(name, adapter):
    model = deep(name)
    adapter.attach(model, 0)
    for number, weight in enumerate(model.trainable().values()):
        torch.nn.init.normal_(weight, std=0.2, generator=torch.Generator().manual_seed(number))
    if isinstance(adapter, Full):
        freeze(model, Freeze(layers=2))
    assert num_frozen(model) == 2 and bears(model, 2), model.notes
    batch = tokens([9, 4, 30, 4])
    expected = results(model, batch)
    kept = Kept(Trunk(model, 2), 100)
    for _ in range(2):
        with counted(model) as calls, kept.reading(batch):
            found = results(model, batch)
        assert torch.equal(found[0], expected[0])
        assert found[1].keys() == expected[1].keys() and found[1]
        assert all(torch.equal(gradient, expected[1][name]) for name, gradient in found[1].items())
    assert not calls, "the second time it is not computed"
    assert torch.equal(results(model, batch)[0], expected[0]) and kept.knows(batch)


@pytest.mark.parametrize(
    ("shape", "frozen", "borne"), [("t5", 1, False), ("t5", 2, True), ("bart", 1, True), ("bart", 2, True)]
)
def test_encoders_of_encoder_decoders(tmp_path, shape, frozen, borne):
    # The lowest layer of T5 computes what all others add to their scores.
    model = open_model(str(tiny_model(tmp_path, shape)), workspace=tmp_path, head="lm")
    assert not bears(model, frozen), "activations are dropped at random"
    still(model)
    assert bears(model, frozen) == borne


def test_one_layer_that_stands_for_all_is_computed():
    assert not bears(model_of("albert", ENCODERS["albert"]), 1)


def test_rows_are_told_apart_by_their_tokens():
    model = causal()
    Full().attach(model, 0)
    freeze(model, Freeze(layers=1))
    kept = Kept(Trunk(model, 1), 40)
    first, second = tokens([5, 9, 4]), tokens([5, 9, 4], seed=2)
    first["ids_N"] %= 64
    second["ids_N"] %= 64
    with kept.reading(first):
        results(model, first)
    assert kept.knows(first) and not kept.knows(second)
    with kept.reading(second):
        results(model, second)
    # Rows of both, in another order and beside others than they were first computed with.
    parts = [torch.split(batch["ids_N"], [5, 9, 4]) for batch in (first, second)]
    mixed = {
        "ids_N": torch.cat([parts[1][2], parts[0][1], parts[0][0], parts[1][2]]),
        "lengths_B": torch.tensor([4, 9, 5, 4]),
    }
    expected = results(model, mixed)
    with counted(model) as calls, kept.reading(mixed):
        found = results(model, mixed)
    assert not calls and torch.allclose(found[0], expected[0], atol=1e-6)


def test_equal_rows_are_kept_once():
    model = causal()
    Full().attach(model, 0)
    freeze(model, Freeze(layers=1))
    kept = Kept(Trunk(model, 1), 5)  # room for one of them
    once = tokens([5])["ids_N"] % 64
    batch = {"ids_N": once.repeat(3), "lengths_B": torch.tensor([5, 5, 5])}
    for _ in range(2):
        with kept.reading(batch):
            results(model, batch)
    assert kept.knows(batch)


def test_what_else_is_read_meanwhile_is_computed():
    model = causal()
    Full().attach(model, 0)
    freeze(model, Freeze(layers=1))
    kept, batch, others = Kept(Trunk(model, 1), 20), tokens([5, 3]), tokens([5, 3], seed=2)
    batch["ids_N"] %= 64
    others["ids_N"] %= 64
    expected = [results(model, tensors)[0] for tensors in (others, batch)]
    for _ in range(2):
        with kept.reading(batch):
            found = [results(model, tensors)[0] for tensors in (others, batch)]
        assert all(torch.equal(states, right) for states, right in zip(found, expected, strict=True))
    assert not kept.knows(others)


# Where it cannot be --------------------------------------------------------------------------------


def prompted():
    model = causal()
    Prompt(length=2).attach(model, 0)
    return model


def lora(**settings):
    model = causal()
    Lora(rank=2, **settings).attach(model, 0)
    return model


@pytest.mark.parametrize(
    ("make", "settings", "said"),
    [
        (causal, {"freeze": Freeze(cache="memory")}, "something trains in the lowest layer or below"),
        (causal, {"freeze": Freeze(names=["layers.0"], cache="disk")}, "something trains in the lowest layer or below"),
        (causal, {"freeze": Freeze(layers=2, unfreeze=Every(1, "epochs"), cache="memory")}, "now or later"),
        (causal, {"regularize": Regularize(neftune=5.0)}, "neftune"),
        (lambda: causal(dropout=0.1), {}, "self_attn drops activations at random"),
        (lambda: encoder("classify", dropout=0.1), {}, "embeddings.dropout drops activations at random"),
        (lambda: encoder("classify"), {"regularize": Regularize(dropout=0.1)}, "drops activations at random"),
        (lora, {"freeze": Freeze(cache="memory")}, "something trains in the lowest layer or below"),
        (prompted, {"freeze": Freeze(cache="memory")}, "something trains in the lowest layer or below"),
        (lambda: lora(dropout=0.1), {}, "lora_dropout.default drops activations at random"),
        (encoder_decoder, {}, "t5 models do not say the same"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused(tmp_path, make, settings, said):
    model = make()
    objective = Classify() if model.head_kind == "classify" else Sft()
    examples = rows(6, answers=model.family == "encoder_decoder")
    settings = {"freeze": KEPT, **settings}
    with pytest.raises(ModelError, match=said):
        train(tmp_path, model, examples, objective, train=stage(objective=objective, **settings))


def test_what_is_dropped_above_does_not_matter(tmp_path):
    """Dropout of the layers that learn is drawn as ever; that of the whole base can be switched off."""
    quiet = encoder("classify", dropout=0.1)
    settings = {"regularize": Regularize(dropout=0.0), "objective": Classify()}
    _, steps = course(tmp_path / "quiet", "classify", "memory", model=quiet, **settings)
    _, others = course(tmp_path / "plain", "classify", model=encoder("classify", dropout=0.1), **settings)
    assert [step.loss for step in steps] == pytest.approx([step.loss for step in others], rel=1e-6)
    upper = [lora(dropout=0.3, top_layers=1) for _ in range(2)]
    (_, steps), (_, others) = (
        course(tmp_path / way, way=way, model=model, freeze=Freeze(names=["layers.1.mlp"]))
        for way, model in zip(("off", "memory"), upper, strict=True)
    )
    assert [step.loss for step in steps] == pytest.approx([step.loss for step in others], rel=1e-6)


def test_computed_again_in_the_backward_pass(tmp_path):
    _, steps = course(tmp_path / "plain")
    _, others = course(tmp_path / "kept", way="memory", checkpointing="on")
    assert [step.loss for step in others] == pytest.approx([step.loss for step in steps], rel=1e-6)


def test_the_model_is_left_as_it_was(tmp_path):
    model, _ = course(tmp_path, way="disk")
    inner = model.inner.model
    assert all("forward" not in vars(layer) and not layer._forward_hooks for layer in inner.layers)
    assert not inner._forward_pre_hooks
    assert [path.name for path in tmp_path.rglob("trunk-*")] == [], "the file is gone"


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(OutOfMemory, match=r"no room for a file of .* GB \(No space left"):
        course(tmp_path, way="disk")


# Decided by itself ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "room", "disk", "where"),
    [
        ({}, 10**9, 10**9, "memory"),
        ({}, 256_000, 0, "memory"),
        ({}, 255_999, 10**9, "disk"),
        ({}, 0, 255_999, "off"),
        ({"duration": "1 epochs"}, 10**9, 0, "off"),
        ({"duration": "250 steps"}, 10**9, 0, "off"),
        ({"duration": "251 steps"}, 10**9, 0, "memory"),
        ({"duration": "1k tokens"}, 10**9, 0, "off"),
        ({"duration": "1001 tokens"}, 10**9, 0, "memory"),
        ({"duration": "1 min"}, 10**9, 0, "memory"),
        ({"freeze": None}, 10**9, 0, "off"),
        ({"freeze": Freeze(layers=1, cache="off")}, 10**9, 0, "off"),
        ({"freeze": Freeze(layers=1, cache="disk")}, 10**9, 0, "disk"),
        ({"regularize": Regularize(neftune=1.0)}, 10**9, 0, "off"),
        ({"freeze": None, "adapter": Lora(rank=2, top_layers=1)}, 10**9, 0, "memory"),
    ],
)  # fmt: skip
def test_auto_goes_by_room_and_by_how_often_rows_are_read(tmp_path, settings, room, disk, where):
    facts = base_facts(str(tiny_model(tmp_path, "llama")), workspace=tmp_path)
    given = {"adapter": Full(), "duration": "2 epochs", "freeze": Freeze(layers=1), **settings}
    wanted = stage(**given)
    found = estimate(facts, wanted, 64)
    settled, size = settle_cache(wanted, found, 1000, 1000, room_bytes=room, disk_bytes=disk)
    assert settled.freeze is not None and settled.freeze.cache == where
    assert size == (0 if where == "off" else 256_000), "1,000 tokens of 64 numbers in fp32"


def test_the_estimate_knows_what_is_spared(tmp_path):
    facts = base_facts(str(tiny_model(tmp_path, "llama")), workspace=tmp_path)
    found = estimate(facts, stage(adapter=Full(), freeze=Freeze(layers=1), precision="bf16"), 64)
    assert (found.frozen_layers, found.not_kept, found.state_bytes) == (1, None, 256), "states in fp32"
    assert 0.1 < found.flops_spared / found.flops_per_token < 0.9
    free = estimate(facts, stage(adapter=Full()), 64)
    assert free.frozen_layers == 0 and free.not_kept and free.flops_spared == 0
