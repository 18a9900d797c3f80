"""Several adapters on one base: each gives what it gives alone, whichever was in use before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_tiny import adapter, opened, outputs, shaken, train

from tunesmith.errors import ModelError, NotFound
from tunesmith.models.adapter_set import AdapterSet
from tunesmith.models.load import open_model
from tunesmith.testing.tiny import tiny_model

SETS: dict[str, list[dict[str, Any]]] = {
    "lora": [{"rank": 4}, {"rank": 2, "targets": ["q_proj"]}, {"rank": 3, "dora": True, "scaling": "rslora"}],
    "whole": [{"rank": 4, "train_also": ["norm"]}, {"rank": 2}, {"rank": 2, "train_also": ["input_layernorm"]}],
    "qlora": [{"kind": "qlora", "rank": 4}, {"kind": "qlora", "rank": 2, "dora": True}],
    "ia3": [{"kind": "ia3"}, {"kind": "ia3", "targets": ["k_proj", "v_proj"], "feedforward": []}],
    "prefix": [{"kind": "prefix", "length": 4}, {"kind": "prefix", "length": 7}],
    "prompt": [{"kind": "prompt", "length": 4}, {"kind": "prompt", "length": 7}],
}
HEADS = ["lm", "classify", "tag"]


def save(bench: Path, name: str, settings: dict[str, Any], head: str = "lm", base: str = "llama") -> None:
    model = opened(bench, base, head)
    adapter(**settings).attach(model, seed=len(name))
    train(shaken(model, by=0.1 * len(name)))
    model.save(bench / name)


@pytest.mark.parametrize("kind", SETS)
def test_each_gives_what_it_gives_alone(bench: Path, kind: str) -> None:
    names = ["a", "bb", "ccc"][: len(SETS[kind])]
    for name, settings, head in zip(names, SETS[kind], HEADS, strict=False):
        save(bench, name, settings, head)
    alone = {name: open_model(name, workspace=bench) for name in names}
    together = AdapterSet(bench)
    for name in names:
        together.add(name, name)
    assert together.names == names
    for name in [*reversed(names), *names, names[0]]:
        model, expected = together.use(name), alone[name]
        assert torch.equal(outputs(model), outputs(expected))
        assert (model.digest, model.labels, model.head_kind) == (expected.digest, expected.labels, expected.head_kind)
        assert (model.adapter, model.reference, model.context) == (expected.adapter, name, expected.context)


def test_what_stands_on_another_base_is_refused(bench: Path) -> None:
    tiny_model(bench / "other", "llama", seed=1)
    save(bench, "a", {"rank": 2})
    save(bench, "b", {"rank": 2}, base="other")
    together = AdapterSet(bench)
    together.add("a", "a")
    with pytest.raises(ModelError, match="another base"):
        together.add("b", "b")
    with pytest.raises(ModelError, match="whole model"):
        together.add("c", "llama")
    with pytest.raises(ModelError, match="already"):
        together.add("a", "a")
    with pytest.raises(NotFound, match="no adapter 'aa'"):
        together.use("aa")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"kind": "lora", "rank": 2}, {"kind": "ia3"}),
        ({"kind": "lora", "rank": 2}, {"kind": "qlora", "rank": 2}),
        ({"kind": "qlora", "rank": 2}, {"kind": "qlora", "rank": 2, "double_quantize": False}),
        ({"kind": "lora"}, {"kind": "bottleneck"}),
    ],
    ids=str,
)
def test_what_cannot_stand_beside_the_others_is_refused(
    bench: Path, first: dict[str, Any], second: dict[str, Any]
) -> None:
    save(bench, "a", first)
    save(bench, "b", second)
    together = AdapterSet(bench)
    together.add("a", "a")
    expected = outputs(together.use("a"))
    with pytest.raises(ModelError) as caught:
        together.add("b", "b")
    assert "alone" in caught.value.fix
    assert torch.equal(outputs(together.use("a")), expected)


def test_bottleneck_adapters_do_not_share_a_base(bench: Path) -> None:
    save(bench, "a", {"kind": "bottleneck"})
    together = AdapterSet(bench)
    with pytest.raises(ModelError, match="cannot share a base"):
        together.add("a", "a")
    assert together.names == []
