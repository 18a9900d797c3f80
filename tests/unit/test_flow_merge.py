"""Merging and combining adapters: exact where it is promised, recorded by digest, refused where it would mislead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_tiny import adapter, close, opened, outputs, shaken, train
from typer.testing import CliRunner

from tunesmith.cli.app import app
from tunesmith.errors import Error, GateFailed, ModelError, UserError
from tunesmith.flow.training.merge import merge
from tunesmith.models.load import Model, open_model
from tunesmith.testing.tiny import tiny_model

LAYER = {
    "llama": "model.layers.0.self_attn.q_proj",
    "gpt2": "transformer.h.0.attn.c_attn",
    "t5": "encoder.block.0.layer.0.SelfAttention.q",
}
FIRST: dict[str, Any] = {"rank": 4}
SECOND: dict[str, Any] = {"rank": 2, "alpha": 8.0, "scaling": "rslora"}


def tuned(bench: Path, name: str, base: str = "llama", head: str = "lm", **settings: Any) -> Model:
    model = opened(bench, base, head)
    adapter(**settings).attach(model, seed=len(name))
    train(shaken(model, by=0.03 * len(name)))
    model.save(bench / name, template="classify", system=name)
    return model


def change(model: Model, name: str) -> torch.Tensor:
    """What a LoRA adds to the weights of a layer, as the layer keeps them."""
    layer = model.inner.get_submodule(name)
    found: torch.Tensor = layer.get_delta_weight("default").detach()
    return found


@pytest.mark.parametrize("shape", ["llama", "gpt2", "t5"])
@pytest.mark.parametrize("weights", [(), (2.0, -0.5)], ids=str)
def test_linear_adds_the_changes_up(bench: Path, shape: str, weights: tuple[float, ...]) -> None:
    first, second = tuned(bench, "a", shape, **FIRST), tuned(bench, "bb", shape, **SECOND)
    merge(["a", "bb"], bench / "whole", weights=weights, workspace=bench)
    merge(["a", "bb"], bench / "adapter", weights=weights, form="adapter", workspace=bench)
    whole, small = open_model("whole", workspace=bench), open_model("adapter", workspace=bench)
    assert whole.adapter is None and small.adapter is not None and small.adapter.settings()["rank"] == 6
    u, v = weights or (0.5, 0.5)
    name = LAYER[shape]
    expected = u * change(first, name) + v * change(second, name)
    base = opened(bench, shape).inner.get_submodule(name).weight
    assert close(whole.inner.get_submodule(name).weight.detach() - base, expected, 1e-6)
    assert close(change(small, name), expected, 1e-5)
    assert close(outputs(small), outputs(whole), 1e-4)
    table, output = whole.inner.get_input_embeddings().weight, whole.inner.get_output_embeddings().weight
    assert table is output, "tied embeddings stay tied"


def test_a_mean_of_the_same_adapter_is_that_adapter(bench: Path) -> None:
    model = tuned(bench, "a", **FIRST)
    merge(["a", "a"], bench / "whole", workspace=bench)
    assert close(outputs(open_model("whole", workspace=bench)), outputs(model), 1e-4)


def test_ties_trims_elects_signs_and_averages_those_that_agree(bench: Path) -> None:
    first, second = tuned(bench, "a", **FIRST), tuned(bench, "bb", **SECOND)
    merge(["a", "bb"], bench / "whole", method="ties", density=0.3, workspace=bench)
    name = LAYER["llama"]
    trimmed = []
    for model in (first, second):
        flat = change(model, name).flatten()
        kept = torch.zeros_like(flat)
        largest = flat.abs().argsort(descending=True)[: int(0.3 * len(flat))]
        kept[largest] = flat[largest]
        trimmed.append(kept)
    sign = torch.sign(trimmed[0] + trimmed[1])
    agreeing = [torch.where(torch.sign(kept) == sign, kept, 0.0) for kept in trimmed]
    count = sum((kept != 0).float() for kept in agreeing)
    expected = sum(agreeing) / count.clamp(min=1)  # type: ignore[operator]
    base = opened(bench, "llama").inner.get_submodule(name).weight
    found = open_model("whole", workspace=bench).inner.get_submodule(name).weight.detach() - base
    assert close(found.flatten(), expected, 1e-6)


def test_dare_drops_at_random_and_scales_up_what_it_keeps(bench: Path) -> None:
    first = tuned(bench, "a", **FIRST)
    name, base = LAYER["llama"], opened(bench, "llama")
    settings: dict[str, Any] = {"method": "dare", "density": 0.25, "weights": (1.0, 0.0), "workspace": bench}
    tuned(bench, "bb", **SECOND)
    for folder, seed in (("one", 0), ("again", 0), ("other", 1)):
        merge(["a", "bb"], bench / folder, seed=seed, **settings)
    one, again, other = (
        open_model(folder, workspace=bench).inner.get_submodule(name).weight.detach()
        - base.inner.get_submodule(name).weight
        for folder in ("one", "again", "other")
    )
    kept = one.abs() > 1e-7
    assert float(kept.float().mean()) == pytest.approx(0.25, abs=0.03)
    assert close(one[kept], 4 * change(first, name)[kept], 1e-5)
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_what_a_rank_cannot_hold_is_said(bench: Path) -> None:
    tuned(bench, "a", **FIRST)
    tuned(bench, "bb", **SECOND)
    notes = merge(["a", "bb"], bench / "linear", form="adapter", workspace=bench).notes
    assert "0.00%" in notes[-1]
    notes = merge(["a", "bb"], bench / "ties", method="ties", form="adapter", workspace=bench).notes
    assert "rank 6" in notes[-1] and "0.00%" not in notes[-1]
    merge(["a", "bb"], bench / "whole", method="ties", workspace=bench)
    small, whole = (open_model(name, workspace=bench) for name in ("ties", "whole"))
    assert not close(outputs(small), outputs(whole), 1e-4)


def test_quantised_ones_combine_on_the_base_they_were_trained_on(bench: Path) -> None:
    first = tuned(bench, "a", kind="qlora", rank=4)
    tuned(bench, "bb", kind="qlora", rank=2)
    merge(["a", "bb"], bench / "whole", weights=(1.0, 0.0), workspace=bench)
    merge(["a", "bb"], bench / "adapter", weights=(1.0, 0.0), form="adapter", workspace=bench)
    assert close(outputs(open_model("whole", workspace=bench)), outputs(first), 1e-4)
    small = open_model("adapter", workspace=bench)
    assert small.adapter is not None and small.adapter.kind == "qlora"
    assert close(outputs(small), outputs(first), 1e-4)


@pytest.mark.parametrize(
    "settings",
    [{"rank": 4}, {"dora": True}, {"train_also": ["embeddings"]}, {"kind": "qlora"}, {"kind": "ia3"}],
    ids=str,
)
def test_one_adapter_folds_into_its_base(bench: Path, settings: dict[str, Any]) -> None:
    model = tuned(bench, "a", **settings)
    done = merge(["a"], bench / "whole", workspace=bench)
    again = open_model("whole", workspace=bench)
    assert again.adapter is None and again.digest == done.digest
    assert close(outputs(again), outputs(model), 1e-4)
    assert again.inner.get_input_embeddings().weight is again.inner.get_output_embeddings().weight


def test_a_head_of_ours_goes_along(bench: Path) -> None:
    model = tuned(bench, "a", head="classify", **FIRST)
    merge(["a"], bench / "whole", workspace=bench)
    again = open_model("whole", workspace=bench)
    assert again.labels == model.labels and close(outputs(again), outputs(model), 1e-4)


def test_lineage_names_what_went_in(bench: Path) -> None:
    first, second = tuned(bench, "a", **FIRST), tuned(bench, "bb", **SECOND)
    done = merge(["a", "bb"], bench / "whole", method="ties", density=0.4, workspace=bench)
    said = json.loads((bench / "whole" / "lineage.json").read_text())
    opened_again = {name: open_model(name, workspace=bench) for name in ("a", "bb", "whole")}
    assert said["adapters"] == [{"reference": name, "digest": opened_again[name].digest} for name in ("a", "bb")]
    assert said["base"]["digest"] == first.origin.digest == second.origin.digest
    assert (said["method"], said["density"], said["weights"]) == ("ties", 0.4, [1.0, 1.0])
    assert said["model_digest"] == done.digest == opened_again["whole"].digest
    facts = json.loads((bench / "whole" / "tunesmith.json").read_text())["facts"]
    assert facts == {"template": "classify"}, "what both were asked with, and nothing they differ in"


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"dora": True}, "DoRA"),
        ({"train_also": ["norm"]}, "whole"),
        ({"head": "classify"}, "head"),
        ({"kind": "ia3"}, "beside"),
        ({"base": "other"}, "another base"),
    ],
    ids=str,
)
def test_what_has_no_sum_is_refused(bench: Path, second: dict[str, Any], words: str) -> None:
    tiny_model(bench / "other", "llama", seed=1)
    tuned(bench, "a", **FIRST)
    tuned(bench, "bb", **second)
    with pytest.raises(ModelError, match=words) as caught:
        merge(["a", "bb"], bench / "whole", workspace=bench)
    assert caught.value.fix
    assert not (bench / "whole").exists()


@pytest.mark.parametrize(
    ("references", "settings", "words"),
    [
        ([], {}, "no adapter"),
        (["a"], {"method": "ties"}, "one is named"),
        (["a"], {"weights": (1.0,)}, "one is named"),
        (["a"], {"form": "adapter"}, "one is named"),
        (["a", "bb"], {"weights": (1.0,)}, "1 weights are given for 2"),
        (["a", "bb"], {"density": 0.5}, "reads no density"),
        (["a", "bb"], {"method": "dare", "density": 0.0}, "not between"),
        (["a", "bb"], {"method": "ties", "density": 1.5}, "not between"),
        (["llama"], {}, "whole model already"),
    ],
    ids=str,
)
def test_settings_that_would_not_be_read_are_refused(
    bench: Path, references: list[str], settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        merge(references, bench / "whole", workspace=bench, **settings)


def test_what_cannot_be_merged_or_would_be_written_over(bench: Path) -> None:
    tuned(bench, "a", kind="prompt")
    with pytest.raises(Error, match="cannot be merged"):
        merge(["a"], bench / "whole", workspace=bench)
    with pytest.raises(GateFailed, match="exists already"):
        merge(["a"], bench / "a", workspace=bench)


def test_the_verb(bench: Path) -> None:
    tuned(bench, "a", **FIRST)
    tuned(bench, "bb", **SECOND)
    call = [
        "merge",
        "a",
        "bb",
        "--method",
        "ties",
        "--density",
        "0.6",
        "--weights",
        "1,0.5",
        "--adapter",
        "-w",
        str(bench),
    ]
    said = CliRunner().invoke(app, [*call, "--into", str(bench / "made"), "--json"])
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["digest"] == open_model("made", workspace=bench).digest
    lineage = json.loads((bench / "made" / "lineage.json").read_text())
    assert (lineage["density"], lineage["weights"], lineage["form"]) == (0.6, [1.0, 0.5], "adapter")
    said = CliRunner().invoke(app, ["merge", "a", "-w", str(bench), "--into", str(bench / "whole")])
    assert said.exit_code == 0 and said.stdout.strip() == str(bench / "whole")
    said = CliRunner().invoke(
        app, ["merge", "a", "bb", "--weights", "x", "-w", str(bench), "--into", str(bench / "no")]
    )
    assert said.exit_code == 2 and "not numbers" in said.output and not (bench / "no").exists()
