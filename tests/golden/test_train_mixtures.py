"""Mixtures, replay and curricula in a training: each changes the outcome and resumes bit for bit."""

from __future__ import annotations

import pytest
import torch
from train_tiny import causal, rows, stage, train, weights_of

from tunesmith.errors import GateFailed
from tunesmith.records import Record
from tunesmith.spec.sections import Data, Replay
from tunesmith.train.order.epochs import Order, order_of

EXAMPLES = rows(22)
RECORDS = [Record(str(n), "rows", origin=n // 11, slices={"level": str(n * 7 % 22)}) for n in range(22)]
REPLAY = Replay.model_validate({"source": "old.jsonl", "share": "30%"})
SOURCES = [{"path": "a.jsonl"}, {"path": "b.jsonl", "weight": 3.0}]


def order(sources=SOURCES, replay=None, **settings):
    return order_of(EXAMPLES, RECORDS, Data.model_validate({"sources": sources, **settings}), replay)


ORDERS = {
    "plain": lambda: Order.plain(22),
    "weight": lambda: order(mixture={}),
    "temperature": lambda: order_of(
        EXAMPLES,
        [Record(str(n), "rows", origin=int(n > 17)) for n in range(22)],
        Data.model_validate({"sources": SOURCES, "mixture": {"temperature": 3.0, "weight": "loss"}}),
        None,
    ),
    "replay": lambda: order(SOURCES[:1], REPLAY),
    "length": lambda: order(curriculum="length"),
    "column": lambda: order(curriculum="level"),
    "descending": lambda: order(curriculum={"by": "level", "order": "descending"}),
    "longer": lambda: order(curriculum={"by": "level", "first_epochs": 2}),
}


def trained(folder, name, steps=None):
    model = causal()
    settings = stage(duration="3 epochs", batch="4 rows", micro_batch="3 rows")
    said = train(folder, model, EXAMPLES, train=settings, order=ORDERS[name](), steps=steps, save_every=0.0)
    return weights_of(model), said


def test_each_changes_the_outcome(tmp_path):
    found = {name: trained(tmp_path / name, name)[0] for name in ORDERS}
    names = list(ORDERS)
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            same = all(torch.equal(weight, found[other][key]) for key, weight in found[name].items())
            assert not same, f"{name} learns as {other}"


@pytest.mark.parametrize("name", ORDERS)
def test_resuming_is_bit_equal(tmp_path, name):
    weights, whole = trained(tmp_path / "whole", name)
    for stop_after in (1, 6, 13):
        folder = tmp_path / str(stop_after)
        trained(folder, name, steps=stop_after)
        torch.manual_seed(99)
        again, rest = trained(folder, name)
        assert [step.loss for step in rest] == [step.loss for step in whole[stop_after:]]
        assert all(torch.equal(weight, again[key]) for key, weight in weights.items())


def test_another_order_does_not_go_on_from_a_checkpoint(tmp_path):
    trained(tmp_path, "weight", steps=3)
    with pytest.raises(GateFailed, match="made with other order"):
        trained(tmp_path, "length")
