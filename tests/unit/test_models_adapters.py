"""Adapters and saved folders: nothing changes at the start, nothing is lost by saving, others can open them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_tiny import ANSWERS, IDS, JOBS, LABELS, MASK, adapter, loss, opened, outputs, train
from safetensors.torch import load_file, save_file

from tunesmith.errors import ModelError
from tunesmith.models.facts import base_facts
from tunesmith.models.layers.reach import linear_layers
from tunesmith.models.load import Model, open_model
from tunesmith.models.quiet import quiet
from tunesmith.runs import file_digest
from tunesmith.testing.tiny import SHAPES, tiny_model


def base_digest(model: Model) -> str:
    digest = hashlib.sha256()
    for name, weight in sorted(model.inner.named_parameters()):
        if "lora_" not in name:
            digest.update(weight.detach().numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize(("shape", "head"), JOBS)
def test_a_fresh_lora_changes_no_bit(bench: Path, shape: str, head: str) -> None:
    model = opened(bench, shape, head)
    before = outputs(model)
    adapter().attach(model, seed=0)
    assert torch.equal(outputs(model), before)


@pytest.mark.parametrize(("shape", "head"), JOBS)
def test_lora_trains_its_own_weights_and_our_head_only(bench: Path, shape: str, head: str) -> None:
    model = opened(bench, shape, head)
    lora = adapter(rank=4)
    linears, counted_before = linear_layers(model), lora.count(model)
    lora.attach(model, seed=0)
    names = set(model.trainable())
    assert all("lora_" in name or name.startswith("head.") for name in names)
    counted = sum(weight.numel() for name, weight in model.trainable().items() if not name.startswith("head."))
    assert counted == sum(4 * (inputs + outputs_) for _, inputs, outputs_ in linears) == counted_before
    model.train()
    before, untrained = base_digest(model), outputs(model)
    train(model)
    assert base_digest(model) == before
    assert not torch.equal(outputs(model), untrained)
    assert all(weight.grad is not None for weight in model.trainable().values()), "an adapter that learns nothing"


@pytest.mark.parametrize(("shape", "head"), JOBS)
def test_full_training_reaches_every_weight_that_matters(bench: Path, shape: str, head: str) -> None:
    model = opened(bench, shape, head)
    adapter("full").attach(model, seed=0)
    train(model, steps=1)
    assert all(weight.grad is not None for weight in model.trainable().values())
    untouched = [name for name, weight in model.inner.named_parameters() if not weight.requires_grad]
    idle = {"bert": "pooler.", "t5": "decoder.", "bart": "decoder."} if head != "lm" else {}
    assert all(idle[shape] in name for name in untouched)


def test_nothing_trains_before_an_adapter_is_attached(bench: Path) -> None:
    assert opened(bench, "llama").trainable() == {}


def test_adapters_are_drawn_from_the_seed(bench: Path) -> None:
    def drawn(seed: int) -> torch.Tensor:
        model = opened(bench, "llama")
        state = torch.get_rng_state()
        adapter().attach(model, seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        return torch.cat([weight.flatten() for name, weight in model.trainable().items() if "lora_A" in name])

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize("setting", [{"alpha": 8.0}, {"dropout": 0.5}, {"rank": 2}, {"targets": ["q_proj"]}])
def test_every_setting_of_lora_changes_the_outcome(bench: Path, setting: dict[str, Any]) -> None:
    def trained(**settings: Any) -> float:
        model = opened(bench, "llama")
        adapter(**settings).attach(model, seed=0)
        model.train()
        torch.manual_seed(0)
        return train(model)

    assert trained() == trained()
    assert trained(**setting) != trained()


def test_targets_by_name(bench: Path) -> None:
    model = opened(bench, "llama")
    adapter(targets=["q_proj", "layers.1.mlp.up_proj"]).attach(model, seed=0)
    layers = {name.split(".lora_")[0].rpartition("base_model.model.")[2] for name in model.trainable()}
    assert layers == {
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.self_attn.q_proj",
        "model.layers.1.mlp.up_proj",
    }


@pytest.mark.parametrize("target", ["q_prj", "lm_head", "embed_tokens", "proj"])
def test_unmatched_targets_are_an_error_that_lists_what_exists(bench: Path, target: str) -> None:
    model = opened(bench, "llama")
    with pytest.raises(ModelError, match=target) as caught:
        adapter(targets=["v_proj", target]).attach(model, seed=0)
    assert "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in caught.value.fix
    assert "q_proj" in caught.value.what or target != "q_prj"


@pytest.mark.parametrize(("shape", "head"), JOBS)
def test_saved_adapters_open_and_go_on_where_they_stopped(bench: Path, shape: str, head: str) -> None:
    model = opened(bench, shape, head)
    adapter(rank=4).attach(model, seed=0)
    last = train(model)
    model.save(bench / "tuned", template="classify", max_length=128)
    again = open_model("tuned", workspace=bench)
    assert again.head_kind == head
    assert again.labels == LABELS[head]
    assert again.adapter == adapter(rank=4)
    adapter(rank=4).attach(again, seed=99)
    assert set(again.trainable()) == set(model.trainable()), "wrapped once, not twice"
    assert loss(again) == last
    assert train(again) == train(model)


def test_going_on_with_other_settings_is_refused(bench: Path) -> None:
    model = opened(bench, "llama")
    adapter(rank=4).attach(model, seed=0)
    model.save(bench / "tuned")
    with pytest.raises(ModelError, match="carries the adapter"):
        adapter(rank=8).attach(open_model("tuned", workspace=bench), seed=0)


@pytest.mark.parametrize(("shape", "head"), JOBS)
def test_merging_and_saving_whole_weights(bench: Path, shape: str, head: str) -> None:
    model = opened(bench, shape, head)
    adapter(rank=4).attach(model, seed=0)
    train(model)
    expected = outputs(model)
    adapter(rank=4).merge(model)
    assert (outputs(model) - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))
    merged = outputs(model)
    model.save(bench / "merged")
    assert not (bench / "merged" / "adapter_config.json").exists()
    assert torch.equal(outputs(open_model("merged", workspace=bench)), merged)


def test_full_training_of_an_adapted_model_merges_first(bench: Path) -> None:
    model = opened(bench, "llama")
    adapter().attach(model, seed=0)
    train(model)
    model.save(bench / "tuned")
    again = open_model("tuned", workspace=bench)
    adapter("full").attach(again, seed=0)
    assert (outputs(again) - outputs(model)).abs().max() <= 1e-4
    assert not any("lora_" in name for name in again.trainable())
    assert "merged" in again.notes[-1]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tied", [True, False])
def test_fully_trained_models_survive_saving(tmp_path: Path, shape: Any, tied: bool) -> None:
    """Tied embeddings stay tied, untied ones stay apart, and transformers opens the folder with equal outputs."""
    import transformers

    tiny_model(tmp_path / "base", shape, tie_word_embeddings=tied)
    head = "tag" if shape == "bert" else "lm"
    model = opened(tmp_path, "base", head)
    adapter("full").attach(model, seed=0)
    train(model)
    expected = outputs(model)
    model.save(tmp_path / "tuned")
    again = open_model("tuned", workspace=tmp_path)
    assert torch.equal(outputs(again), expected)
    if shape == "bert":
        theirs = transformers.AutoModel.from_pretrained(tmp_path / "tuned").eval()
        mine = again.hidden(IDS, MASK)
        assert torch.equal(theirs(input_ids=IDS, attention_mask=MASK).last_hidden_state, mine)
        return
    kind = (
        transformers.AutoModelForSeq2SeqLM if model.family == "encoder_decoder" else transformers.AutoModelForCausalLM
    )
    with quiet():
        theirs = kind.from_pretrained(tmp_path / "tuned").eval()
    given = {"labels": ANSWERS} if model.family == "encoder_decoder" else {}
    found = theirs(input_ids=IDS, attention_mask=MASK, **given).logits
    found = found[MASK.bool()] if model.family == "causal" else found
    assert (found - expected).abs().max() <= 1e-5
    table, output = again.inner.get_input_embeddings().weight, again.inner.get_output_embeddings().weight
    assert (table is output) == tied or shape in ("t5", "bart")


@pytest.mark.parametrize("shape", ["llama", "gpt2", "t5", "bart"])
def test_peft_opens_saved_adapters_with_equal_outputs(bench: Path, shape: str) -> None:
    from peft import PeftModel

    model = opened(bench, shape)
    adapter(rank=4).attach(model, seed=0)
    train(model)
    model.save(bench / "tuned")
    base = opened(bench, shape)
    with quiet():
        theirs = PeftModel.from_pretrained(base.module, str(bench / "tuned"), autocast_adapter_dtype=False).eval()
    base.module = theirs
    assert torch.equal(outputs(base), outputs(model))


def test_adapters_that_peft_wrote_open_too(bench: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    with quiet():
        theirs = get_peft_model(
            AutoModelForCausalLM.from_pretrained(bench / "llama"),
            LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "o_proj"], init_lora_weights=False),
        ).eval()
        theirs.save_pretrained(bench / "theirs")
    config = json.loads((bench / "theirs" / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "llama"
    (bench / "theirs" / "adapter_config.json").write_text(json.dumps(config))
    model = open_model("theirs", workspace=bench)
    assert torch.equal(outputs(model), theirs(input_ids=IDS).logits[MASK.bool()])
    assert model.adapter == adapter(rank=3, alpha=5.0, targets=["o_proj", "q_proj"])


def test_the_folder_is_the_same_byte_for_byte(bench: Path) -> None:
    digests = []
    for name in ("one", "two"):
        model = opened(bench, "llama", "classify")
        adapter(rank=4).attach(model, seed=0)
        train(model)
        model.save(bench / name)
        digests.append({path.name: file_digest(path) for path in (bench / name).iterdir()})
    assert digests[0] == digests[1]


def test_saving_over_the_folder_it_came_from(tmp_path: Path) -> None:
    tiny_model(tmp_path / "model")
    model = open_model("model", workspace=tmp_path)
    expected = outputs(model)
    model.save(tmp_path / "model")
    assert torch.equal(outputs(model), expected)
    assert torch.equal(outputs(open_model("model", workspace=tmp_path)), expected)


def test_a_failed_save_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_model(tmp_path / "model")
    before = file_digest(tmp_path / "model" / "model.safetensors")
    model = open_model("model", workspace=tmp_path)

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tunesmith.models.save.write_json", no_space)
    with pytest.raises(OSError, match="No space"):
        model.save(tmp_path / "model")
    assert file_digest(tmp_path / "model" / "model.safetensors") == before


def saved_adapter(bench: Path) -> Path:
    model = opened(bench, "llama", "classify")
    adapter(rank=4).attach(model, seed=0)
    model.save(bench / "tuned")
    return bench / "tuned"


def test_another_base_is_noticed(tmp_path: Path) -> None:
    tiny_model(tmp_path / "llama")
    saved_adapter(tmp_path)
    tiny_model(tmp_path / "llama", seed=1)
    with pytest.raises(ModelError, match="not the one this adapter was trained on"):
        open_model("tuned", workspace=tmp_path)


def test_a_workspace_can_be_moved_with_base_and_adapter(tmp_path: Path) -> None:
    tiny_model(tmp_path / "here" / "base")
    model = open_model(str(tmp_path / "here" / "base"), workspace=tmp_path)
    adapter(rank=4).attach(model, seed=0)
    train(model)
    model.save(tmp_path / "here" / "tuned")
    (tmp_path / "here").rename(tmp_path / "there")
    assert torch.equal(outputs(open_model("tuned", workspace=tmp_path / "there")), outputs(model))
    assert base_facts("tuned", workspace=tmp_path / "there").num_parameters


def test_a_lost_base_is_named_and_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    tiny_model(tmp_path / "llama")
    saved_adapter(tmp_path)
    (tmp_path / "llama").rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="base 'llama' is gone"):
        open_model("tuned", workspace=tmp_path)


def test_adapters_on_random_bases_find_their_base_again(bench: Path) -> None:
    model = opened(bench, "llama", initialize="random", seed=7)
    adapter(rank=4).attach(model, seed=0)
    train(model)
    model.save(bench / "tuned")
    assert torch.equal(outputs(open_model("tuned", workspace=bench)), outputs(model))


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "head.safetensors", "head.json"])
@pytest.mark.parametrize("damage", ["missing", "short"])
def test_damaged_adapter_folders_are_refused(bench: Path, name: str, damage: str) -> None:
    path = saved_adapter(bench) / name
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ModelError):
        open_model("tuned", workspace=bench)


def test_pickled_adapters_are_not_opened(bench: Path) -> None:
    folder = saved_adapter(bench)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"adapter_model\.bin"):
        open_model("tuned", workspace=bench)


def test_adapter_tensors_are_all_accounted_for(bench: Path) -> None:
    path = saved_adapter(bench) / "adapter_model.safetensors"
    tensors = load_file(path)
    name, tensor = sorted(tensors.items())[0]
    for changed in ({**tensors, "extra": tensor.clone()}, {**tensors, name: tensor[:2].clone()}):
        save_file(changed, path, metadata={"format": "pt"})
        with pytest.raises(ModelError, match="fit its base"):
            open_model("tuned", workspace=bench)


def test_other_sorts_of_adapters_are_refused(bench: Path) -> None:
    path = saved_adapter(bench) / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"peft_type": "LOHA"}))
    with pytest.raises(ModelError, match="LOHA"):
        open_model("tuned", workspace=bench)


def test_other_labels_get_a_fresh_head_and_a_note(bench: Path) -> None:
    saved_adapter(bench)
    model = open_model("tuned", workspace=bench, head="classify", labels=("x", "y"))
    assert model.labels == ("x", "y")
    assert "other labels" in model.notes[-1]
    assert outputs(model).shape == (3, 2)


def test_the_card_says_what_the_model_stands_on(bench: Path) -> None:
    folder = saved_adapter(bench)
    card = json.loads((folder / "tunesmith.json").read_text())
    base = open_model("llama", workspace=bench)
    assert card["base"]["reference"] == "llama"
    assert card["base"]["digest"] == base.digest
    assert card["labels"] == ["a", "b", "c"]
    assert card["adapter"]["kind"] == "lora"
    assert set(card["versions"]) >= {"tunesmith", "torch", "transformers", "peft"}
    (folder / "tunesmith.json").write_text(json.dumps(card | {"format": 99}))
    with pytest.raises(ModelError, match="format 99"):
        open_model("tuned", workspace=bench)


def test_attaching_says_nothing_to_the_terminal(bench: Path) -> None:
    """In a process of its own, because libraries speak when they are first imported."""
    code = (
        "from pathlib import Path; from tunesmith.models.load import open_model; from tunesmith.part import ADAPTERS\n"
        f"ADAPTERS.make('lora').attach(open_model('llama', workspace=Path({str(bench)!r})), 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""
